"""Who signs bottles here: identities made from the seed, whose labels, contents and prekeys have usual sizes.

The signatures are real ones of Ed25519. The prekeys are random bytes of a key's length: nobody encapsulates
to them, and the terms of the simulated nodes name no suite that could tell.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from port17.records import envelope
from port17.records.bottle import CONTENTS_KIND, LABEL_KIND, Bottle, Contents, Label, Lane, Slot
from port17.records.framing import digest
from port17.records.identity import Identity
from port17.records.prekey import PrekeyRecord
from port17_crypto.schemes import Ed25519

SCHEME: Final = Ed25519()
NETWORK: Final = digest("simulated network")
EPOCH_S: Final = 1_800_000_000
"""Unix time at which every world begins."""
SUITES: Final = ("p17-1-xwing-aes256gcm-sha256", "p17-1-xwing-chacha20poly1305-blake2s")
"""What every node serves, as the default charter's nodes do."""
PUBLIC_SIZE: Final = 1216
"""Bytes of an X-Wing key."""
SLOTS: Final = 8
"""Prekey slots of each suite, as nodes of the default charter publish them: a week's, and the current one."""
LIFETIME_S: Final = 24 * 3600
"""Seconds of one slot."""
MOST_CAPACITY: Final = 1 << 30
"""Bytes per second: the largest capacity of a simulated lane. Lanes' numbers are drawn, so that they take
the bytes that measured ones would."""


class Author:
    """One identity and what it signs. Its numbers rise by themselves."""

    def __init__(
        self,
        chance: random.Random,
        name: str,
        *,
        group: str = "",
        addresses: Mapping[str, Sequence[str]] | None = None,
        since: int = EPOCH_S - 90 * LIFETIME_S,
        flavour: str = "public",
        slots: int = SLOTS,
        keep_bundle: bool = True,
    ) -> None:
        """
        :param chance: where the key comes from.
        :param slots: prekey slots of each suite.
        :param keep_bundle: False keeps of the prekeys what contents say of them alone.
        """
        self.key = SCHEME.load_private(chance.randbytes(32))
        self.identity = Identity.made(scheme=SCHEME.name, public=self.key.public)
        self.fingerprint = self.identity.fingerprint
        self._chance = random.Random(self.fingerprint)
        self.said: dict[str, Any] = {
            "identity": self.identity,
            "name": name,
            "group": group,
            "addresses": {one: list(held) for one, held in (addresses or {}).items()},
            "suites": list(SUITES),
            "since": since,
            "flavour": flavour,
        }
        """What the label says."""
        self.holds = frozenset(at for held in self.said["addresses"].values() for at in held)
        """Where it is, whatever it says."""
        self._first_slot = EPOCH_S // LIFETIME_S
        made = tuple(
            self._prekey(suite, self._first_slot + more) for suite in SUITES for more in range(slots)
        )
        self.bundle = made if keep_bundle else ()
        self._slots: dict[str, list[Slot]] = {}
        for record in made:
            self._slots.setdefault(record.suite, []).append(Slot(record.slot, record.expiry, record.hash))
        self.label_seq = EPOCH_S - LIFETIME_S
        self.contents_seq = 0
        self.label = self._label()
        self._lanes: dict[bytes, Lane] = {}

    def _prekey(self, suite: str, slot: int) -> PrekeyRecord:
        return PrekeyRecord.made(
            network_id=NETWORK,
            fingerprint=self.fingerprint,
            suite=suite,
            slot=slot,
            expiry=(slot + 1) * LIFETIME_S + 3600,
            public=self._chance.randbytes(PUBLIC_SIZE),
        )

    def _label(self) -> envelope.Envelope:
        label = Label.made(**self.said, seq=self.label_seq)
        return envelope.sign(LABEL_KIND, NETWORK, SCHEME, self.key, label.to_cbor())

    def relabel(self, **changed: Any) -> None:
        """Say something else in the label, under the next number.

        :param changed: fields of :class:`~port17.records.bottle.Label`.
        """
        self.said.update(changed)
        self.label_seq += 1
        self.label = self._label()

    def contents(
        self, lanes: Iterable[bytes | Lane], now_s: float, *, load: int = 0, flags: Sequence[str] = ()
    ) -> envelope.Envelope:
        """Fresh contents.

        :param lanes: by the neighbour alone, it gets numbers that measured ones would take as many bytes as.
        :param now_s: Unix time by the signer's clock; a number that was used is not used again.
        """
        self.contents_seq = max(int(now_s), self.contents_seq + 1)
        said = Contents.made(
            fingerprint=self.fingerprint,
            seq=self.contents_seq,
            slots=self._slots,
            lanes=[one if isinstance(one, Lane) else self._lane(one) for one in lanes],
            load=load,
            flags=list(flags),
        )
        return envelope.sign(CONTENTS_KIND, NETWORK, SCHEME, self.key, said.to_cbor())

    def _lane(self, peer: bytes) -> Lane:
        if peer not in self._lanes:
            latency_us = self._chance.randrange(1000, 200_000)
            self._lanes[peer] = Lane(peer, latency_us, self._chance.randrange(1 << 20, MOST_CAPACITY))
        return self._lanes[peer]

    def bottle(
        self,
        lanes: Iterable[bytes | Lane] = (),
        now_s: float = EPOCH_S,
        *,
        load: int = 0,
        flags: Sequence[str] = (),
    ) -> Bottle:
        """The whole, with every prekey record."""
        return Bottle.of(self.label, self.contents(lanes, now_s, load=load, flags=flags), self.bundle)
