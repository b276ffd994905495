"""The suites and schemes that the setting-up commands need, from whatever is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from port17.errors import ConfigError, PluginError
from port17.plugins.families import CIPHER_SUITES, IDENTITY_SCHEMES
from port17.records.level import Status

if TYPE_CHECKING:
    from port17.config import ClientConfig, NodeConfig
    from port17.plugins.loader import Registry
    from port17.records.charter import Charter
    from port17.records.scheme import IdentityScheme
    from port17.wire.suite import CipherSuite

USUAL_SUITE = "p17-1-xwing-aes256gcm-sha256"
USUAL_SCHEME = "ed25519"


def suites(registry: Registry, names: Iterable[str]) -> list[CipherSuite]:
    """The suites of these names.

    :raises PluginError: one is not installed or broken.
    """
    return [registry.make(CIPHER_SUITES, name) for name in names]


def scheme(registry: Registry, name: str) -> IdentityScheme:
    """The identity scheme of a name, to make keys of it or to allow it.

    :raises ConfigError: its author says that it protects nothing.
    :raises PluginError: it is not installed, or does not work.
    """
    found: IdentityScheme = registry.make(IDENTITY_SCHEMES, name)
    if found.status is Status.BROKEN:
        raise ConfigError(
            f"The identity scheme {name} is broken: nobody believes what it signs.",
            cure="Take another: `port17 suites list` shows what there is.",
        )
    return found


def present_charter(config: NodeConfig | ClientConfig, installed: Mapping[str, IdentityScheme]) -> Charter:
    """The charter that a node or a client goes by: its file's, or the newest that its process has seen. A
    command signs and shows nothing by an older one.

    :param installed: every identity scheme: any may have signed it.
    :raises ConfigError: it can't be read, or is another network's.
    """
    from port17.records.charter_file import CharterFile

    return CharterFile(config.charter, config.state, installed).read()


def schemes(registry: Registry) -> dict[str, IdentityScheme]:
    """Every identity scheme that works; who needs one that doesn't will miss it by name."""
    found: dict[str, IdentityScheme] = {}
    for name in registry.names(IDENTITY_SCHEMES):
        try:
            found[name] = registry.make(IDENTITY_SCHEMES, name)
        except PluginError:
            continue  # `port17 plugins list` says what is wrong with it
    return found


def allowed(asked: Iterable[str], charter: Iterable[str], noun: str) -> list[str]:
    """What was asked for, if the charter allows it; what the charter allows, if nothing was asked for.

    :raises ConfigError: something was asked for that the charter does not allow.
    """
    permitted = list(charter)
    chosen = list(asked) or permitted
    for name in chosen:
        if name not in permitted:
            raise ConfigError(
                f"The charter does not allow the {noun} {name}.", cure=f"It allows {', '.join(permitted)}."
            )
    return chosen
