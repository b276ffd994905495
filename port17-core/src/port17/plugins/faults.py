"""The words for what is wrong with a plugin: package, version, cause and cure, the same way every time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from pydantic import ValidationError

from port17.errors import ConfigError, PluginError
from port17.plugins.families import FAMILIES, HOOKS, Family
from port17.plugins.finder import Found

_PLAINER: Final = {
    "tuple_type": "a list is wanted, in brackets",
    "list_type": "a list is wanted, in brackets",
    "dict_type": "a table is wanted",
    "model_type": "a table is wanted",
    "string_type": "a text is wanted, in quotes",
}
"""Instead of pydantic's words, which are for those who write Python."""
SHOWN_NAMES: Final = 12
"""Installed names listed when one is missing: more is a page, and `port17 plugins` shows it."""


def described(found: Found) -> str:
    """``cipher suite 'x' of package 1.0 (module:Class)``."""
    family = FAMILIES.get(found.group)
    return f"{family.noun if family else found.group} {found.name!r} of {found}"


def missing(family: Family, name: str, installed: Iterable[str]) -> PluginError:
    """No distribution offers a driver of this name."""
    names = sorted(set(installed))
    close = get_close_matches(name, names, n=1)
    shown = ", ".join(names[:SHOWN_NAMES]) or "none"
    return PluginError(
        f"no {family.noun} named {name!r} is installed",
        cure=(f"Did you mean {close[0]!r}? " if close else "")
        + f"Installed: {shown}. Else install the distribution that brings it into the Python environment of"
        f" Port17; the usual ones come with {family.home}.",
    )


def duplicate(claims: Sequence[Found]) -> PluginError:
    """Several distributions offer the same name."""
    first = claims[0]
    offers = " and of ".join(str(found) for found in claims)
    consequence = (
        "Both are asked, since an opinion that is left out could open what it would have closed."
        if first.group == HOOKS
        else "None of them is used, since nobody can say which one was meant."
    )
    dists = sorted({found.dist for found in claims})
    return PluginError(
        f"{FAMILIES[first.group].noun} {first.name!r} is there {len(claims)} times: of {offers}",
        cure=f"{consequence} Uninstall all but one of: {', '.join(dists)}."
        if len(dists) > 1
        else f"{consequence} Reinstall {dists[0]}: its metadata names it twice.",
    )


def unknown_group(found: Found) -> PluginError:
    """An entry point stands in a group that nobody reads."""
    close = get_close_matches(found.group, FAMILIES, n=1)
    return PluginError(
        f"{found} offers {found.name!r} in the entry-point group {found.group!r}, which Port17 does not read",
        cure=(f"Did its author mean {close[0]!r}? " if close else "")
        + f"It is for another version of Port17, or misspelt; report it to the author of {found.dist}.",
    )


def unloadable(found: Found, cause: BaseException) -> PluginError:
    """Importing a plugin failed."""
    return _caused(
        f"{described(found)} cannot be loaded: {said(cause)}", _cure_of_import(found, cause), cause
    )


def unfit(what: str, dist: str, cause: str) -> PluginError:
    """A plugin was imported but isn't what its group promises.

    :param what: as :func:`described` says it.
    :param dist: the distribution or file to blame.
    :param cause: what is wrong, as a clause.
    """
    return PluginError(f"{what} cannot be used: {cause}", cure=_blame(dist))


def crashed(what: str, dist: str, doing: str, cause: BaseException) -> PluginError:
    """A plugin's own code raised where it must not.

    :param doing: what it was asked to do.
    """
    return _caused(f"{what} failed {doing}: {said(cause)}", _blame(dist), cause)


def options_of_nobody(name: str, policies: Sequence[str]) -> ConfigError:
    """A configuration has options for a policy that it doesn't name."""
    close = get_close_matches(name, policies, n=1)
    return ConfigError(
        f"policy_options: there are options for {name!r}, which `policies` does not name",
        cure=(f"Did you mean {close[0]!r}? Else add" if close else "Add")
        + f" {name!r} to `policies`, or remove its options.",
    )


def nowhere(name: str) -> ConfigError:
    """A policy picks nodes by where they are, and nobody says that."""
    return ConfigError(
        f"policy {name!r} picks nodes by AS, country or continent, and no geo source says where nodes are",
        cure="Set `geo.source` (docs/geo.md says which there are), or pick by name, id, group, owner or ip.",
    )


def bad_options(what: str, error: ValidationError, fields: Iterable[str]) -> ConfigError:
    """The options that a configuration gives a driver do not fit its ``Config``."""
    known = sorted(fields)
    complaints = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        place = _option(detail["loc"])
        if detail["type"] == "extra_forbidden":
            close = get_close_matches(place, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            complaints.append(f"{place}: there is no such option{hint}")
        else:
            said_of_it = _PLAINER.get(detail["type"], detail["msg"].removeprefix("Value error, "))
            complaints.append(f"{place}: {said_of_it}" if place else said_of_it)
    cure = f"It has the options {', '.join(known)}." if known else "It has no options."
    problem = ConfigError(f"options of {what}: {'; '.join(complaints)}", cure=cure)
    problem.__cause__ = error
    return problem


def _option(place: Sequence[int | str]) -> str:
    """``fast.hops``, ``rule 2, ports``: what stands in a list is counted from 1. Empty for the whole."""
    shown = ""
    for at, part in enumerate(place):
        if isinstance(part, int):
            shown += f" {part + 1}"
        elif at:
            shown += f", {part}" if isinstance(place[at - 1], int) else f".{part}"
        else:
            shown = part
    return shown


def no_options(what: str) -> ConfigError:
    """A configuration gives options to a driver that has no ``Config``."""
    return ConfigError(f"{what} has no options, but the configuration gives some", cure="Remove its table.")


def said(cause: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(cause).split())
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__


def _cure_of_import(found: Found, cause: BaseException) -> str:
    own = found.value.partition(":")[0].partition(".")[0]
    if isinstance(cause, ModuleNotFoundError) and cause.name:
        if cause.name.partition(".")[0] == own:
            return f"{found.dist} is incomplete: pip install --force-reinstall {found.dist}"
        return f"Install what provides the module {cause.name}; {found.dist} needs it."
    if isinstance(cause, ImportError):
        return f"It does not fit what else is installed: pip install --upgrade {found.dist}"
    if isinstance(cause, AttributeError):
        return (
            f"Its metadata names what its code lacks: pip install --force-reinstall {found.dist};"
            " if that doesn't help, report it to its author."
        )
    return _blame(found.dist)


def _blame(dist: str) -> str:
    return f"Report it to the author of {dist}; until it is mended, upgrade, downgrade or uninstall {dist}."


def _caused(message: str, cure: str, cause: BaseException) -> PluginError:
    problem = PluginError(message, cure=cure)
    problem.__cause__ = cause
    return problem
