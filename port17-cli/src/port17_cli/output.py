"""What commands print: one JSON object with a schema field, or plain lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence


def document(schema: str, values: Mapping[str, object]) -> str:
    """One JSON object on one line.

    :param schema: name and version of the shape, e.g. ``port17.route.show/1``; docs/command-line.md has them.
    """
    return json.dumps({"schema": schema, **values}, ensure_ascii=False)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest cell, for people."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def flat(values: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    """Every value of nested mappings under its dotted name, for people."""
    rows: list[tuple[str, object]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", value))
    return rows


def size(count: float) -> str:
    """Bytes for people: ``16.0 MiB``."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    return f"{count:.0f} B" if units[0] == "B" else f"{count:.1f} {units[0]}"
