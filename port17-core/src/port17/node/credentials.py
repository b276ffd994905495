"""A node's keys, as its links, circuits and marks use them while it runs."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from port17.config.settings import NodeConfig
from port17.errors import ConfigError
from port17.network import KnownNetwork
from port17.node.identity_file import Passphrase
from port17.node.keyring import Keyring
from port17.node.passphrase import source
from port17.plugins.families import CIPHER_SUITES
from port17.plugins.loader import Registry
from port17.records.mark import Mark, SignedMark
from port17.wire.handshake import NodeSigner
from port17.wire.prekey import OwnPrekey

_log = logging.getLogger(__name__)


class Credentials:
    """Of one node."""

    def __init__(
        self,
        config: NodeConfig,
        registry: Registry,
        network: KnownNetwork,
        passphrase: Passphrase | None = None,
    ) -> None:
        """
        :param passphrase: asked if the identity is locked; None asks where the configuration says.
        :raises ConfigError: keys are missing or wrong.
        """
        self._network = network
        self.keyring = Keyring.load(
            config.state,
            network.schemes,
            network.prepared,
            network.charter.network_id,
            passphrase=passphrase
            or source(None, config.identity.passphrase_file, f"Passphrase of {config.name}"),
            find_suite=lambda name: registry.make(CIPHER_SUITES, name),
            now=network.wall(),
        )
        self.burn()
        self.identity = self.keyring.identity
        self.signer = NodeSigner(self.identity.fingerprint, self._sign)

    def _sign(self, message: bytes) -> bytes:
        return self.keyring.scheme.sign(self.keyring.signing_key, message)

    def seal(self, mark: Mark) -> SignedMark:
        """A mark under the node's signature."""
        keyring = self.keyring
        return SignedMark.seal(self._network.charter.network_id, keyring.scheme, keyring.signing_key, mark)

    def prekey(self, suite: str, slot: int) -> OwnPrekey | None:
        """Our prekey of a place, if it is in force."""
        held, served = self.keyring.prekeys.get((suite, slot)), self._network.served.get(suite)
        if held is None or served is None or held[0].expiry <= self._network.wall():
            return None
        record, key = held
        return OwnPrekey(served, record.hash, slot, key, record.expiry)

    def prekeys(self) -> Iterable[OwnPrekey]:
        """Those in force, the present slot's first: callers use hardly any other."""
        present = int(self._network.wall()) // self._network.revision.prekey_lifetime_s
        places = sorted(self.keyring.prekeys, key=lambda place: abs(place[1] - present))
        return [own for place in places if (own := self.prekey(*place)) is not None]

    def burn(self) -> None:
        """Erase what has expired. What goes wrong is logged."""
        try:
            for record in self.keyring.burn(self._network.wall()):
                _log.info("the prekey of slot %d has expired and is erased", record.slot)
        except ConfigError as error:
            _log.error("%s", error)  # what is dead must not stop what lives; it is said again every minute
