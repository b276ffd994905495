"""Keys as commands get at them: whose passphrase is asked for where, and how a new one is locked."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from port17.errors import ConfigError, UsageError
from port17_cli import drivers, enrolment

if TYPE_CHECKING:
    from port17.config import NodeConfig
    from port17.node.identity_file import IdentityFile, Locker, Passphrase
    from port17.node.keyring import Keyring
    from port17.plugins.loader import Registry
    from port17.records.charter import Charter
    from port17.records.revision import Revision


def asked(args: argparse.Namespace, file: Path | None, whose: str) -> Passphrase:
    """The passphrase of a key that exists: from ``--passphrase-fd``, the file or the terminal.

    Nothing keeps it; who needs it twice has to.
    """
    from port17.links.process import forbid_core_dumps
    from port17.node.passphrase import source

    forbid_core_dumps()
    return source(args.passphrase_fd, file, f"Passphrase of {whose}")


def wants_lock(args: argparse.Namespace) -> bool:
    """Whether new keys are to be locked: whoever says with what means it."""
    return bool(args.lock or args.passphrase_fd is not None)


def refuse_unlocked(args: argparse.Namespace, held: IdentityFile, name: str) -> None:
    """:raises UsageError: a passphrase is given for a key that has none."""
    if args.passphrase_fd is not None and held.lock is None:
        raise UsageError(
            f"{name} is not locked: --passphrase-fd has nothing to open.",
            cure="Leave it out; `port17 identity passphrase` locks what exists, with --new-passphrase-fd.",
        )


def locker(
    registry: Registry, suite: str | None, descriptor: int | None, file: Path | None, whose: str
) -> Locker:
    """Asks for the passphrase of a key that is to be locked.

    :param suite: name of the cipher suite whose AEAD is to hold it; None is the usual one.
    :param descriptor: where the passphrase is read from, before ``file``.
    :raises PassphraseError: there is none.
    """
    from port17.links.process import forbid_core_dumps
    from port17.node.identity_file import Locker
    from port17.node.passphrase import source

    forbid_core_dumps()
    (held,) = drivers.suites(registry, [suite or drivers.USUAL_SUITE])
    return Locker(source(descriptor, file, f"New passphrase of {whose}", twice=True)(), held)


def open_node(
    args: argparse.Namespace,
    config: NodeConfig,
    charter: Charter,
    registry: Registry,
    now: float,
    passphrase: Passphrase | None = None,
) -> Keyring:
    """The keyring of a node, with what its own bottle says that it has published.

    :param passphrase: None asks where ``args`` and the configuration say.
    :raises ConfigError: it can't be used.
    """
    from port17.node.keyring import Keyring

    keyring = Keyring.load(
        config.state,
        drivers.schemes(registry),
        enrolment.served(config, charter, registry, now),
        charter.network_id,
        passphrase=passphrase or asked(args, config.identity.passphrase_file, f"the node {config.name}"),
        find_suite=lambda name: drivers.suites(registry, [name])[0],
        now=now,
    )
    _note_bottle(config, charter, keyring)
    return keyring


def stock(keyring: Keyring, charter: Charter, revision: Revision, span: tuple[int, int]) -> None:
    """Makes the prekeys that are missing, and saves them.

    :param span: first slot, and how many.
    :raises ConfigError: there is none for any of the slots, and none may be made.
    """
    first, slots = span
    keyring.stock(charter.network_id, first, slots, revision.prekey_lifetime_s, overlap=revision.overlap_s)
    keyring.save()
    if not any(first <= record.slot < first + slots for record in keyring.records()):
        raise ConfigError(
            f"The prekeys that {keyring.identity.node_id} may have published are lost; none is made twice.",
            cure="Run `port17 identity rotate`: a successor has published none.",
        )


def _note_bottle(config: NodeConfig, charter: Charter, keyring: Keyring) -> None:
    """What is published stays published, even if the keys were restored from a backup that is older."""
    from port17.node.publication import published

    bottle = published(config.bottles, charter.network_id, keyring)
    if bottle is not None:
        keyring.committed(bottle.contents.slots)
