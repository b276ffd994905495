"""The hook board: pluggy with the checks that it lacks. Plugins come one by one; who is refused is named."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches
from typing import Final, cast

import pluggy

from port17 import hookspecs
from port17.errors import PluginError
from port17.hookspecs import PROJECT, Hooks
from port17.plugins import faults

NAME_SEPARATOR: Final = "/"
"""Between group and name in pluggy's names, so that a policy and a hook plugin may share a name."""


class HookBoard:
    """The registered hook implementations of one process."""

    def __init__(self, blocked: Collection[str] = ()) -> None:
        """A board without plugins.

        :param blocked: names under which nothing is taken.
        """
        self.manager: Final = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self._blocked = frozenset(blocked)
        self._arguments: Final = {
            name: frozenset(inspect.signature(getattr(hookspecs, name)).parameters)
            for name, caller in vars(self.manager.hook).items()
            if isinstance(caller, pluggy.HookCaller)
        }

    @property
    def hooks(self) -> Hooks:
        """The relay, typed."""
        return cast(Hooks, self.manager.hook)

    def register(self, plugin: object, group: str, name: str, what: str, dist: str) -> None:
        """Take a plugin in, or leave the board as it was.

        :param plugin: a module or an instance.
        :param name: what configuration and explanations call it; once per group.
        :param what: the plugin in an error message.
        :param dist: the distribution or file to blame.
        :raises PluginError: it is blocked, there already, or implements hooks wrongly.
        """
        if name in self._blocked:
            raise PluginError(f"{what} is blocked", cure=f"Take {name!r} from the list of blocked plugins.")
        try:
            flaw = self.flaw(plugin)
            if flaw:
                raise faults.unfit(what, dist, flaw)
            self.manager.register(plugin, f"{group}{NAME_SEPARATOR}{name}")
        except pluggy.PluginValidationError as error:
            raise faults.crashed(what, dist, "to be registered", error) from error
        except ValueError as error:
            raise PluginError(f"{what} is registered already", cure="Name it once.") from error
        self._refuse_pending(plugin, what, dist)

    def flaw(self, plugin: object) -> str:
        """What pluggy would take without a word and shouldn't, as a clause; empty if nothing.

        :param plugin: as for :meth:`register`, or the class of an instance to come.
        """
        implements = False
        for attribute in dir(plugin):
            options = self.manager.parse_hookimpl_opts(plugin, attribute)
            if options is None:
                if attribute in self._arguments and _is_forgotten(plugin, attribute):
                    return f"{attribute} is not marked @hookimpl, so it would never be asked"
                continue
            implements = True
            if options.get("wrapper") or options.get("hookwrapper"):
                return f"{attribute} is a hook wrapper: nobody may change what others answer"
            flaw = _flaw_of_function(getattr(plugin, attribute))
            known = self._arguments.get(options.get("specname") or attribute)
            if not flaw and known is not None:
                flaw = _flaw_of_arguments(_parameters(plugin, attribute), known)
            if flaw:
                return f"{attribute} {flaw}"
        return "" if implements else "it implements no hook"

    def unknown_hooks(self, plugin: object) -> str:
        """Which hooks it implements that don't exist, as a clause; empty if none."""
        wrong = [name for name in self._implemented(plugin) if name not in self._arguments]
        return "; ".join(f"there is no hook {name!r}{_meant(name, self._arguments)}" for name in wrong)

    def _refuse_pending(self, plugin: object, what: str, dist: str) -> None:
        try:
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            # One by one, so what is pending can only be of the plugin that came last.
            self.manager.unregister(plugin)
            raise faults.unfit(what, dist, self.unknown_hooks(plugin)) from error

    def _implemented(self, plugin: object) -> Iterator[str]:
        for attribute in dir(plugin):
            options = self.manager.parse_hookimpl_opts(plugin, attribute)
            if options is not None:
                yield options.get("specname") or attribute


def _meant(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f" (did its author mean {close[0]!r}?)" if close else ""


def _is_forgotten(plugin: object, attribute: str) -> bool:
    """Whether a plugin's own function has a hook's name; a hookspec that a module imported is none."""
    function = inspect.getattr_static(plugin, attribute)
    return callable(getattr(function, "__func__", function)) and not hasattr(function, f"{PROJECT}_spec")


def _flaw_of_function(function: Callable[..., object]) -> str:
    inner: object = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    if inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner):
        return "is async, but hooks are synchronous: a coroutine would count as an answer"
    if inspect.isgeneratorfunction(inner):
        return "is a generator, which would count as an answer"
    return ""


def _parameters(plugin: object, attribute: str) -> list[inspect.Parameter]:
    """What the function will be given, without ``self``."""
    parameters = list(inspect.signature(getattr(plugin, attribute)).parameters.values())
    unbound = inspect.isclass(plugin) and inspect.isfunction(inspect.getattr_static(plugin, attribute))
    return parameters[1:] if unbound else parameters


def _flaw_of_arguments(parameters: list[inspect.Parameter], known: Collection[str]) -> str:
    for parameter in parameters:
        if parameter.name not in known:
            return (
                f"has an argument {parameter.name!r}{_meant(parameter.name, known)};"
                f" there are {', '.join(sorted(known))}"
            )
        if parameter.default is not parameter.empty:
            return f"gives {parameter.name!r} a default, and would always get that"
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            return f"takes {parameter.name!r} in a way that hooks are not called"
    return ""
