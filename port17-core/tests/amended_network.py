"""A network in a folder, whose charter and bottles a test changes under a process that knows it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from port17.bottles.rack import save_bottle
from port17.config.settings import ClientConfig, NodeConfig
from port17.network import KnownNetwork
from port17.node.keyring import Keyring
from port17.node.publication import seal, span
from port17.plugins.loader import Registry
from port17.records.bottle import Bottle
from port17.records.charter import Charter, Genesis, Revision
from port17.records.identity import Identity
from port17_crypto.schemes import Ed25519

XWING = "p17-1-xwing-aes256gcm-sha256"
CHACHA = "p17-1-xwing-chacha20poly1305-blake2s"
X25519 = "p17-1-x25519-chacha20poly1305-blake2s"
SCHEME = Ed25519()
UPDATE_KEY = SCHEME.generate()
BEGUN = 1_800_000_000
"""Unix second at which the networks of the tests begin."""


class Amended:
    """Files, and the clock that those who read them go by."""

    def __init__(self, folder: Path, suites: Sequence[str] = (X25519,), **terms: Any) -> None:
        self.folder = folder
        self.registry = Registry()
        self.now = float(BEGUN + 5000)
        self.bottles = folder / "bottles"
        self.bottles.mkdir()
        self.file = folder / "net.charter"
        self.charter = Charter.found(
            Genesis.made(
                name="net",
                created=BEGUN,
                update_keys=(Identity.made(scheme="ed25519", public=UPDATE_KEY.public),),
                threshold=1,
            ),
            Revision.made(not_before=BEGUN, suites=list(suites), schemes=["ed25519"], **terms),
            [(SCHEME, UPDATE_KEY)],
        )
        self.charter.dump(self.file)

    def amend(self, *, write: bool = True, **changes: Any) -> Charter:
        """One revision more, that holds from now on unless ``changes`` say otherwise."""
        last = self.charter.revisions[-1].revision
        terms = {**last.to_value(), "not_before": int(self.now), **changes}
        self.charter = self.charter.amended(Revision.made(**terms), [(SCHEME, UPDATE_KEY)])
        if write:
            self.charter.dump(self.file)
        return self.charter

    def config(self, name: str = "ash", **changes: Any) -> NodeConfig:
        values = {
            "name": name,
            "charter": self.file,
            "bottles": self.bottles,
            "state": self.folder / f"{name}-state",
            "listen": {"tcp": "127.0.0.1:7000"},
            "addresses": {"allow_private": True},
            "rack": {"store": "memory"},
        }
        return NodeConfig.model_validate({**values, **changes})

    def client(self, **changes: Any) -> ClientConfig:
        values = {
            "charter": self.file,
            "bottles": self.bottles,
            "state": self.folder / "client-state",
            "addresses": {"allow_private": True},
            "rack": {"store": "memory"},
        }
        return ClientConfig.model_validate({**values, **changes})

    def node(
        self, name: str = "ash", days: int = 7, lanes: Sequence[bytes] = (bytes(32),), **config: Any
    ) -> tuple[Keyring, Bottle]:
        """A node's keyring and its bottle, which is put into the folder."""
        revision = self.charter.current(self.now)
        suites = [self.registry.make("port17.cipher_suites", one) for one in revision.suites]
        first, slots = span(revision, self.now, days)
        keyring = Keyring.create(
            self.folder / f"{name}-state",
            SCHEME,
            suites,
            self.charter.network_id,
            first,
            slots,
            revision.prekey_lifetime_s,
            overlap=revision.overlap_s,
        )
        return keyring, self.publish(keyring, name, lanes, **config)

    def publish(self, keyring: Keyring, name: str, lanes: Sequence[bytes], **config: Any) -> Bottle:
        """A node's bottle, signed now and put into the folder."""
        bottle = seal(
            self.config(name, **config),
            self.charter.current(self.now),
            self.charter.network_id,
            keyring,
            self.charter.current(self.now).suites,
            lanes,
            self.now,
        )
        save_bottle(self.bottles, bottle)
        return bottle

    def known(self, config: NodeConfig | ClientConfig | None = None) -> KnownNetwork:
        """What a process knows that starts now."""
        return KnownNetwork.load(config or self.client(), self.registry, lambda: self.now)
