"""SETUP: the one message that opens a session with a hop, at zero round trips.

``suite name length u8 | suite name | slot u64 | KEM ciphertext | AEAD box`` in ``SETUP_SIZE`` bytes; the
box holds ``stamp u32 | ratchet key length u16 | ratchet key | parameters length u16 | parameters |
zeros`` and binds all before it (docs/protocol.md, "Circuits").
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from port17.errors import HandshakeFailed
from port17.records.framing import digest, framed
from port17.wire import kem
from port17.wire.block import SETUP_SIZE
from port17.wire.prekey import Network, OwnPrekey, ResponderKey
from port17.wire.ratchet import CELLS_PER_STEP, Session
from port17.wire.replay import REPLAY_KEY_SIZE, ReplaySet, stamp
from port17.wire.suite import KEY_SIZE, NAME_CAP, TAG_SIZE, CipherSuite, KemKey, nonce

SLOT = struct.Struct(">Q")
BOX_HEAD = struct.Struct(">IH")
"""Stamp (minutes) and the ratchet key's length."""
PARAMETERS_HEAD = struct.Struct(">HI")
"""The parameters' length, 4, and ``cells_per_step``."""
CELLS_PER_STEP_CAP = 1 << 20
"""Most cells between symmetric steps that a client may ask for: 4 GiB under one cell key is where GCM's
own limits would begin to be argued about; 2^20 cells stay there."""
BOX_NONCE = nonce(0)
"""The box key seals exactly one box."""


@dataclass(frozen=True)
class Opened:
    """What a node has after a good SETUP.

    :param session: its keys with the client.
    :param ratchet_key: the client's fresh public key, to be answered with RSP 0.
    """

    session: Session
    ratchet_key: bytes


def _key(
    network: Network,
    revision: int,
    suite: CipherSuite,
    fingerprint: bytes,
    record_hash: bytes,
    ciphertext: bytes,
    secret: bytes,
) -> bytes:
    transcript = suite.digest(
        "circuit",
        network.network_id,
        revision.to_bytes(8, "big"),
        suite.name.encode("ascii"),
        fingerprint,
        record_hash,
        ciphertext,
    )
    return suite.extract(transcript, secret)


def _box_key(suite: CipherSuite, key: bytes) -> bytes:
    return suite.expand(key, framed("setup box"), KEY_SIZE)


def make(
    network: Network,
    to: ResponderKey,
    ratchet_key: KemKey,
    now_s: float,
    cells_per_step: int = CELLS_PER_STEP,
) -> tuple[bytes, Session]:
    """SETUP content for a hop, and the client's session with it.

    :param ratchet_key: fresh, of the hop's suite; its private half belongs to this session alone.
    :returns: (``SETUP_SIZE`` bytes, session).
    :raises HandshakeFailed: the hop's prekey is unusable.
    """
    suite = to.suite
    try:
        secret, ciphertext = kem.encapsulate(suite, to.public)
    except ValueError as error:
        raise HandshakeFailed("a node's prekey is unusable") from error
    key = _key(network, network.revisions[0], suite, to.fingerprint, to.record_hash, ciphertext, secret)
    name = suite.name.encode("ascii")
    head = bytes([len(name)]) + name + SLOT.pack(to.slot) + ciphertext
    plain = (
        BOX_HEAD.pack(stamp(now_s), len(ratchet_key.public))
        + ratchet_key.public
        + PARAMETERS_HEAD.pack(4, cells_per_step)
    ).ljust(SETUP_SIZE - len(head) - TAG_SIZE, b"\0")
    box = bytearray(SETUP_SIZE - len(head))
    suite.aead(_box_key(suite, key)).encrypt_into(BOX_NONCE, plain, head, box)
    return head + bytes(box), Session(suite, key, suite.digest("setup box", box), cells_per_step)


def open_setup(
    network: Network,
    fingerprint: bytes,
    find: Callable[[str, int], OwnPrekey | None],
    replays: ReplaySet,
    content: bytes,
    now_s: float,
) -> Opened:
    """A node opens SETUP content.

    :param fingerprint: the node's own.
    :param find: own prekey by (suite name, slot), None if there is none in force.
    :raises HandshakeFailed: whatever is wrong with it.
    :raises PeerViolation: it is a replay or its stamp is refused.
    """
    if len(content) != SETUP_SIZE or not 0 < content[0] <= NAME_CAP:
        raise HandshakeFailed("a SETUP was refused")
    at = 1 + content[0]
    name = content[1:at].decode("ascii", "replace")
    (slot,) = SLOT.unpack_from(content, at)
    at += SLOT.size
    own = find(name, slot)
    if own is None or not own.suite.stream_cipher:
        raise HandshakeFailed("a SETUP was refused")
    suite = own.suite
    ciphertext = content[at : at + suite.ciphertext_size]
    at += suite.ciphertext_size
    replay_key = digest("setup replay", own.record_hash, ciphertext)[:REPLAY_KEY_SIZE]
    if replays.seen(replay_key):
        raise HandshakeFailed("a SETUP was refused")
    try:
        secret = kem.decapsulate(suite, own.key.private, ciphertext)
    except ValueError as error:
        raise HandshakeFailed("a SETUP was refused") from error
    box = content[at:]
    key, plain = _open_box(network, suite, fingerprint, own, ciphertext, secret, content[:at], box)
    minutes, size = BOX_HEAD.unpack_from(plain)
    at = BOX_HEAD.size + size
    if size != suite.public_size or at + PARAMETERS_HEAD.size > len(plain):
        raise HandshakeFailed("a SETUP was refused")
    ratchet_key = bytes(plain[BOX_HEAD.size : at])
    parameters, cells_per_step = PARAMETERS_HEAD.unpack_from(plain, at)
    if parameters != 4 or not 1 <= cells_per_step <= CELLS_PER_STEP_CAP:
        raise HandshakeFailed("a SETUP was refused")
    replays.admit(replay_key, minutes, now_s)
    session = Session(suite, key, suite.digest("setup box", box), cells_per_step)
    return Opened(session, ratchet_key)


def _open_box(
    network: Network,
    suite: CipherSuite,
    fingerprint: bytes,
    own: OwnPrekey,
    ciphertext: bytes,
    secret: bytes,
    head: bytes,
    box: bytes,
) -> tuple[bytes, bytearray]:
    plain = bytearray(len(box) - TAG_SIZE)
    revisions: Sequence[int] = network.revisions
    for revision in revisions:
        key = _key(network, revision, suite, fingerprint, own.record_hash, ciphertext, secret)
        try:
            suite.aead(_box_key(suite, key)).decrypt_into(BOX_NONCE, box, head, plain)
        except suite.forged:
            continue
        return key, plain
    raise HandshakeFailed("a SETUP was refused")
