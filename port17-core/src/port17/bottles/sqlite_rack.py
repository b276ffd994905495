"""The store that lasts: bottles in a SQLite file, found by their columns and read one by one.

The signed parts lie in it as they came. It holds what was verified and nobody but its owner can write the
file, so what is read is parsed, not verified again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, cast

from pydantic import Field

from port17.bottles.rack import BottleStore, Naming, Racked, Stamp, bucket_bounds
from port17.bottles.rack_file import RackFile, Synchronous
from port17.errors import LocalViolation, RecordError
from port17.records import cbor
from port17.records.bottle import Bottle, Contents, Label
from port17.records.envelope import Envelope
from port17.records.identity import node_id
from port17.records.prekey import PrekeyRecord

CAPACITY = 131_072
"""Nodes held by default: a network of a hundred thousand and room, some half a gigabyte on disk."""
PAGE_BOTTLES = 32
"""Bottles read at once while iterating: some hundred kilobytes, and 8 MiB if each is as long as may be."""
PAGE_STAMPS = 4096
"""Stamps read at once: some hundred kilobytes."""
REMOVE_BATCH = 500
"""Fingerprints named in one statement: SQLite's own limit was once 999."""

BOTTLE_HEAD = b"\x83"
"""A bottle is a list of three; behind this byte come its parts."""

_PARTS = "label, contents, bundle"
_log = logging.getLogger(__name__)


