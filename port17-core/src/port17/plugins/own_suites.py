"""The cipher suites that this end can use: installed, working, good enough, and named by its configuration.

Which of them the charter allows, and which one two ends choose, is not said here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from port17.errors import ConfigError, PluginError
from port17.navigator.agreement import preference
from port17.plugins.families import CIPHER_SUITES
from port17.plugins.loader import Registry
from port17.records.revision import Revision
from port17.wire import kem
from port17.wire.suite import KEY_SIZE, CipherSuite, Status

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """What can be used under one revision of the charter.

    :param terms: the revision; what the suites' authors deprecate is deprecated in it, too.
    :param suites: by name, best first.
    :param refused: of every other suite that the charter allows, why it can't be used.
    """

    terms: Revision
    suites: dict[str, CipherSuite]
    refused: dict[str, str]


class OwnSuites:
    """What is installed, as far as anybody asked for it; each suite is loaded once."""

    def __init__(self, registry: Registry, wanted: Sequence[str] = ()) -> None:
        """:param wanted: the configuration's names; empty takes whatever the charter allows."""
        self._registry = registry
        self._wanted = tuple(wanted)
        self._made: dict[str, CipherSuite | str] = {}

    def under(self, revision: Revision) -> Choice:
        """What can be used while a revision holds."""
        suites: dict[str, CipherSuite] = {}
        refused: dict[str, str] = {}
        for name in revision.suites:
            suite = self._suite(name)
            if isinstance(suite, str):
                refused[name] = suite
            elif suite.status is Status.BROKEN:
                refused[name] = "its status is broken"
            elif not suite.stream_cipher:
                refused[name] = "it cannot be used for circuits: its AEAD is no stream cipher"
            elif (
                suite.confidentiality.classical < revision.classical_bits
                or suite.confidentiality.quantum < revision.quantum_category
            ):
                refused[name] = "it is below the least level that the charter asks for"
            else:
                suites[name] = suite
        terms = _aged(revision, suites)
        order = preference(terms)
        return Choice(
            terms,
            {name: suites[name] for name in order if name in suites},
            {name: refused[name] for name in order if name in refused},
        )

    def across(self, revisions: Iterable[Revision]) -> dict[str, CipherSuite]:
        """What can be used under any of some revisions, by name; the first's come first."""
        suites: dict[str, CipherSuite] = {}
        for revision in revisions:
            suites = {**suites, **self.under(revision).suites}
        return suites

    def check(self, revision: Revision) -> Choice:
        """The same where a process starts: logs what of the configuration counts for nothing.

        :raises ConfigError: nothing can be used.
        :raises PluginError: nothing can be used, since what the configuration names is missing or broken.
        """
        choice = self.under(revision)
        foreign = [name for name in self._wanted if name not in revision.suites]
        for name in foreign if choice.suites else ():
            _log.warning(
                "the charter does not allow the cipher suite %s of the configuration: not used", name
            )
        for name, reason in choice.refused.items() if choice.suites else ():
            named = name in self._wanted
            _log.log(logging.WARNING if named else logging.INFO, "the cipher suite %s: %s", name, reason)
        if not choice.suites:
            raise self.nothing_left(revision, choice)
        return choice

    def nothing_left(self, revision: Revision, choice: Choice) -> ConfigError | PluginError:
        """The error for a revision under which this end can use no suite."""
        allowed = ", ".join(revision.suites)
        if self._wanted and not set(self._wanted) & set(revision.suites):
            return ConfigError(
                f"the charter does not allow the cipher suite {_listed(self._wanted)}, and the configuration"
                " names no other",
                cure=f"Change suites, or leave it out; the charter allows {allowed}.",
            )
        for name in self._wanted:
            if name in revision.suites and isinstance(self._suite(name), str):
                try:
                    self._registry.make(CIPHER_SUITES, name)
                except (ConfigError, PluginError) as error:
                    return error
        reasons = "; ".join(f"{name}: {reason}" for name, reason in choice.refused.items())
        return ConfigError(
            f"no cipher suite that the charter allows can be used here ({reasons})",
            cure=f"Install what brings one of {allowed}, or change suites in the configuration.",
        )

    def _suite(self, name: str) -> CipherSuite | str:
        """A suite, or why there is none."""
        if self._wanted and name not in self._wanted:
            return "our configuration does not name it"
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> CipherSuite | str:
        if name not in self._registry.names(CIPHER_SUITES):
            return "it is not installed here"
        try:
            suite = self._registry.make(CIPHER_SUITES, name)
        except (ConfigError, PluginError) as error:  # broken, or refused by another plugin
            return f"it cannot be used here: {error.message}"
        return _tried(suite)


def _tried(suite: CipherSuite) -> CipherSuite | str:
    """A suite that makes keys which work, or what is wrong with it: better said now than by the first
    circuit. A plugin may need what this machine's libraries lack."""
    try:
        key = suite.generate()
        secret, ciphertext = kem.encapsulate(suite, key.public)
        agrees = kem.decapsulate(suite, key.private, ciphertext) == secret
        sizes = {len(suite.hash(b"")), len(suite.extract(bytes(KEY_SIZE), secret))}
    except Exception as fault:  # noqa: BLE001 - a plugin's; its message could show a key
        return f"it cannot be used here: it makes no keys ({type(fault).__name__})"
    if sizes != {KEY_SIZE}:
        return f"it cannot be used here: its hash and what it extracts have to be of {KEY_SIZE} bytes"
    return suite if agrees else "it cannot be used here: the two ends of its key agreement differ"


def _aged(revision: Revision, suites: Mapping[str, CipherSuite]) -> Revision:
    """A revision that deprecates what the suites' authors do. Only we go by it: the node that we call takes
    whatever it serves."""
    aged = {name for name, suite in suites.items() if suite.status is Status.DEPRECATED}
    deprecated = tuple(name for name in revision.suites if name in aged or name in revision.deprecated)
    return revision.model_copy(update={"deprecated": deprecated}) if aged else revision


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
