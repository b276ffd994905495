"""A thief: he copied all that one end of a session held, sees every cell, and follows as far as he can."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

from port17.wire.ratchet import (
    CHAIN_INFO,
    STEP_INFO,
    Chain,
    InitiatorRatchet,
    RatchetFrame,
    ResponderRatchet,
    Turn,
    pack_nonce,
)
from port17.wire.suite import KEY_SIZE, TAG_SIZE, CipherSuite

PAST = 12
"""Cells just before the theft that the thief tries every key on."""
FrameOf = Callable[[bytes], bytes]
"""The RATCHET data that an opened cell carries, empty if it carries none."""
GUESSES = (b"", bytes(KEY_SIZE))
"""Secrets that nobody needs to steal: what a step mixes in if it forgets to mix."""


def reachable(*roots: object, without: tuple[type, ...] = ()) -> list[Any]:
    """Everything that some objects refer to, directly or not.

    :param without: types whose objects belong to somebody else, and end the search.
    """
    ends = (type, ModuleType, FunctionType, CipherSuite, *without)
    found: dict[int, Any] = {}
    todo = list(roots)
    while todo:
        thing = todo.pop()
        if id(thing) not in found and not isinstance(thing, ends):
            found[id(thing)] = thing
            todo += gc.get_referents(thing)
    return list(found.values())


def derived(suite: CipherSuite, key: bytes) -> set[bytes]:
    """All keys that one derivation of a chain makes of another, whatever that was."""
    made = [suite.expand(key, info, 3 * KEY_SIZE) for info in (CHAIN_INFO, STEP_INFO)]
    return {parts[at : at + KEY_SIZE] for parts in made for at in range(0, len(parts), KEY_SIZE)}


def copied(chain: Chain) -> Chain:
    """A chain of the same keys and counters, which then goes its own way."""
    twin = Chain(chain._suite, bytes(KEY_SIZE), chain.cells_per_step)
    for slot in Chain.__slots__:
        setattr(twin, slot, getattr(chain, slot))
    return twin


@dataclass
class Loot:
    """What was copied at one moment.

    :param forward: the session's chains as they were; copies.
    :param strings: every byte string of a key's size, whatever it was for.
    :param privates: private halves of KEM keys.
    :param turns: (direction is forward, secret, frame) of steps whose cell was about to go out.
    """

    forward: Chain
    backward: Chain
    strings: set[bytes] = field(default_factory=set)
    privates: list[object] = field(default_factory=list)
    turns: list[tuple[bool, bytes, bytes]] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Loot({self.forward}, {self.backward}, {len(self.privates)} private keys)"


def stolen(
    ratchet: InitiatorRatchet | ResponderRatchet,
    *more: object,
    without: tuple[type, ...] = (),
) -> Loot:
    """A copy of all that one end of a session holds.

    :param ratchet: that end's; its session is part of it.
    :param more: what else the thief found there: spare keys, a step whose cell is not sealed yet.
    """
    session = ratchet._session
    loot = Loot(copied(session.forward), copied(session.backward))
    private = type(session.suite.generate().private)
    for thing in reachable(ratchet, *more, without=without):
        if isinstance(thing, bytes | bytearray) and len(thing) == KEY_SIZE:
            loot.strings.add(bytes(thing))
        elif isinstance(thing, private):
            loot.privates.append(thing)
        elif isinstance(thing, Turn):
            loot.turns.append((thing._chain is session.forward, thing._secret, thing.data))
    return loot


class Thief:
    """Reads one direction of one session. He knows the protocol, and does what an honest end would do."""

    def __init__(self, suite: CipherSuite, loot: Loot, forward: bool, frame_of: FrameOf) -> None:
        self._suite = suite
        self._loot = loot
        self._frame_of = frame_of
        chain = loot.forward if forward else loot.backward
        self.first = chain.counter
        """The next cell of this direction, as the robbed end counts."""
        self._ways = [copied(chain)]
        for of_forward, secret, frame in loot.turns:
            if of_forward is forward:
                self._ways.append(copied(chain))
                self._ways[-1].mix(secret, frame)
        self._keys = self._cell_keys()

    def _cell_keys(self) -> list[Any]:
        """AEADs under every key that a stolen string is, or leads to by one derivation or two."""
        keys = self._loot.strings
        once = {found for key in keys for found in derived(self._suite, key)}
        twice = {found for key in once for found in derived(self._suite, key)}
        return [self._suite.aead(key) for key in sorted(keys | once | twice)]

    def read(self, wire: Sequence[bytes]) -> set[int]:
        """The cells that he can open, by index, of all that ever crossed the wire in this direction."""
        stolen_key, past = self._ways[:1], self._past()
        found = {
            index
            for index in range(min(self.first, len(wire)))
            if self._forced(index, wire[index], self._keys if index in past else stolen_key)
        }
        for index in range(self.first, len(wire)):
            plain = self._follow(wire[index])
            if plain is None:
                for way in self._ways:
                    way.opened(1)  # perhaps a later cell opens to him again
                continue
            found.add(index)
            frame = self._frame_of(plain)
            if frame:
                self._ways = [turned for way in self._ways for turned in self._turned(way, frame)]
        return found

    def _past(self) -> set[int]:
        """Cells before the theft to try all keys on: the first ones, and those just before it."""
        return {*range(min(PAST // 2, self.first)), *range(max(0, self.first - PAST), self.first)}

    def _forced(self, index: int, sealed: bytes, keys: Sequence[Any]) -> bool:
        out = bytearray(len(sealed) - TAG_SIZE)
        for aead in keys:
            try:
                aead.decrypt_into(pack_nonce(index), sealed, None, out)
            except self._suite.forged:
                continue
            return True
        return False

    def _follow(self, sealed: bytes) -> bytes | None:
        """Open the next cell by whichever of his ways is the right one; the others are given up then."""
        out = bytearray(len(sealed) - TAG_SIZE)
        for way in self._ways:
            try:
                way.open(sealed, out)
            except way.forged:
                continue
            self._ways = [way]
            return bytes(out)
        return None

    def _turned(self, way: Chain, data: bytes) -> Iterable[Chain]:
        """The chains that a step may lead to: by every secret that he has, makes or guesses, or by none."""
        secrets = {*GUESSES, *self._loot.strings, *(secret for _, secret, _ in self._loot.turns)}
        ciphertext = RatchetFrame.decode(data, self._suite).ciphertext
        for private in self._loot.privates:
            try:
                secrets.add(self._suite.decapsulate(private, ciphertext))
            except ValueError:
                continue
        yield copied(way)
        for secret in sorted(secrets):
            turned = copied(way)
            turned.mix(secret, data)
            yield turned
