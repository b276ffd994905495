"""The rack: the store of the bottles that a node or a client keeps, and how one is filled from a folder.

A store keeps what it is given; whether a bottle is valid and wanted was decided before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from port17.errors import ConfigError, RecordError
from port17.records.bottle import BOTTLE_CAP, CLOCK_SKEW_S, Bottle
from port17.records.scheme import IdentityScheme

CAPACITY = 16_384
"""Bottles kept by default: a network of ten thousand nodes and room, some 60 MiB in memory."""
SUFFIX = ".bottle"
"""What a bottle's file is named by."""


class BottleStore(ABC):
    """A driver of entry-point group ``port17.bottle_stores``; its entry point's name is ``name``.

    Iteration goes over the newest bottle of each node, in no particular order, and sees the store as it was
    when iteration began.
    """

    name: str

    class Config(BaseModel):
        """What the driver's own table in the configuration may hold."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    @abstractmethod
    def put(self, bottle: Bottle) -> bool:
        """Keeps a verified bottle in place of an older one of the same node.

        :returns: False if it is not kept, since the store has a newer one or is full.
        """

    @abstractmethod
    def get(self, fingerprint: bytes) -> Bottle | None:
        """The newest bottle of a node, by the 32 bytes of its identity."""

    @abstractmethod
    def remove(self, fingerprint: bytes) -> None:
        """Forgets a node; no error if it was not known."""

    @abstractmethod
    def __iter__(self) -> Iterator[Bottle]: ...

    @abstractmethod
    def __len__(self) -> int: ...


class MemoryRack(BottleStore):
    """The store that lasts as long as its process."""

    name = "memory"

    class Config(BottleStore.Config):
        """
        :param capacity: most bottles kept; then unknown nodes are refused. None is evicted, or a flood of new
            identities would push the honest ones out.
        """

        capacity: int = Field(default=CAPACITY, ge=1)

    def __init__(self, config: Config | None = None) -> None:
        self._capacity = (config or self.Config()).capacity
        self._bottles: dict[bytes, Bottle] = {}

    def put(self, bottle: Bottle) -> bool:
        fingerprint = bottle.fingerprint
        held = self._bottles.get(fingerprint)
        if held is None and len(self._bottles) >= self._capacity:
            return False
        if held is not None and (
            # Each part by itself, or an old one could come back beside a new one.
            bottle.label.seq < held.label.seq or bottle.contents.seq < held.contents.seq
        ):
            return False
        self._bottles[fingerprint] = bottle
        return True

    def get(self, fingerprint: bytes) -> Bottle | None:
        return self._bottles.get(fingerprint)

    def remove(self, fingerprint: bytes) -> None:
        self._bottles.pop(fingerprint, None)

    def __iter__(self) -> Iterator[Bottle]:
        return iter(tuple(self._bottles.values()))

    def __len__(self) -> int:
        return len(self._bottles)

    def __bool__(self) -> bool:
        # An empty store is still a store: `store or default` must not replace it.
        return True


def load_directory(
    path: Path,
    network_id: bytes,
    schemes: Mapping[str, IdentityScheme],
    store: BottleStore,
    now: float,
    *,
    skew_s: float = CLOCK_SKEW_S,
) -> list[RecordError]:
    """Puts every valid bottle of a folder into a store.

    :param path: a folder of ``*.bottle`` files; other files are left alone.
    :param now: Unix time, seconds.
    :param skew_s: clock skew that the charter allows.
    :returns: one error per file that was left out, each naming its file; the others are kept.
    :raises ConfigError: the folder can't be read.
    """
    problems: list[RecordError] = []
    try:
        files = sorted(file for file in path.iterdir() if file.suffix == SUFFIX)
    except OSError as error:
        raise ConfigError(
            f"the folder of bottles {path} can't be read: {error.strerror}",
            cure="Name the folder in the configuration, as `bottles`.",
        ) from error
    for file in files:
        try:
            bottle = load_bottle(file)
            bottle.verify(network_id, schemes, now, skew_s=skew_s)
            store.put(bottle)
        except RecordError as error:
            named = RecordError(f"{file}: {error.message}", cure=error.cure)
            named.__cause__ = error
            problems.append(named)
    return problems


def load_bottle(file: Path) -> Bottle:
    """The bottle of a file, parsed; nothing is verified yet.

    :raises RecordError: it can't be read, or is no bottle.
    """
    try:
        with open(file, "rb") as stream:
            data = stream.read(BOTTLE_CAP + 1)
    except OSError as error:
        raise RecordError(f"can't be read: {error.strerror}", cure="Check the file's permissions.") from error
    return Bottle.parse(data)


def save_bottle(folder: Path, bottle: Bottle) -> Path:
    """Writes a bottle into a folder, under its node id; readers see the old file or the new one.

    :returns: the file.
    :raises ConfigError: it can't be written.
    """
    file = folder / f"{bottle.node_id}{SUFFIX}"
    fresh = file.with_suffix(".new")
    try:
        fresh.write_bytes(bottle.encode())
        fresh.replace(file)
    except OSError as error:
        raise ConfigError(
            f"the bottle {file} can't be written: {error.strerror}",
            cure="Choose a folder that exists and that you may write to.",
        ) from error
    return file
