"""The rack: the store of the bottles that a node or a client keeps, and how one is filled from a folder.

A store keeps what it is given; whether a bottle is valid and wanted was decided before. Which parts of two
bottles of one node are kept is :func:`~port17.bottles.newest.newest`'s to say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from port17.bottles.newest import Kept, newest
from port17.errors import ConfigError, RecordError
from port17.records.bottle import BOTTLE_CAP, CLOCK_SKEW_S, Bottle
from port17.records.record import HASH_SIZE
from port17.records.regular_file import read_regular
from port17.records.scheme import IdentityScheme
from port17.records.whole_file import write_whole

CAPACITY = 16_384
"""Bottles kept by default: a network of ten thousand nodes and room, some 230 MiB if all are there."""
SUFFIX = ".bottle"
"""What a bottle's file is named by."""


BUCKET_BITS_CAP = 64
"""Longest id prefix that a bucket is asked for by, bits: far more than tell all nodes of the world apart."""


class Stamp(NamedTuple):
    """What of a node is held, without the bottle.

    :param fingerprint: 32 bytes.
    :param label_seq: the label's sequence.
    :param contents_seq: the contents' sequence, the Unix second of signing.
    """

    fingerprint: bytes
    label_seq: int
    contents_seq: int


class Naming(NamedTuple):
    """What the bottle of a node says of its name; fields as of :class:`~port17.records.bottle.Label`.

    :param contents_seq: the contents' sequence, which is a sign of life.
    """

    fingerprint: bytes
    name: str
    since: int
    flavour: str
    label_seq: int
    contents_seq: int


@dataclass(frozen=True, slots=True)
class Racked:
    """A bottle as a store holds it.

    :param bottle: verified before it was put.
    :param received: Unix time at which its newest part came, seconds.
    :param distrust: why no route uses it; empty for a bottle that is trusted.
    """

    bottle: Bottle
    received: float = 0.0
    distrust: str = ""


