"""How a configuration is put together: defaults, a TOML file, ``PORT17_*``, flags; the later wins.

Says of each value where it came from. What can be set at all is ``settings``' business.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from port17.config.settings import MODELS, Filed, FileOrUrl, LocalFile
from port17.errors import ConfigError

ENV_PREFIX = "PORT17_"
"""What an environment variable starts with to be ours."""
ENV_SEPARATOR = "__"
"""Stands for the dot of a nested key: ``PORT17_EXIT__ENABLED`` is ``exit.enabled``."""
FILE_CAP = 1 << 20
"""Longest configuration file, bytes: thousands of times what a real one needs."""
Key: TypeAlias = tuple[str, ...]


Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Origin:
    """Where a value came from.

    :param kind: ``default``, ``file``, ``env`` or ``flag``.
    :param where: ``path:line``, the variable's name, or the flag's; empty for a default.
    """

    kind: Literal["default", "file", "env", "flag"]
    where: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.where}".rstrip()


@dataclass
class _Found:
    """Values by key, each with its origin and the directory that relative paths in it start from."""

    values: dict[Key, tuple[object, Origin, Path]] = field(default_factory=dict)

    def put(self, key: Key, value: object, origin: Origin, base: Path) -> None:
        # A later source that gives a whole table, or a value inside one given whole, replaces what was there.
        for other in list(self.values):
            if other[: len(key)] == key or key[: len(other)] == other:
                del self.values[other]
        self.values[key] = (value, origin, base)

    def tree(self) -> dict[str, Any]:
        root: dict[str, Any] = {}
        for key, (value, _, _) in self.values.items():
            branch = root
            for part in key[:-1]:
                branch = branch.setdefault(part, {})
            branch[key[-1]] = value
        return root

    def origin(self, key: Key) -> Origin:
        for length in range(len(key), 0, -1):
            if key[:length] in self.values:
                return self.values[key[:length]][1]
        # A table's own problem (say, a key missing in it) belongs to where the table was begun.
        for other, (_, origin, _) in self.values.items():
            if other[: len(key)] == key:
                return origin
        return Origin("default")


def load(
    model: type[Model],
    path: Path | None,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> tuple[Model, dict[str, Origin]]:
    """A configuration from all its sources.

    Relative paths count from the directory of the file (defaults too), those of variables and flags from
    the working directory.

    :param model: :class:`NodeConfig`, :class:`ClientConfig` or another model that forbids extra keys.
    :param path: the TOML file; None takes none.
    :param env: variables, of which ``PORT17_*`` are read. Arrays and tables are written as in TOML.
    :param flags: dotted key to value, as in ``--set KEY=VALUE``; a value of None was not given.
    :returns: the value, and the origin of each leaf by its dotted key.
    :raises ConfigError: a file cannot be read, a key is unknown, a value is wrong.
    """
    found = _Found()
    here = Path.cwd()
    base = here
    if path is not None:
        base = path.absolute().parent
        text = _read(path)
        lines = _key_lines(text)
        for key, value in _leaves(_parse(text, path)):
            line = next((lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in lines), None)
            where = f"{path}:{line}" if line is not None else str(path)
            _check_key(model, key, where)
            found.put(key, value, Origin("file", where), base)
    for variable, raw in sorted((env or {}).items()):
        if not variable.startswith(ENV_PREFIX):
            continue
        key = tuple(variable[len(ENV_PREFIX) :].lower().split(ENV_SEPARATOR))
        if _annotation(model, key) is None:
            if any(_annotation(other, key) is not None for other in MODELS):
                continue
            _check_key(model, key, variable, spell=_variable)
        found.put(key, _given(raw, variable), Origin("env", variable), here)
    for dotted, given in (flags or {}).items():
        if given is not None:
            key = tuple(dotted.split("."))
            _check_key(model, key, f"--set {dotted}")
            found.put(key, _given(given, f"--set {dotted}"), Origin("flag", f"--set {dotted}"), here)
    for key, (given, origin, start) in list(found.values.items()):
        del found.values[key]
        resolved = _resolve(_annotation(model, key), given, start)
        found.values[_resolve_key(model, key, start)] = (resolved, origin, start)
    for name, info in model.model_fields.items():
        if isinstance(info.default, Path) and not any(key[0] == name for key in found.values):
            found.values[(name,)] = (base / info.default, Origin("default"), base)
    try:
        value = model.model_validate(found.tree())
    except ValidationError as error:
        raise _refusal(error, found, path) from None
    if isinstance(value, Filed):
        value.lies_in(base)
    origins = {".".join(key): found.origin(key) for key, _ in leaves(value)}
    return value, origins


def leaves(value: BaseModel) -> list[tuple[Key, object]]:
    """Every leaf of a configuration in the model's order: (key, plain value); tables are opened."""
    return list(_leaves(value.model_dump(mode="json")))


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > FILE_CAP:
            raise ConfigError(f"{path} is longer than {FILE_CAP} bytes.", cure="Is it the right file?")
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"There is no configuration file {path}.",
            cure="Make one with `port17 node init` or `port17 client init`, or give another with --config.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", cure="Check its permissions.") from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", cure="Mend that line.") from error


