"""A network on paper for tests of downgrades: real keys, charter and bottles in files, which a man can edit.

No process runs; :meth:`Stage.client` reads the files as a client does when it starts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from port17.bottles.rack import save_bottle
from port17.bottles.sync import Scope, Update, Whole
from port17.bottles.sync_codec import encode
from port17.bottles.update import ContentsUpdate
from port17.config import ClientConfig
from port17.network import KnownNetwork
from port17.plugins.loader import Registry
from port17.records.bottle import Bottle, Contents, Label, Slot
from port17.records.charter import Charter
from port17.records.genesis import Genesis
from port17.records.identity import Identity
from port17.records.prekey import PrekeyRecord
from port17.records.revision import Revision, Signer
from port17.records.scheme import SigningKey
from port17.wire.prekey import OwnPrekey
from port17.wire.suite import CipherSuite

registry = Registry()
STRONG: CipherSuite = registry.make("port17.cipher_suites", "p17-1-xwing-aes256gcm-sha256")
WEAK: CipherSuite = registry.make("port17.cipher_suites", "p17-1-x25519-chacha20poly1305-blake2s")
BOTH = (STRONG, WEAK)
SCHEMES = {name: registry.make("port17.identity_schemes", name) for name in ("ed25519-mldsa65", "ed25519")}
COMPOSITE, SINGLE = SCHEMES["ed25519-mldsa65"], SCHEMES["ed25519"]
DAY_S = 24 * 3600
UPDATE_KEYS, THRESHOLD = 3, 2
SOURCE = bytes(32)
"""Fingerprint of a node that a client follows, and that nothing is known of otherwise."""


@dataclass(frozen=True)
class Person:
    """A node's keys.

    :param key: of the composite scheme.
    :param prekeys: one per suite, of the present slot, with the record that commits to it.
    """

    name: str
    key: SigningKey
    identity: Identity
    prekeys: tuple[tuple[PrekeyRecord, OwnPrekey], ...]

    @property
    def records(self) -> tuple[PrekeyRecord, ...]:
        """The public halves of the prekeys."""
        return tuple(record for record, _ in self.prekeys)

    def own(self, suite: CipherSuite) -> OwnPrekey:
        """The prekey of a suite."""
        return next(own for _, own in self.prekeys if own.suite.name == suite.name)


class Stage:
    """A network whose charter prefers the strong suite and the composite scheme, and allows weaker ones.

    :param folder: for its files.
    :param overlap_s: for how long what is superseded is accepted still.
    """

    def __init__(self, folder: Path, *, overlap_s: int = 3600) -> None:
        self.folder = folder
        self.bottles = folder / "bottles"
        self.bottles.mkdir()
        self._clients: dict[str, KnownNetwork] = {}
        """Who runs, by memory."""
        self.now = time.time()
        self.update_keys = [COMPOSITE.generate() for _ in range(UPDATE_KEYS)]
        genesis = Genesis.made(
            name="stage",
            created=int(self.now),
            update_keys=[Identity.made(scheme=COMPOSITE.name, public=key.public) for key in self.update_keys],
            threshold=THRESHOLD,
        )
        first = Revision.made(
            not_before=int(self.now) - 1000,
            suites=[suite.name for suite in BOTH],
            schemes=list(SCHEMES),
            overlap_s=overlap_s,
        )
        self.charter = Charter.found(genesis, first, self.signers())

    def signers(self, count: int = THRESHOLD) -> list[Signer]:
        """Who signs revisions."""
        return [(COMPOSITE, key) for key in self.update_keys[:count]]

    def amended(self, **changes: Any) -> Charter:
        """The charter with one revision more, which holds from a second ago on."""
        last = self.charter.revisions[-1].revision
        terms = {**last.to_value(), "not_before": int(self.now) - 1, **changes}
        return self.charter.amended(Revision.made(**terms), self.signers())

    def person(self, name: str, suites: Iterable[CipherSuite] = BOTH) -> Person:
        """Fresh keys of a node."""
        key = COMPOSITE.generate()
        identity = Identity.made(scheme=COMPOSITE.name, public=key.public)
        slot = int(self.now) // DAY_S
        prekeys = []
        for suite in suites:
            pair = suite.generate()
            record = PrekeyRecord.made(
                network_id=self.charter.network_id,
                fingerprint=identity.fingerprint,
                suite=suite.name,
                slot=slot,
                expiry=(slot + 1) * DAY_S + 3600,
                public=pair.public,
            )
            prekeys.append((record, OwnPrekey(suite, record.hash, slot, pair, record.expiry)))
        return Person(name, key, identity, tuple(prekeys))

    def label(self, who: Person, suites: Sequence[CipherSuite] = BOTH, **changes: Any) -> Label:
        """What a node says of itself."""
        fields = {
            "identity": who.identity,
            "name": who.name,
            "suites": [suite.name for suite in suites],
            "seq": int(self.now),
        }
        return Label.made(**{**fields, **changes})

    def contents(self, who: Person, suites: Sequence[CipherSuite] = BOTH, **changes: Any) -> Contents:
        """What a node says of this moment."""
        names = [suite.name for suite in suites]
        slots = {
            record.suite: [Slot(record.slot, record.expiry, record.hash)]
            for record in who.records
            if record.suite in names
        }
        fields = {"fingerprint": who.identity.fingerprint, "seq": int(self.now), "slots": slots}
        return Contents.made(**{**fields, **changes})

    def bottle(self, who: Person) -> Bottle:
        """A node's bottle as an honest node makes it."""
        label, contents = self.label(who), self.contents(who)
        return Bottle.seal(self.charter.network_id, COMPOSITE, who.key, label, contents, who.records)

    def put(self, bottle: Bottle) -> None:
        """Hand a bottle on: it is a file in the folder of bottles."""
        save_bottle(self.bottles, bottle)

    def client(
        self, charter: Charter | None = None, suites: Sequence[str] = (), memory: str = "state"
    ) -> KnownNetwork:
        """What a client that starts now knows of the network; whoever had its folder before has ended.

        :param charter: what its charter file holds, if not the charter.
        :param memory: its own folder, with all that it remembers; another one is another client.
        :raises Port17Error: it refuses to start.
        """
        path = self.folder / "stage.charter"
        (charter or self.charter).dump(path)
        config = ClientConfig(
            charter=path, bottles=self.bottles, state=self.folder / memory, suites=list(suites)
        )
        before = self._clients.pop(memory, None)
        if before is not None:
            before.close()
        self._clients[memory] = network = KnownNetwork.load(config, registry, lambda: self.now)
        return network


