"""Nodes that sign bottles, for the tests of what becomes of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from port17.bottles.validation import Terms
from port17.records.bottle import Bottle, Contents, Label, Slot
from port17.records.identity import Identity
from port17.records.prekey import PrekeyRecord
from port17.records.succession import hand_over
from port17_crypto.schemes import Ed25519

SCHEME = Ed25519()
NETWORK = bytes(range(32))
NOW = 1_800_000_000
SUITE = "p17-1-test"
TERMS = Terms(NETWORK, {"ed25519": SCHEME}, NOW)


class Maker:
    """One identity."""

    def __init__(self) -> None:
        self.key = SCHEME.generate()
        self.identity = Identity.made(scheme="ed25519", public=self.key.public)
        self.fingerprint = self.identity.fingerprint

    def prekey(self, slot: int = 5, filler: int = 1) -> PrekeyRecord:
        return PrekeyRecord.made(
            network_id=NETWORK,
            fingerprint=self.fingerprint,
            suite=SUITE,
            slot=slot,
            expiry=NOW + 1000,
            public=bytes([filler]) * 32,
        )

    def bottle(
        self,
        *,
        name: str = "alice",
        label_seq: int = 0,
        since: int = 0,
        seq: int = NOW,
        addresses: Mapping[str, Sequence[str]] | None = None,
        flavour: str = "public",
        prekeys: Iterable[PrekeyRecord] = (),
        bundle: Iterable[PrekeyRecord] = (),
        load: int = 0,
        exit_rules: Sequence[str] | None = None,
        network: bytes = NETWORK,
        before: Maker | None = None,
    ) -> Bottle:
        label = Label.made(
            identity=self.identity,
            name=name,
            suites=[SUITE],
            addresses={} if addresses is None else {one: list(held) for one, held in addresses.items()},
            flavour=flavour,
            since=since,
            seq=label_seq,
            exit=exit_rules,
            predecessors=[hand_over(NETWORK, SCHEME, before.key, self.identity)] if before else [],
        )
        slots = [Slot(one.slot, one.expiry, one.hash) for one in prekeys]
        contents = Contents.made(
            fingerprint=self.fingerprint, seq=seq, load=load, slots={SUITE: slots} if slots else {}
        )
        return Bottle.seal(network, SCHEME, self.key, label, contents, bundle)
