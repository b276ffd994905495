"""Those who talk to a gossip by hand, and the honest nodes that they would like to see forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from port17.bottles.gossip_events import Key
from port17.bottles.intake import Sender
from port17.bottles.sync import (
    BUCKETS,
    CHUNK_CAP,
    MESSAGE_CAP,
    NO_DIGEST,
    VERSION,
    Follow,
    Held,
    Message,
    Scope,
    Want,
)
from port17.bottles.sync_codec import Inbox, encode, from_follower, from_source
from port17.records.bottle import Bottle

from .bottle_maker import NOW, Maker
from .gossip_mesh import Mesh, Peer

SYBILS = 10_000
EMPTY = (NO_DIGEST,) * BUCKETS
HELLO = Follow(VERSION, Scope.ALL, True, False, True, None)


class Villain:
    """Whoever talks to a gossip by hand.

    :param key: of the SYNC, at the gossip.
    """

    def __init__(self, peer: Peer, key: Key, decode: Callable[[bytes], Message]) -> None:
        self.peer, self.key = peer, key
        self._inbox: Inbox[Message] = Inbox(decode, MESSAGE_CAP)

    @classmethod
    def source(cls, peer: Peer, *, trusted: bool = False, scope: Scope = Scope.ALL) -> Villain:
        """One that the gossip follows."""
        name = len(peer.mesh.peers).to_bytes(32, "big")
        key = peer.gossip.follow(name, lambda: None, trusted=trusted, scope=scope)
        villain = cls(peer, key, from_follower)
        villain.hear()
        return villain

    @classmethod
    def follower(cls, peer: Peer, name: str = "villain", first: Message | None = HELLO) -> Villain:
        """One that follows the gossip."""
        villain = cls(peer, peer.gossip.serve(Sender(name), lambda: None), from_source)
        if first is not None:
            villain.say(first)
        return villain

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.raw(encode(message))

    def raw(self, data: bytes) -> None:
        for at in range(0, len(data), CHUNK_CAP):
            self.peer.gossip.heard(self.key, data[at : at + CHUNK_CAP])
            while self.peer.gossip.step(self.key, self.peer.mesh.now_s):
                pass

    def hear(self, first: bytes = b"") -> list[Message]:
        """All that the gossip says now.

        :param first: what it has said, and was not read yet.
        """
        heard: list[Message] = []
        while data := first or self.peer.gossip.pull(self.key, self.peer.mesh.now_s):
            first = b""
            self._inbox.feed(data)
            while self._inbox.waits:
                message = self._inbox.next()
                assert message is not None
                heard.append(message)
        return heard

    def wants(self) -> list[Held]:
        return [held for message in self.hear() if isinstance(message, Want) for held in message.held]


MAKERS = [Maker() for _ in range(10)]
HONEST = [maker.bottle(name=f"n{at}", seq=NOW) for at, maker in enumerate(MAKERS)]


@cache
def sybils() -> tuple[bytes, ...]:
    """As they travel."""
    return tuple(Maker().bottle(name=f"sybil{at}").encode() for at in range(SYBILS))


@cache
def stamps() -> tuple[Held, ...]:
    return tuple(Held(Bottle.parse(data).fingerprint, 0, NOW, True) for data in sybils())


def honest(peer: Peer) -> bool:
    """Whether the victim still knows of the honest nodes what they have signed."""
    return all(peer.rack.get(bottle.fingerprint) == bottle for bottle in HONEST)


def forged(bottle: Bottle) -> Bottle:
    envelope = bottle.contents_envelope
    flipped = bytes([envelope.signature[0] ^ 1]) + envelope.signature[1:]
    return replace(bottle, contents_envelope=envelope.model_copy(update={"signature": flipped}))


def acquainted(mesh: Mesh) -> Peer:
    """A node that knows ten honest ones."""
    peer = mesh.peer("victim", Maker().fingerprint)
    peer.take(*HONEST)
    peer.verified = 0
    return peer
