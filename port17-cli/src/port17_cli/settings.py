"""Configurations as commands find them: file, ``PORT17_*`` and ``--set``; and ``port17 config show``."""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel

from port17.config import ClientConfig, NodeConfig, Origin, leaves, load
from port17.errors import ConfigError, UsageError
from port17_cli import output, toml

Model = TypeVar("Model", bound=BaseModel)
Kind: TypeAlias = type[NodeConfig] | type[ClientConfig]
"""What a configuration file can be for."""


def read(model: type[Model], path: str, settings: Iterable[str] = ()) -> tuple[Model, dict[str, Origin]]:
    """A configuration and the origin of each value.

    :param settings: ``KEY=VALUE``, as ``--set`` takes them.
    :raises UsageError: one has no ``=``.
    :raises ConfigError: as :func:`port17.config.load`.
    """
    return load(model, Path(path), os.environ, _flags(settings))


def show(args: argparse.Namespace) -> int:
    """``port17 config show``."""
    kinds: dict[str, Kind] = {"node": NodeConfig, "client": ClientConfig}
    chosen: Kind = kinds[args.kind] if args.kind else kind_of(args.config)
    config, origins = read(chosen, args.config, args.set)
    rows = [(".".join(key), value) for key, value in leaves(config)]
    if args.json:
        values = [
            {"key": key, "value": value}
            | ({"origin": {"kind": origins[key].kind, "where": origins[key].where}} if args.origin else {})
            for key, value in rows
        ]
        shown = "node" if chosen is NodeConfig else "client"
        print(output.document("port17.config.show/1", {"kind": shown, "values": values}))
        return 0
    lines = [f"{key} = {toml.literal(value) if value is not None else '(none)'}" for key, value in rows]
    width = max(map(len, lines))
    for line, (key, _) in zip(lines, rows, strict=True):
        print(f"{line.ljust(width)}  # {origins[key]}" if args.origin else line)
    return 0


def kind_of(path: str) -> Kind:
    """What a file is for. Only a node has a name: a file without any of a node's own keys is a client's."""
    keys: set[str] = set()
    with suppress(OSError, ValueError):  # reading it properly will say what is wrong
        keys = set(tomllib.loads(Path(path).read_text("utf-8")))
    nodes_own = NodeConfig.model_fields.keys() - ClientConfig.model_fields.keys()
    return NodeConfig if keys & nodes_own else ClientConfig


def refuse_node(path: str) -> None:
    """:raises ConfigError: the file is a node's, where a client's is wanted."""
    if kind_of(path) is NodeConfig:
        raise ConfigError(f"{path} is a node's configuration, not a client's.", cure="Give a client's.")


def _flags(settings: Iterable[str]) -> dict[str, object]:
    flags: dict[str, object] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {setting} has no value.", cure="Write --set KEY=VALUE.")
        flags[key] = value
    return flags


@contextmanager
def drafted(path: Path, values: Mapping[str, Any], model: type[Model], comment: str) -> Iterator[Model]:
    """A configuration file in the making: it is there once the context ends well, as it was before if not.

    :param comment: the file's first line.
    :raises ConfigError: a value is wrong, or the file cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            fresh.write_text(f"# {comment}\n{toml.dumps(values)}", "utf-8")
            yield _loaded(model, fresh, path)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}.", cure="Choose a directory that is yours."
        ) from error


def write(path: Path, values: Mapping[str, Any], model: type[Model], comment: str) -> Model:
    """Write a configuration file at once; see :func:`drafted`."""
    with drafted(path, values, model, comment) as config:
        return config


def _loaded(model: type[Model], fresh: Path, path: Path) -> Model:
    try:
        return load(model, fresh)[0]
    except ConfigError as error:
        raise ConfigError(error.message.replace(str(fresh), str(path)), cure=error.cure) from error


def bootstrap(sources: Iterable[str], beside: Path) -> dict[str, list[str]] | None:
    """``[bootstrap]`` as a configuration file has it; None if nothing is to be asked."""
    spelt = [source if "://" in source else spell(source, beside) for source in sources]
    return {"sources": spelt} if spelt else None


def spell(path: str | Path, beside: Path) -> str:
    """A path as a configuration file names it: relative if it lies below the file's directory."""
    absolute = Path(path).expanduser().absolute()
    base = beside.absolute().parent
    return str(absolute.relative_to(base)) if absolute.is_relative_to(base) else str(absolute)


def surroundings(args: argparse.Namespace) -> dict[str, object]:
    """The tables that ``--private-addresses`` and ``--local-network`` ask for; None stands for none."""
    return {
        "addresses": {"allow_private": True} if args.private_addresses else None,
        "local_network": {"driver": "multicast"} if args.local_network else None,
    }
