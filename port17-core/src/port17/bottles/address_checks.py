"""What has been found out about the addresses that nodes advertise: by this node's own dialling, and by what
others say of theirs. Who dials is not said here, nor how often one target may be dialled.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from port17.records.bottle import LABEL_KIND, Bottle
from port17.records.framing import digest

CHECKERS: Final = 7
"""Nodes that dial what a bottle advertises, on average, in a network of any size: k of n, not all."""
QUORUM: Final = 4
"""Checkers who must agree before their word counts, more than half: fewer is advice."""
PENDING_CAP: Final = 256
"""Most checks under way: each is a ship that is dialled."""
ADVICE_CAP: Final = 4096
"""Most nodes of which others' words are kept. Beyond it new words are dropped: each counts little."""
LOT_SIZE: Final = 8
"""Bytes of a hash that are taken for a fraction: no network has 2^64 nodes."""


@dataclass(frozen=True, slots=True)
class Check:
    """Addresses to be dialled, to see whether the same identity answers there.

    :param label: hash of the label that advertises them: a result for an older one counts for nothing.
    :param addresses: (transport, address), only those that are new.
    """

    fingerprint: bytes
    label: bytes
    addresses: tuple[tuple[str, str], ...]


def label_hash(bottle: Bottle) -> bytes:
    """Names a label. 32 bytes."""
    return bottle.label_envelope.hash(LABEL_KIND)


def fresh_addresses(bottle: Bottle, held: Bottle | None) -> tuple[tuple[str, str], ...]:
    """The addresses that a bottle advertises and the held one did not."""
    known = set() if held is None else set(_addresses(held))
    return tuple(pair for pair in _addresses(bottle) if pair not in known)


def _addresses(bottle: Bottle) -> list[tuple[str, str]]:
    return [(name, one) for name, found in sorted(bottle.label.addresses.items()) for one in found]


def is_checker(fingerprint: bytes, label: bytes, nodes: int) -> bool:
    """Whether a node is to check what a label advertises: by hash, so that nobody chooses his own checkers.

    :param fingerprint: of the node that asks itself this.
    :param nodes: how many nodes there are.
    """
    lot = int.from_bytes(digest("checker", label, fingerprint)[:LOT_SIZE], "big")
    return lot * max(nodes, 1) < CHECKERS << (8 * LOT_SIZE)


class AddressChecks:
    """Checks under way, and their results."""

    def __init__(self) -> None:
        self._pending: dict[bytes, Check] = {}
        self._found: dict[bytes, str] = {}
        """Our own results: what is wrong; empty if nothing."""
        self._said: dict[bytes, dict[bytes, str]] = {}

    def begin(self, check: Check) -> bool:
        """Note that a check is under way; False if there are too many, and it is not made."""
        if check.fingerprint not in self._pending and len(self._pending) >= PENDING_CAP:
            return False
        self._pending[check.fingerprint] = check
        return True

    def end(self, fingerprint: bytes, label: bytes, failure: str) -> bool:
        """Note the result of a check.

        :param failure: what is wrong with the addresses; empty if the same identity answered at all of them.
        :returns: False if the check was not under way, or of another label.
        """
        check = self._pending.get(fingerprint)
        if check is None or check.label != label:
            return False
        del self._pending[fingerprint]
        self._found[fingerprint] = failure
        return True

    def advise(self, about: bytes, adviser: bytes, failure: str) -> bool:
        """Note what a checker says.

        :param adviser: fingerprint of a known node that is a checker of this label, by :func:`is_checker`.
        :returns: True if that changes what is believed.
        """
        if about not in self._said and len(self._said) >= ADVICE_CAP:
            return False
        before = self.unreachable(about)
        said = self._said.setdefault(about, {})
        if adviser in said or len(said) < 2 * CHECKERS:
            said[adviser] = failure
        return self.unreachable(about) != before

    def unreachable(self, fingerprint: bytes) -> str:
        """What speaks against a node's addresses; empty if nothing. Who has dialled believes himself."""
        own = self._found.get(fingerprint)
        if own is not None:
            return own
        failures = [failure for failure in self._said.get(fingerprint, {}).values() if failure]
        return f"{len(failures)} nodes have not found it at its address" if len(failures) >= QUORUM else ""

    def renew(self, fingerprint: bytes) -> None:
        """Forget what was found at older addresses."""
        for found in (self._pending, self._found, self._said):
            found.pop(fingerprint, None)

    def forget(self, kept: Collection[bytes]) -> None:
        """Forget all but some nodes."""
        for fingerprint in {*self._pending, *self._found, *self._said} - set(kept):
            self.renew(fingerprint)
