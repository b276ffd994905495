"""The registry: loads plugins by name when they are asked for, and remembers what could not be used and why.

Finding is the finder's; which plugins a process wants, and with which options, its configuration's.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, overload

from port17.errors import ConfigError, PluginError, Port17Error
from port17.plugins.families import (
    ALWAYS_ON,
    CIPHER_SUITES,
    FAMILIES,
    HOOKS,
    POLICIES,
    TRANSPORTS,
    Family,
)
from port17.plugins.finder import Finds, Found, search

if TYPE_CHECKING:
    # Importing these costs a tenth of a second; who only lists plugins doesn't pay it.
    from port17.bottles.rack import BottleStore
    from port17.bottles.verdict import Verdict
    from port17.hookspecs import Hooks
    from port17.links.transport import Transport
    from port17.navigator.policy import Judgement, RoutePolicy
    from port17.plugins.board import HookBoard
    from port17.plugins.panel import Panel
    from port17.records.bottle import Bottle
    from port17.records.scheme import IdentityScheme
    from port17.wire.suite import CipherSuite

Options: TypeAlias = Mapping[str, object]
"""A driver's own table of a configuration."""


class Registry:
    """The plugins of one process.

    Cheap to make: metadata is read at once, nothing is imported before it is named. A driver that is named
    and cannot be used raises; a hook plugin, which nobody names, is left out and listed in ``problems``.
    """

    def __init__(self, found: Iterable[Found] | None = None, *, blocked: Iterable[str] = ()) -> None:
        """A registry of what is installed.

        :param found: what to offer instead of what is installed.
        :param blocked: names of hook plugins and policies that are not taken.
        """
        finds = search() if found is None else Finds(tuple(found), ())
        self._claims: dict[tuple[str, str], list[Found]] = {}
        for one in finds.found:
            self._claims.setdefault((one.group, one.name), []).append(one)
        self._blocked = frozenset(blocked)
        self._classes: dict[Found, type[Any]] = {}
        self._failures: dict[Found, PluginError] = {}
        self.unreadable: Final = finds.problems
        self._problems: list[PluginError] = [*finds.problems, *self._metadata_problems()]
        self._board: HookBoard | None = None

    # -- what there is ---------------------------------------------------------------------------------
    def found(self, group: str | None = None) -> list[Found]:
        """What was found, duplicates and strangers included, in a stable order."""
        return [one for (held, _), claims in self._claims.items() if group in (None, held) for one in claims]

    def names(self, group: str) -> list[str]:
        """The names in an entry-point group. Which of them work is known once they are loaded."""
        return [name for held, name in self._claims if held == group]

    @property
    def problems(self) -> list[PluginError]:
        """Everything left out so far, metadata first. The doctor loads all there is before it looks."""
        return [*self._problems, *self._failures.values()]

    def is_duplicate(self, found: Found) -> bool:
        """Whether it shares its name with another."""
        return len(self._claims[found.group, found.name]) > 1

    def diagnose(self, found: Found) -> PluginError | None:
        """Load one of :meth:`found` and say what is wrong with it; None if nothing."""
        from port17.plugins import faults

        if found.group not in FAMILIES:
            return faults.unknown_group(found)
        if self.is_duplicate(found):
            return faults.duplicate(self._claims[found.group, found.name])
        if found.group == HOOKS:
            self._loaded_board()
            return self._failures.get(found)
        try:
            self.driver(found.group, found.name)
        except PluginError as error:
            return error
        return None

    # -- drivers ---------------------------------------------------------------------------------------
    @overload
    def driver(self, group: Literal["port17.cipher_suites"], name: str) -> type[CipherSuite]: ...
    @overload
    def driver(self, group: Literal["port17.identity_schemes"], name: str) -> type[IdentityScheme]: ...
    @overload
    def driver(self, group: Literal["port17.transports"], name: str) -> type[Transport]: ...
    @overload
    def driver(self, group: Literal["port17.bottle_stores"], name: str) -> type[BottleStore]: ...
    @overload
    def driver(self, group: Literal["port17.policies"], name: str) -> type[RoutePolicy]: ...
    @overload
    def driver(self, group: str, name: str) -> type[Any]: ...
    def driver(self, group: str, name: str) -> type[Any]:
        """The class of a driver, imported at the first call.

        :param group: an entry-point group of drivers.
        :raises PluginError: it is missing, there twice, broken, or not what the group promises.
        """
        found = self._only(group, name)
        if found in self._failures:
            raise self._failures[found]
        if found not in self._classes:
            try:
                self._classes[found] = self._class(found, FAMILIES[group])
            except PluginError as error:
                self._failures[found] = error
                raise
        return self._classes[found]

    @overload
    def make(
        self, group: Literal["port17.cipher_suites"], name: str, config: Options | None = None
    ) -> CipherSuite: ...
    @overload
    def make(
        self, group: Literal["port17.identity_schemes"], name: str, config: Options | None = None
    ) -> IdentityScheme: ...
    @overload
    def make(
        self, group: Literal["port17.transports"], name: str, config: Options | None = None
    ) -> Transport: ...
    @overload
    def make(
        self, group: Literal["port17.bottle_stores"], name: str, config: Options | None = None
    ) -> BottleStore: ...
    @overload
    def make(
        self, group: Literal["port17.policies"], name: str, config: Options | None = None
    ) -> RoutePolicy: ...
    @overload
    def make(self, group: str, name: str, config: Options | None = None) -> Any: ...
    def make(self, group: str, name: str, config: Options | None = None) -> Any:
        """An instance of a driver.

        :param config: its own table of the configuration, for its ``Config``.
        :raises PluginError: see :meth:`driver`; or its code failed.
        :raises ConfigError: its ``Config`` refuses the options, or a plugin forbids its use.
        """
        from port17.plugins.faults import described
        from port17.plugins.making import construct

        cls = self.driver(group, name)
        found = self._only(group, name)
        instance = construct(cls, config or {}, described(found), found.dist)
        self._ask_whether_refused(group, instance, described(found))
        return instance

    def policies(
        self,
        specs: Sequence[str],
        options: Mapping[str, Options] | None = None,
        *,
        folder: Path | None = None,
        placed: bool = True,
    ) -> Panel:
        """Make the configured route policies and register their hooks. Once per registry.

        One that cannot be used raises: who asked for a policy doesn't go without it. Those of
        :data:`~port17.plugins.families.ALWAYS_ON` are there in any case.

        :param specs: driver names, or ``FILE.py:CLASS``.
        :param options: per entry of ``specs`` or policy that is always on, its own table.
        :param folder: what relative files are relative to; the working directory if None.
        :param placed: whether a geo source says where nodes are.
        :returns: what the navigator asks: these policies and all hook plugins together.
        :raises PluginError: a policy is missing, there twice or broken.
        :raises ConfigError: a policy is named twice or refuses its options, options name no policy, or one
            wants places and nobody says where nodes are.
        """
        from port17.plugins import faults
        from port17.plugins.local import is_local

        given = options or {}
        usual = [name for name in ALWAYS_ON if name not in specs and name not in self._blocked]
        for spec in specs:
            if specs.count(spec) > 1:
                raise ConfigError(f"policies: {spec!r} is named twice", cure="Name it once in `policies`.")
        for name in given:
            if name not in (*specs, *usual):
                raise faults.options_of_nobody(name, [*specs, *usual])
        board = self._loaded_board()
        for spec in (*usual, *specs):
            if is_local(spec):
                policy = self._register_local(board, spec, given.get(spec, {}), folder or Path.cwd())
            else:
                policy = self._register_policy(board, spec, given.get(spec, {}))
            if policy.wants_places and not placed:
                raise faults.nowhere(spec)
        return self.panel

    # -- hooks -----------------------------------------------------------------------------------------
    @property
    def hooks(self) -> Hooks:
        """The typed hook relay. A call of it ends at the first plugin that raises: see :attr:`panel`."""
        return self._loaded_board().hooks

    @property
    def panel(self) -> Panel:
        """All plugins' opinions, each with its name, made into one judgement."""
        from port17.plugins.panel import Panel

        return Panel(self._loaded_board())

    def judge_bottle(self, bottle: Bottle) -> Verdict:
        """What all bottle validators say together."""
        return self.panel.judge_bottle(bottle)

    # -- the inside ------------------------------------------------------------------------------------
    def _metadata_problems(self) -> list[PluginError]:
        problems: list[PluginError] = []
        for (group, _), claims in self._claims.items():
            if group in FAMILIES and len(claims) == 1:
                continue
            from port17.plugins import faults

            if group not in FAMILIES:
                problems += [faults.unknown_group(found) for found in claims]
            else:
                problems.append(faults.duplicate(claims))
        return problems

    def _only(self, group: str, name: str) -> Found:
        """The one distribution that offers a driver."""
        claims = self._claims.get((group, name), [])
        if len(claims) != 1:
            from port17.plugins import faults

            if claims:
                raise faults.duplicate(claims)
            raise faults.missing(FAMILIES[group], name, self.names(group))
        return claims[0]

    def _class(self, found: Found, family: Family) -> type[Any]:
        from port17.plugins import faults

        plugin = load(found)
        flaw = self._flaw(plugin, found.name, family)
        if flaw or not isinstance(plugin, type):
            raise faults.unfit(faults.described(found), found.dist, flaw)
        return plugin

    def _flaw(self, plugin: Any, name: str, family: Family) -> str:
        """Why a loaded object is no driver of its family, as a clause; empty if it is."""
        contract = family.load_contract()
        if not isinstance(plugin, type):
            return f"it is an instance of {type(plugin).__name__}, not a class"
        if not issubclass(plugin, contract):
            return f"{plugin.__name__} does not derive from {contract.__module__}.{contract.__name__}"
        if inspect.isabstract(plugin):
            lacking: frozenset[str] = getattr(plugin, "__abstractmethods__", frozenset())
            return f"{plugin.__name__} lacks {', '.join(sorted(lacking))}"
        own_name = getattr(plugin, "name", name)
        if own_name != name:
            return f"its class says that its name is {own_name!r}"
        if family.group == POLICIES:
            board = self._loaded_board()
            return board.flaw(plugin) or board.unknown_hooks(plugin)
        return ""

    def _ask_whether_refused(self, group: str, instance: Any, what: str) -> None:
        if group not in (CIPHER_SUITES, TRANSPORTS):
            return
        judgement: Judgement = (
            self.panel.judge_suite(instance)
            if group == CIPHER_SUITES
            else self.panel.judge_transport(instance)
        )
        if judgement.objections:
            said = "; ".join(f"{objection.by}: {objection.reason}" for objection in judgement.objections)
            raise ConfigError(
                f"{what} is refused by a plugin: {said}",
                cure="Configure another one, or uninstall the plugin that refuses.",
            )

    def _loaded_board(self) -> HookBoard:
        """The board with all hook plugins, loaded one by one at the first call."""
        if self._board is None:
            from port17.plugins.board import HookBoard

            self._board = HookBoard(self._blocked)
            for found in self.found(HOOKS):
                try:
                    self._register_hooks(self._board, found)
                except PluginError as error:
                    self._failures[found] = error
        return self._board

    def _register_hooks(self, board: HookBoard, found: Found) -> None:
        from port17.plugins import faults
        from port17.plugins.making import construct

        what = faults.described(found)
        plugin = load(found)
        if isinstance(plugin, type):
            try:
                plugin = construct(plugin, {}, what, found.dist)
            except PluginError:
                raise
            except Port17Error as error:
                raise faults.crashed(what, found.dist, "to be made without options", error) from error
        # Of two that claim one name both are asked: leaving one out could open what it would have closed.
        name = f"{found.name}@{found.dist}" if self.is_duplicate(found) else found.name
        board.register(plugin, HOOKS, name, what, found.dist)

    def _register_policy(self, board: HookBoard, name: str, options: Options) -> RoutePolicy:
        from port17.plugins.faults import described

        policy = self.make(POLICIES, name, options)
        found = self._only(POLICIES, name)
        board.register(policy, POLICIES, name, described(found), found.dist)
        return policy

    def _register_local(self, board: HookBoard, spec: str, options: Options, folder: Path) -> RoutePolicy:
        from port17.navigator.policy import RoutePolicy
        from port17.plugins import faults
        from port17.plugins.local import load_local
        from port17.plugins.making import construct

        file, _, class_name = spec.rpartition(":")
        what = f"policy {spec}"
        cls = load_local(spec, folder)
        if not (isinstance(cls, type) and issubclass(cls, RoutePolicy)):
            raise faults.unfit(
                what, Path(file).name, "it is not a class that derives from port17.RoutePolicy"
            )
        policy: RoutePolicy = construct(cls, options, what, Path(file).name)
        board.register(policy, POLICIES, f"{Path(file).name}:{class_name}", what, Path(file).name)
        return policy


def load(found: Found) -> object:
    """What an entry point names, imported by stevedore.

    :raises PluginError: whatever the import raised, with the package, its version and a cure.
    """
    from port17.plugins.faults import unloadable

    try:
        return _stevedore_load(found)
    except (Exception, SystemExit) as error:
        raise unloadable(found, error) from error


def _stevedore_load(found: Found) -> object:
    from stevedore import DriverManager

    class OneFound(DriverManager[Any]):
        """Loads what our finder found, so that stevedore's cache file never says what is imported."""

        def list_entry_points(self) -> list[EntryPoint]:
            return [EntryPoint(found.name, found.value, found.group)]

    manager = OneFound(found.group, found.name, on_missing_entrypoints_callback=None)
    # Not `manager.driver`: that picks between instance and class by their truth.
    plugin: object = manager.extensions[0].plugin
    return plugin
