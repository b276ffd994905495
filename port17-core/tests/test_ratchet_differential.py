"""The chain logic beside another's: PyPI's ``doubleratchet``, driven with this protocol's Extract and Expand.

Where the constructions coincide:

- *Symmetric.* A chain key gives the next chain key and one key for messages, and is forgotten
  (its ``SymmetricKeyRatchet``).
- *Asymmetric.* A root, under what a key exchange agreed on, gives the next root and a chain's first key (its
  ``KDFChain``); a key that came from the peer is used once, together with a new one of one's own, and what
  the peer answers is for that new one (its ``DiffieHellmanRatchet``: REQ n is a first message under a new
  header, and RSP n the peer's first message after it). A KEM that is a Diffie-Hellman exchange, whose
  ciphertext is the new public key itself, makes the two sequences of secrets one.

Where they do not, and what these tests do about it:

- a root for each direction, where ``doubleratchet`` has one for both. Its root key is here a handle for two,
  which take turns;
- the frame's hash goes into the root beside the secret. The KDF looks it up by the secret;
- a message key lasts ``cells_per_step`` cells, not one: a key per step is compared, and cells are counted;
- the counter that nonces are made of is never reset, where a message's number is its place in its chain;
- a chain key gives a third key, the filler's;
- REQ and RSP alternate strictly, and go out when volume and time say so; there, every header has the newest
  key, and a new one is made whenever the peer's changed;
- there are no skipped message keys: a link's cells come in order, or the link ends;
- the first RSP turns backward before any REQ turned forward. It is compared as a step of a chain, not as a
  header.
"""

from __future__ import annotations

import hashlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from doubleratchet.diffie_hellman_ratchet import DiffieHellmanRatchet
from doubleratchet.kdf import KDF
from doubleratchet.kdf_chain import KDFChain
from doubleratchet.symmetric_key_ratchet import Chain as Which
from doubleratchet.symmetric_key_ratchet import SymmetricKeyRatchet
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.records.framing import framed
from port17.wire.ratchet import Chain, InitiatorRatchet, ResponderRatchet, Session, Turn
from port17.wire.suite import KEY_SIZE, TAG_SIZE, KemKey

from .wire_suites import TOY, ToySuite

T = TypeVar("T")


