"""Writes the TOML that the configuration files of this program need: scalars, lists and nested tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def dumps(values: Mapping[str, Any]) -> str:
    """A TOML document.

    :param values: str, bool, int, float, lists of those, and mappings for tables; what is None is left out.
    """
    return "\n".join(_table(values, ())).strip() + "\n"


def literal(value: object) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(name)} = {literal(held)}" for name, held in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    # JSON's strings are TOML's but for DEL and for characters beyond 16 bits, which TOML wants unescaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    given = {name: value for name, value in values.items() if value is not None}
    tables = {name: value for name, value in given.items() if isinstance(value, Mapping)}
    lines = [f"{_key(name)} = {literal(value)}" for name, value in given.items() if name not in tables]
    if path and (lines or not tables):
        lines.insert(0, f"[{'.'.join(map(_key, path))}]")
        lines.insert(0, "")
    for name, value in tables.items():
        lines += _table(value, (*path, name))
    return lines


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else literal(name)