class SqliteRack(BottleStore):
    """See the module, and :class:`~port17.bottles.rack_file.RackFile` for what survives what."""

    name = "sqlite"
    lasting = True

    class Config(BottleStore.Config):
        """
        :param path: the file; a relative path counts from the process's state folder.
        :param capacity: most nodes that are held.
        :param synchronous: ``normal`` may lose the bottles of the last half minute when the machine loses
            power, which the network brings again; ``full`` waits for the disk at each change.
        """

        path: Path = Path("rack.sqlite")
        capacity: int = Field(default=CAPACITY, ge=1)
        synchronous: Synchronous = "normal"

    def __init__(self, config: Config | None = None) -> None:
        self._config = config or self.Config()
        self.capacity = self._config.capacity
        self._open: RackFile | None = None
        self._count = 0

    def open(self, network_id: bytes, folder: Path) -> None:
        self._open = RackFile(folder / self._config.path, network_id, self._config.synchronous)
        [(count,)] = self._file.rows("SELECT count(*) FROM bottles")
        self._count = cast(int, count)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def _file(self) -> RackFile:
        if self._open is None:
            raise LocalViolation("the rack is used before it was opened, or after it was closed")
        return self._open

    # -- writing ---------------------------------------------------------------------------------------
    def write(self, entries: Collection[Racked]) -> None:
        added = 0
        with self._file.transaction() as db:
            for entry in entries:
                columns = _columns(entry)
                names = ", ".join(f'"{name}" = :{name}' for name in columns)
                if not db.execute(
                    f"UPDATE bottles SET {names} WHERE fingerprint = :fingerprint", columns
                ).rowcount:
                    names = ", ".join(f'"{name}"' for name in columns)
                    values = ", ".join(f":{name}" for name in columns)
                    db.execute(f"INSERT INTO bottles ({names}) VALUES ({values})", columns)
                    added += 1
        self._count += added

    def remove(self, *fingerprints: bytes) -> None:
        removed = 0
        with self._file.transaction() as db:
            for begin in range(0, len(fingerprints), REMOVE_BATCH):
                batch = fingerprints[begin : begin + REMOVE_BATCH]
                marks = ", ".join("?" * len(batch))
                removed += db.execute(f"DELETE FROM bottles WHERE fingerprint IN ({marks})", batch).rowcount
        self._count -= removed

    # -- reading ---------------------------------------------------------------------------------------
    def held(self, fingerprint: bytes) -> Racked | None:
        rows = self._file.rows(
            f"SELECT fingerprint, received, distrust, {_PARTS} FROM bottles WHERE fingerprint = ?",
            fingerprint,
        )
        for row in rows:
            bottle = self._bottle(row[0], row[3:])
            if bottle is not None:
                return Racked(bottle, cast(float, row[1]), cast(str, row[2]))
        return None

    def encoded(self, fingerprint: bytes) -> bytes | None:
        for row in self._file.rows(f"SELECT {_PARTS} FROM bottles WHERE fingerprint = ?", fingerprint):
            return BOTTLE_HEAD + b"".join(cast("tuple[bytes, ...]", row))
        return None

    def stamps(self) -> Iterator[Stamp]:
        return map(Stamp._make, self._columns_of_all(Stamp._fields))

    def namings(self) -> Iterator[Naming]:
        return map(Naming._make, self._columns_of_all(Naming._fields))

    def _columns_of_all(self, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """:param columns: the fingerprint first."""
        query = f"SELECT {', '.join(columns)} FROM bottles WHERE fingerprint > ? ORDER BY fingerprint LIMIT ?"
        last = b""
        while True:
            page = self._file.rows(query, last, PAGE_STAMPS)
            yield from page
            if len(page) < PAGE_STAMPS:
                return
            last = cast(bytes, page[-1][0])

    def named(self, name: str) -> tuple[bytes, ...]:
        return self._fingerprints("WHERE name = ? ORDER BY fingerprint", name)

    def bucket(self, prefix_bits: int, value: int) -> tuple[bytes, ...]:
        bounds = bucket_bounds(prefix_bits, value)
        return self._fingerprints("WHERE fingerprint BETWEEN ? AND ? ORDER BY fingerprint", *bounds)

    def _fingerprints(self, where: str, *values: object) -> tuple[bytes, ...]:
        rows = self._file.rows(f"SELECT fingerprint FROM bottles {where}", *values)
        return tuple(cast(bytes, row[0]) for row in rows)

    def __iter__(self) -> Iterator[Bottle]:
        return self._bottles("")

    def trusted(self) -> Iterator[Bottle]:
        return self._bottles("AND distrust = ''")

    def distrusted(self) -> dict[bytes, str]:
        rows = self._file.rows("SELECT fingerprint, distrust FROM bottles WHERE distrust != ''")
        return {cast(bytes, fingerprint): cast(str, reason) for fingerprint, reason in rows}

    def successors(self) -> Iterator[Bottle]:
        return self._bottles("AND succeeds")

    def _bottles(self, which: str) -> Iterator[Bottle]:
        """Page by page, so that no query stays open while the file is written."""
        [(last,)] = self._file.rows("SELECT coalesce(max(id), 0) FROM bottles")
        done: object = 0
        while True:
            page = self._file.rows(
                f"SELECT id, fingerprint, {_PARTS} FROM bottles WHERE id > ? AND id <= ? {which}"
                " ORDER BY id LIMIT ?",
                done,
                last,
                PAGE_BOTTLES,
            )
            for row in page:
                bottle = self._bottle(row[1], row[2:])
                if bottle is not None:
                    yield bottle
            if len(page) < PAGE_BOTTLES:
                return
            done = page[-1][0]

    def __len__(self) -> int:
        return self._count

    def _bottle(self, fingerprint: object, parts: tuple[object, ...]) -> Bottle | None:
        """A row's bottle. One that can't be read, since another version of Port17 wrote it or the disk has
        lost a bit, is forgotten: the network brings it again."""
        key = cast(bytes, fingerprint)
        try:
            bottle = _parsed(*cast("tuple[bytes, bytes, bytes]", parts))
            if bottle.fingerprint == key:
                return bottle
            why = "it is another node's"
        except RecordError as error:
            why = error.message
        _log.warning("the bottle of %s can't be read any more, and is forgotten: %s", node_id(key), why)
        self.remove(key)
        return None


def _columns(entry: Racked) -> dict[str, object]:
    """What is written of a bottle."""
    bottle = entry.bottle
    return {
        "fingerprint": bottle.fingerprint,
        "label_seq": bottle.label.seq,
        "contents_seq": bottle.contents.seq,
        "name": bottle.label.name,
        "since": bottle.label.since,
        "group": bottle.label.group,
        "flavour": bottle.label.flavour,
        "succeeds": bool(bottle.label.predecessors),
        "received": entry.received,
        "distrust": entry.distrust,
        "label": cbor.encode(bottle.label_envelope.to_value()),
        "contents": cbor.encode(bottle.contents_envelope.to_value()),
        "bundle": cbor.encode([record.to_value() for record in bottle.bundle]),
    }


def _parsed(label: bytes, contents: bytes, bundle: bytes) -> Bottle:
    """The bottle of what :func:`_columns` wrote.

    :raises RecordError: it is none.
    """
    label_envelope = Envelope.from_value(cbor.restore(label))
    contents_envelope = Envelope.from_value(cbor.restore(contents))
    records = cbor.restore(bundle)
    if not isinstance(records, list):
        raise RecordError("not a bottle: the bundle is a list of prekey records")
    return Bottle(
        label_envelope=label_envelope,
        contents_envelope=contents_envelope,
        bundle=tuple(map(PrekeyRecord.from_value, records)),
        label=Label.from_value(cbor.restore(label_envelope.payload)),
        contents=Contents.from_value(cbor.restore(contents_envelope.payload)),
    )