def now(question: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        question.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waits for something")


def turned(root: bytes, secret: bytes, frame_hash: bytes) -> tuple[bytes, bytes]:
    """(next root, chain's first key), by this protocol's KDF."""
    return begun(TOY.extract(root, secret + frame_hash))


def begun(root: bytes) -> tuple[bytes, bytes]:
    """(root that is kept, chain's first key) of what a root is made of."""
    both = TOY.expand(root, framed("chain"), 2 * KEY_SIZE)
    return both[:KEY_SIZE], both[KEY_SIZE:]


class MessageKdf(KDF):
    """The next chain key, then the cell key; the filler key after them is asked for by nobody here."""

    @staticmethod
    async def derive(key: bytes, data: bytes, length: int) -> bytes:
        return TOY.expand(key, framed(data.decode()), 3 * KEY_SIZE)[:length]


STEP = b"chain step"


class RootKdf(KDF):
    """One direction's root; the data is the secret and the frame's hash."""

    @staticmethod
    async def derive(key: bytes, data: bytes, length: int) -> bytes:
        root, chain = turned(key, data[:KEY_SIZE], data[KEY_SIZE:])
        return (root + chain)[:length]


class BothRootsKdf(KDF):
    """Two roots behind one key: that of the direction whose turn it is, and the other's."""

    roots: dict[bytes, tuple[bytes, bytes]] = {}  # noqa: RUF012  # the library never makes an instance
    frames: dict[bytes, bytes] = {}  # noqa: RUF012
    """The hash of the frame that each secret came in."""

    @classmethod
    def handle(cls, due: bytes, other: bytes) -> bytes:
        """A key that stands for both."""
        key = hashlib.sha256(due + other).digest()
        cls.roots[key] = due, other
        return key

    @staticmethod
    async def derive(key: bytes, data: bytes, length: int) -> bytes:
        due, other = BothRootsKdf.roots[key]
        root, chain = turned(due, data, BothRootsKdf.frames[data])
        return (BothRootsKdf.handle(other, root) + chain)[:length]


class TwinSuite(ToySuite):
    """Its ciphertext is a public key, whose private half the next generated key has: a header of one key."""

    def __init__(self) -> None:
        self._ahead: X25519PrivateKey | None = None

    def generate(self) -> KemKey:
        if self._ahead is None:
            self._ahead = X25519PrivateKey.generate()
            private = self._ahead
        else:
            private, self._ahead = self._ahead, None
        return KemKey(private, private.public_key().public_bytes_raw())

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        key = self.generate()
        assert isinstance(key.private, X25519PrivateKey)
        return key.private.exchange(X25519PublicKey.from_public_bytes(public)), key.public


class Theirs(DiffieHellmanRatchet):
    """``doubleratchet``'s, whose new keys are those that our two ends made, in order."""

    keys: list[bytes] = []  # noqa: RUF012  # the library never gives it an instance to keep them in

    @staticmethod
    def _generate_priv() -> bytes:
        return Theirs.keys.pop(0)

    @staticmethod
    def _derive_pub(priv: bytes) -> bytes:
        return X25519PrivateKey.from_private_bytes(priv).public_key().public_bytes_raw()

    @staticmethod
    def _perform_diffie_hellman(own_priv: bytes, other_pub: bytes) -> bytes:
        own = X25519PrivateKey.from_private_bytes(own_priv)
        return own.exchange(X25519PublicKey.from_public_bytes(other_pub))


def used(chain: Chain, cells: int) -> list[bytes]:
    """The keys that the next cells are sealed with, one for each step."""
    keys: list[bytes] = []
    for _ in range(cells):
        if chain.left == chain.cells_per_step:
            keys.append(chain._cell_key)
        chain.seal(b"", bytearray(TAG_SIZE))
    return keys


@settings(deadline=None, max_examples=50)
@given(root=st.binary(min_size=32, max_size=32), per_step=st.integers(1, 5), steps=st.integers(0, 20))
def test_the_symmetric_ratchet_gives_the_same_keys(root: bytes, per_step: int, steps: int) -> None:
    chain = Chain(TOY, root, per_step)
    theirs = SymmetricKeyRatchet.create(MessageKdf, STEP)
    for which in (Which.SENDING, Which.RECEIVING):
        theirs.replace_chain(which, begun(root)[1])
    keys = used(chain, steps * per_step)
    assert keys == [now(theirs.next_encryption_key()) for _ in range(steps)]
    assert keys == [now(theirs.next_decryption_key()) for _ in range(steps)]
    assert chain.steps == theirs.sending_chain_length == steps
    assert len(set(keys)) == steps


@settings(deadline=None, max_examples=50)
@given(
    root=st.binary(min_size=32, max_size=32),
    turns=st.lists(
        st.tuples(st.binary(min_size=32, max_size=32), st.binary(max_size=99), st.integers(0, 7)), max_size=8
    ),
    per_step=st.integers(1, 3),
)
def test_the_root_of_one_direction_is_a_kdf_chain(
    root: bytes, turns: list[tuple[bytes, bytes, int]], per_step: int
) -> None:
    chain = Chain(TOY, root, per_step)
    theirs = KDFChain.create(RootKdf, begun(root)[0])
    for secret, frame, steps in turns:
        chain.mix(secret, frame)
        keys = used(chain, steps * per_step)
        symmetric = SymmetricKeyRatchet.create(MessageKdf, STEP)
        symmetric.replace_chain(
            Which.SENDING, now(theirs.step(secret + TOY.digest("ratchet frame", frame), KEY_SIZE))
        )
        assert keys == [now(symmetric.next_encryption_key()) for _ in range(steps)]
    assert chain.rekeys == theirs.length == len(turns)


def private(key: KemKey | None) -> bytes:
    """The private half, as ``doubleratchet`` has it."""
    assert key is not None
    assert isinstance(key.private, X25519PrivateKey)
    return key.private.private_bytes_raw()


@settings(deadline=None, max_examples=40)
@given(
    steps=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=6),
    per_step=st.integers(1, 3),
)
def test_requests_and_responses_turn_as_headers_do(steps: list[tuple[int, int]], per_step: int) -> None:
    suite, there = TwinSuite(), TwinSuite()
    first = ToySuite.generate(suite)
    ours, theirs = (Session(s, b"k" * 32, b"", per_step) for s in (suite, there))
    asks, answers = InitiatorRatchet(ours, first), ResponderRatchet(theirs, first.public)
    # RSP 0, which no header is like: it turns backward, and brings the key that REQ 1 is for.
    turn = answers.response(there.generate())
    turn.sealed()
    asks.response(turn.data)
    root = BothRootsKdf.handle(ours.forward._root, theirs.backward._root)
    start = answers._key
    assert start is not None

    keys: list[bytes] = []
    """The private keys of REQ 1, RSP 1, REQ 2, ..."""
    sent: list[tuple[list[bytes], list[bytes]]] = []
    """Each step's cell keys, forward and backward, one per symmetric step."""

    def frame(turn: Turn, own: KemKey | None, peer: bytes) -> None:
        keys.append(private(own))
        BothRootsKdf.frames[Theirs._perform_diffie_hellman(keys[-1], peer)] = TOY.digest(
            "ratchet frame", turn.data
        )
        turn.sealed()

    peer = start.public
    for cells_there, cells_back in [*steps, (0, 0)]:
        turn = asks.request()
        frame(turn, asks._key, peer)
        peer = Theirs._derive_pub(keys[-1])
        answers.request(turn.data)
        turn = answers.response(there.generate())
        frame(turn, answers._key, peer)
        peer = Theirs._derive_pub(keys[-1])
        asks.response(turn.data)
        sent.append(
            (used(ours.forward, cells_there * per_step), used(theirs.backward, cells_back * per_step))
        )
        # Whoever receives steps alike.
        assert used(theirs.forward, cells_there * per_step) == sent[-1][0]
        assert used(ours.backward, cells_back * per_step) == sent[-1][1]

    # They make a new key as soon as they hear a new one: in the very order of requests and responses.
    Theirs.keys = list(keys)
    alice = now(Theirs.create(None, start.public, BothRootsKdf, root, MessageKdf, STEP, 0))
    bob = now(
        Theirs.create(private(start), Theirs._derive_pub(keys[0]), BothRootsKdf, root, MessageKdf, STEP, 0)
    )
    for keys_there, keys_back in sent[:-1]:
        for source, sink, many in ((alice, bob, keys_there), (bob, alice, keys_back)):
            for key in many:
                got, header = now(source.next_encryption_key())
                assert got == key
                assert now(sink.next_decryption_key(header)) == (key, {})
    assert Theirs.keys == keys[-1:]