def told(network: KnownNetwork, *bottles: Bottle) -> None:
    """A source of gossip says this: each as a whole bottle, and as contents for a label that is held."""
    gossip = network.gossip
    key = gossip.follow(SOURCE, lambda: None, scope=Scope.NEAR, bundles=False)
    for bottle in bottles:
        update = ContentsUpdate.of(bottle, bottle.bundle).encode()
        for message in (Whole(bottle.encode()), Update(bottle.fingerprint, update)):
            gossip.heard(key, encode(message))
            while gossip.step(key, 0.0):
                pass
    gossip.gone(key)


def used(network: KnownNetwork, who: Person) -> str | None:
    """The suite that a client uses with a node; None if it does not use the node at all, or has no prekey of
    the one suite that it would use."""
    node = network.chart().nodes.get(who.identity.fingerprint)
    if node is None:
        return None
    responder = network.responder(node)
    if responder is None:
        return None
    assert responder.suite.name == node.suite, "the map and the handshake are of two opinions"
    return node.suite


def aimed_at(network: KnownNetwork, who: Person) -> str | None:
    """The suite of which a client would ask for a node's prekeys; None if it does not use the node at all."""
    node = network.chart().nodes.get(who.identity.fingerprint)
    return None if node is None else node.suite


def without(bottle: Bottle, suite: CipherSuite) -> Bottle:
    """A bottle whose bundle has lost the prekeys of a suite; all that is signed stays."""
    return replace(bottle, bundle=tuple(record for record in bottle.bundle if record.suite != suite.name))