def _leaves(tree: Mapping[str, Any], prefix: Key = ()) -> Iterator[tuple[Key, object]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*prefix, name))
        else:
            yield (*prefix, name), value


_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(r"\s*([A-Za-z0-9_.\"'\- ]+?)\s*=")


def _key_lines(text: str) -> dict[Key, int]:
    """The line of each key, as far as it can be told without a second TOML parser.

    For messages only: inside a string of several lines it may guess wrong, never fail.
    """
    lines: dict[Key, int] = {}
    section: Key = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            section = _dotted(header[1])
            lines.setdefault(section, number)
        elif assignment := _ASSIGNMENT.match(line):
            lines.setdefault((*section, *_dotted(assignment[1])), number)
    return lines


def _dotted(text: str) -> Key:
    return tuple(part.strip().strip("\"'") for part in text.split("."))


def _given(value: object, where: str) -> object:
    """What a variable or a flag says: an array or a table in TOML, or a plain string."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value  # pydantic reads numbers and booleans from strings
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{where} is neither a TOML array nor a TOML table: {error}.",
            cure=f"""Write it like {where}='["one", "two"]'.""",
        ) from error


def _annotation(model: type[BaseModel], key: Key) -> object | None:
    """The type that a key's value has by the model, or None if the model has no such key."""
    annotation: object = model
    for part in key:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            info = annotation.model_fields.get(part)
            if info is None:
                return None
            annotation = info.annotation
        elif get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        elif annotation is not Any:
            return None
    return annotation


def _known(model: type[BaseModel], prefix: Key = ()) -> Iterator[Key]:
    for name, info in model.model_fields.items():
        yield (*prefix, name)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _known(info.annotation, (*prefix, name))


def _variable(key: Key) -> str:
    return ENV_PREFIX + ENV_SEPARATOR.join(key).upper()


def _check_key(model: type[BaseModel], key: Key, where: str, *, spell: Any = ".".join) -> None:
    """:raises ConfigError: the model has no such key; names the one that was probably meant."""
    if _annotation(model, key) is not None:
        return
    known = list(_known(model))
    dotted = {".".join(other): other for other in known}
    meant = difflib.get_close_matches(".".join(key), dotted, n=1, cutoff=0.7)
    if not meant:  # the right word in the wrong table
        last = difflib.get_close_matches(key[-1], [other[-1] for other in known], n=1, cutoff=0.7)
        meant = [name for name, other in dotted.items() if last and other[-1] == last[0]][:1]
    cure = (
        f"Did you mean {spell(dotted[meant[0]])}?"
        if meant
        else "The keys are "
        + ", ".join(sorted(spell((other[0],)) for other in known if len(other) == 1))
        + "."
    )
    raise ConfigError(f"{where}: there is no key {spell(key)}.", cure=cure)


def _resolve(annotation: object, value: object, base: Path) -> object:
    """The value with relative paths made absolute; what is no path stays as it is."""
    options = (annotation, *get_args(annotation))
    if Path in options and isinstance(value, str | Path):
        return base / Path(value).expanduser()
    if isinstance(value, list) and get_origin(annotation) is list:
        (element,) = get_args(annotation)
        if _is_local(element):
            return [_resolve_local(entry, base) for entry in value]
        if any(isinstance(mark, FileOrUrl) for mark in get_args(element)):
            return [_resolve_source(entry, base) for entry in value]
    return value


def _resolve_key(model: type[BaseModel], key: Key, base: Path) -> Key:
    """The key with what names a file made absolute, as options of a local policy have it."""
    parts = list(key)
    for length in range(1, len(key)):
        annotation = _annotation(model, key[:length])
        if get_origin(annotation) is dict and _is_local(get_args(annotation)[0]):
            parts[length] = str(_resolve_local(key[length], base))
    return tuple(parts)


def _is_local(annotation: object) -> bool:
    return any(isinstance(mark, LocalFile) for mark in get_args(annotation))


def _resolve_local(entry: object, base: Path) -> object:
    if not isinstance(entry, str):
        return entry
    file, colon, name = entry.rpartition(":")
    return f"{base / Path(file).expanduser()}:{name}" if colon and file.endswith(".py") else entry


def _resolve_source(entry: object, base: Path) -> object:
    if not isinstance(entry, str) or "://" in entry:
        return entry
    return str(base / Path(entry).expanduser())


def _refusal(error: ValidationError, found: _Found, path: Path | None) -> ConfigError:
    """One error that names every wrong value, where it came from, and what it must be."""
    lines = []
    missing = []
    for problem in error.errors(include_url=False, include_context=False):
        key = tuple(str(part) for part in problem["loc"])
        dotted = ".".join(key) or "the configuration"
        if problem["type"] == "missing":
            missing.append(dotted)
            lines.append(f"{path or 'the configuration'}: {dotted} is not set.")
            continue
        given = problem["input"]
        shown = json.dumps(given) if isinstance(given, str | int | float | bool) else type(given).__name__
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{found.origin(key)}: {dotted} = {shown}: {message}.")
    cure = "Correct the value."
    if missing:
        cure = (
            f"Set {missing[0]} in the file, or {_variable(tuple(missing[0].split('.')))} in the environment."
        )
    return ConfigError("\n".join(lines), cure=cure)