class BottleStore(ABC):
    """A driver of entry-point group ``port17.bottle_stores``; its entry point's name is ``name``.

    Calls are synchronous and short, come from one thread, and are whole: a reader, also the next process
    after this one was killed, finds all of a call's effect or none. A driver implements how bottles are
    written and found; which are kept is decided here, so that it is the same for all.
    """

    name: str
    lasting: bool = False
    """True if what was put is found again by the next process."""
    capacity: int
    """Most nodes that are held. At it new ones are refused; none is evicted, or a flood of new identities
    would push the honest ones out."""

    class Config(BaseModel):
        """What the driver's own table in the configuration may hold."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    def open(self, network_id: bytes, folder: Path) -> None:  # noqa: B027 - nothing to open is a way to be open
        """Called once, before anything else.

        :param network_id: whose bottles are to be held, 32 bytes.
        :param folder: the process's own; where a store that keeps files keeps them if its options name no
            other place. May not exist yet.
        :raises ConfigError: what is there is unusable, or is another network's.
        """

    def close(self) -> None:  # noqa: B027 - the same
        """Called at the end, once or more often; nothing is asked of the store afterwards."""

    # -- what a driver implements ----------------------------------------------------------------------
    @abstractmethod
    def held(self, fingerprint: bytes) -> Racked | None:
        """What is held of a node, by the 32 bytes of its identity."""

    @abstractmethod
    def write(self, entries: Collection[Racked]) -> None:
        """Holds each of these in place of what is held of its node: all of them, or none if it raises.

        Whoever puts a bottle calls :meth:`put`; this asks nothing.

        :param entries: of different nodes, no more of them new than there is room for.
        :raises ConfigError: they can't be written.
        """

    @abstractmethod
    def remove(self, *fingerprints: bytes) -> None:
        """Forgets nodes, all at once; no error if one was not known."""

    @abstractmethod
    def stamps(self) -> Iterator[Stamp]:
        """What is held, in the order of fingerprints, without reading bottles. As :meth:`__iter__`."""

    @abstractmethod
    def namings(self) -> Iterator[Naming]:
        """Who is named how, in the order of fingerprints, without reading bottles. As :meth:`__iter__`."""

    @abstractmethod
    def named(self, name: str) -> tuple[bytes, ...]:
        """The nodes whose label claims a PortName, in the order of fingerprints. Case is ignored, as people
        and name servers do; what it means that there are several is others' to say."""

    @abstractmethod
    def bucket(self, prefix_bits: int, value: int) -> tuple[bytes, ...]:
        """The nodes of an id prefix, in the order of fingerprints.

        :param prefix_bits: its length, 0 to :data:`BUCKET_BITS_CAP`.
        :param value: the prefix as a number of so many bits.
        :raises ValueError: there is no such prefix.
        """

    @abstractmethod
    def __iter__(self) -> Iterator[Bottle]:
        """Every bottle that was held when iteration began, in no particular order, each node once, and never
        all in memory for it. The store may be changed meanwhile; what is then changed or removed is given as
        it was, as it is, or not at all."""

    @abstractmethod
    def trusted(self) -> Iterator[Bottle]:
        """The same, without those that are distrusted."""

    @abstractmethod
    def distrusted(self) -> dict[bytes, str]:
        """Why no route uses a node, by fingerprint; of those alone that are distrusted."""

    @abstractmethod
    def successors(self) -> Iterator[Bottle]:
        """As :meth:`__iter__`, of those alone whose label names predecessors, which few do."""

    @abstractmethod
    def __len__(self) -> int: ...

    def __bool__(self) -> bool:
        # An empty store is still a store: `store or default` must not replace it.
        return True

    # -- what all have in common -----------------------------------------------------------------------
    def get(self, fingerprint: bytes) -> Bottle | None:
        """The newest that is known of a node, by the 32 bytes of its identity."""
        held = self.held(fingerprint)
        return None if held is None else held.bottle

    def encoded(self, fingerprint: bytes) -> bytes | None:
        """The same as it travels."""
        bottle = self.get(fingerprint)
        return None if bottle is None else bottle.encode()

    def put(self, bottle: Bottle, *, received: float = 0.0, distrust: str = "") -> Kept:
        """Keeps what is new in a verified bottle; see :class:`Racked`.

        :raises ConfigError: it can't be written; nothing has changed.
        """
        return self.put_all([Racked(bottle, received, distrust)])[0]

    def put_all(self, entries: Iterable[Racked]) -> list[Kept]:
        """Keeps what is new in many verified bottles: all of it, or nothing if it raises.

        A bottle with a newer part brings its own mark and time; one that adds only prekey records or nothing
        leaves them as they were.

        :returns: for each, what became of it.
        :raises ConfigError: they can't be written.
        """
        results: list[Kept] = []
        changed: dict[bytes, Racked] = {}
        room = self.capacity - len(self)
        for entry in entries:
            fingerprint = entry.bottle.fingerprint
            held = changed.get(fingerprint) or self.held(fingerprint)
            if held is not None:
                bottle, kept = newest(held.bottle, entry.bottle)
                newer = bottle.sequence != held.bottle.sequence
                entry = replace(entry if newer else held, bottle=bottle)
            elif room > 0:
                room -= 1
                kept = Kept.STORED
            else:
                kept = Kept.FULL
            if kept is Kept.STORED:
                changed[fingerprint] = entry
            results.append(kept)
        if changed:
            self.write(changed.values())
        return results

    def mark(self, fingerprint: bytes, distrust: str = "") -> bool:
        """Marks what is held of a node.

        :param distrust: why no route is to use it; empty trusts it.
        :returns: False if nothing is held of it.
        """
        held = self.held(fingerprint)
        if held is not None and held.distrust != distrust:
            self.write([replace(held, distrust=distrust)])
        return held is not None

    def expire(self, before: float) -> tuple[bytes, ...]:
        """Forgets every node that has not signed contents since a time.

        :param before: Unix time, seconds.
        :returns: their fingerprints.
        """
        gone = tuple(stamp.fingerprint for stamp in self.stamps() if stamp.contents_seq < before)
        self.remove(*gone)
        return gone


def bucket_bounds(prefix_bits: int, value: int) -> tuple[bytes, bytes]:
    """The first and the last fingerprint that an id prefix can have.

    :raises ValueError: there is no such prefix.
    """
    if not (0 <= prefix_bits <= BUCKET_BITS_CAP and 0 <= value < 1 << prefix_bits):
        raise ValueError(f"no prefix of {prefix_bits} bits: {value}")
    rest = HASH_SIZE * 8 - prefix_bits
    first = value << rest
    return first.to_bytes(HASH_SIZE, "big"), (first | (1 << rest) - 1).to_bytes(HASH_SIZE, "big")


class MemoryRack(BottleStore):
    """The store that lasts as long as its process."""

    name = "memory"

    class Config(BottleStore.Config):
        """
        :param capacity: most nodes that are held.
        """

        capacity: int = Field(default=CAPACITY, ge=1)

    def __init__(self, config: Config | None = None) -> None:
        self.capacity = (config or self.Config()).capacity
        self._held: dict[bytes, Racked] = {}
        self._named: dict[str, set[bytes]] = {}

    def held(self, fingerprint: bytes) -> Racked | None:
        return self._held.get(fingerprint)

    def write(self, entries: Collection[Racked]) -> None:
        named = [(entry.bottle.label.name.lower(), entry.bottle.fingerprint, entry) for entry in entries]
        for name, fingerprint, entry in named:
            self._unname(fingerprint)
            self._held[fingerprint] = entry
            self._named.setdefault(name, set()).add(fingerprint)

    def remove(self, *fingerprints: bytes) -> None:
        for fingerprint in fingerprints:
            self._unname(fingerprint)
            self._held.pop(fingerprint, None)

    def _unname(self, fingerprint: bytes) -> None:
        held = self._held.get(fingerprint)
        if held is not None:
            name = held.bottle.label.name.lower()
            self._named[name].discard(fingerprint)
            if not self._named[name]:
                del self._named[name]

    def stamps(self) -> Iterator[Stamp]:
        return iter(
            [Stamp(key, *held.bottle.sequence) for key, held in sorted(self._held.items(), key=itemgetter(0))]
        )

    def namings(self) -> Iterator[Naming]:
        return iter(
            [_naming(key, held.bottle) for key, held in sorted(self._held.items(), key=itemgetter(0))]
        )

    def named(self, name: str) -> tuple[bytes, ...]:
        return tuple(sorted(self._named.get(name.lower(), ())))

    def bucket(self, prefix_bits: int, value: int) -> tuple[bytes, ...]:
        first, last = bucket_bounds(prefix_bits, value)
        return tuple(sorted(key for key in self._held if first <= key <= last))

    def __iter__(self) -> Iterator[Bottle]:
        return (held.bottle for held in tuple(self._held.values()))

    def trusted(self) -> Iterator[Bottle]:
        return (held.bottle for held in tuple(self._held.values()) if not held.distrust)

    def distrusted(self) -> dict[bytes, str]:
        return {key: held.distrust for key, held in self._held.items() if held.distrust}

    def successors(self) -> Iterator[Bottle]:
        return (bottle for bottle in self if bottle.label.predecessors)

    def __len__(self) -> int:
        return len(self._held)


def _naming(fingerprint: bytes, bottle: Bottle) -> Naming:
    label = bottle.label
    return Naming(fingerprint, label.name, label.since, label.flavour, *bottle.sequence)


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
        data = read_regular(file, BOTTLE_CAP)
    except OSError as error:
        raise RecordError(f"can't be read: {error.strerror}", cure="Check the file's permissions.") from error
    return Bottle.parse(data)


def save_bottle(folder: Path, bottle: Bottle) -> Path:
    """Writes a bottle into a folder, under its node id; readers see the old file or the new one.

    :returns: the file.
    :raises ConfigError: it can't be written.
    """
    return write_whole(folder / f"{bottle.node_id}{SUFFIX}", bottle.encode())
