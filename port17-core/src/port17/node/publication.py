"""What a node says of itself: its bottle, signed anew whenever that has changed, with prekeys made in time.

Used by the commands that make a node and by the node that runs. Who gets the bottle is the folder's matter:
in a static network it is shared, or copied.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import anyio.to_thread

from port17.bottles.name_order import OFFLINE_S
from port17.bottles.newest import newest
from port17.bottles.rack import SUFFIX, load_bottle, save_bottle
from port17.config.settings import NodeConfig
from port17.errors import ConfigError, RecordError
from port17.network import KnownNetwork
from port17.node.keyring import Keyring
from port17.records import envelope
from port17.records.bottle import (
    CONTENTS_KIND,
    LABEL_KIND,
    SLOTS_CAP,
    SUITES_CAP,
    Bottle,
    Contents,
    Label,
    Lane,
)
from port17.records.envelope import Envelope
from port17.records.exit_rules import ExitRules
from port17.records.prekey import PrekeyRecord
from port17.records.revision import DAY_S, Revision
from port17.wire.suite import CipherSuite

DAYS = 7
"""Days for which a node that runs has prekeys ahead, as far as the slots of a bottle reach: whoever is away
for less finds it again with the bottle that was last seen."""
RETRY_S = 60.0
"""Seconds before what could not be published is tried again."""

Numbers: TypeAlias = tuple[int, int]
"""Of a label and of contents."""
NONE_SIGNED: Final[Numbers] = 0, 0

_log = logging.getLogger(__name__)


def span(revision: Revision, now: float, days: int) -> tuple[int, int]:
    """The prekey slots to make keys for.

    :param days: how long the bottle is to serve. Where the charter's prekeys are so short-lived that a bottle
        cannot name those of a week, fewer are made, as by a node that runs.
    :returns: (first slot, how many).
    :raises ConfigError: more than a bottle can name.
    """
    lifetime = revision.prekey_lifetime_s
    most = max(DAYS, (SLOTS_CAP - 1) * lifetime // DAY_S)
    if not 1 <= days <= most:
        raise ConfigError(
            f"{days} days of prekeys cannot be made at once.",
            cure=f"Give --days 1 to {most}.",
        )
    return int(now) // lifetime, _slots(revision, days)


def seal(
    config: NodeConfig,
    revision: Revision,
    network_id: bytes,
    keyring: Keyring,
    suites: Iterable[str],
    lanes: Iterable[bytes],
    now: float,
    previous: Bottle | None = None,
    handed_over: Bottle | None = None,
    signed: Numbers = NONE_SIGNED,
) -> Bottle:
    """A node's bottle, as its configuration has it.

    :param suites: what the node serves, best first; one without a prekey is left out.
    :param lanes: fingerprints of the nodes that it keeps lanes with.
    :param previous: the node's bottle until now; the new one takes its place everywhere.
    :param handed_over: the last bottle of the identity whose place the node's has taken.
    :param signed: the last numbers that were signed; the bottle gets higher ones.
    :raises ConfigError: the configuration has no address that others could dial, or there is no prekey.
    """
    held = _prekeys(keyring, revision, suites, now)
    label = Label.made(
        identity=keyring.identity,
        name=config.name,
        group=config.group,
        addresses=addresses(config),
        suites=list(held),
        exit=list(config.exit.allow) if config.exit.enabled else None,
        predecessors=list(keyring.predecessors),
        since=_since(config, previous or handed_over, now),
        seq=int(now),
    )
    stand = [Lane(one, 0, 0) for one in lanes]
    return _signed(network_id, keyring, label, held, stand, now, previous, signed)


def _since(config: NodeConfig, previous: Bottle | None, now: float) -> int:
    """From when on the node has its name: a claim that was kept alive goes on."""
    if previous is None or previous.label.name.lower() != config.name.lower():
        return int(now)
    return int(now) if previous.contents.seq + OFFLINE_S < now else previous.label.since


def renewed(
    previous: Bottle,
    revision: Revision,
    network_id: bytes,
    keyring: Keyring,
    suites: Iterable[str],
    now: float,
    signed: Numbers = NONE_SIGNED,
) -> Bottle:
    """A node's bottle once more, with other suites or later prekeys; what else it says stays.

    :param suites: what the node serves, best first; one without a prekey is left out.
    :param signed: the last numbers that were signed; the bottle gets higher ones.
    :raises ConfigError: there is no prekey.
    """
    held = _prekeys(keyring, revision, suites, now)
    label = previous.label.model_copy(update={"suites": tuple(held)})
    return _signed(network_id, keyring, label, held, previous.contents.lanes, now, previous, signed)


def _prekeys(
    keyring: Keyring, revision: Revision, suites: Iterable[str], now: float
) -> dict[str, list[PrekeyRecord]]:
    """What a bottle is to name, by suite.

    :raises ConfigError: nothing.
    """
    # Just after a slot its key is still good, for those who have the bottle before this one.
    present = int(now) // revision.prekey_lifetime_s
    held: dict[str, list[PrekeyRecord]] = {name: [] for name in list(suites)[:SUITES_CAP]}
    for record in keyring.records():
        if (
            record.slot >= present
            and record.expiry > now
            and len(held.get(record.suite, range(SLOTS_CAP))) < SLOTS_CAP
        ):
            held[record.suite].append(record)
    held = {name: records for name, records in held.items() if records}
    if not held:
        raise ConfigError(
            f"the keyring {keyring.folder} has no prekey of a cipher suite that the node serves",
            cure="Make new ones: `port17 node bottle --config FILE`.",
        )
    return held


def _signed(
    network_id: bytes,
    keyring: Keyring,
    label: Label,
    held: Mapping[str, Sequence[PrekeyRecord]],
    lanes: Iterable[Lane],
    now: float,
    previous: Bottle | None,
    signed: Numbers,
) -> Bottle:
    # Two bottles of one second would be two payloads for one sequence.
    last = _higher(signed, previous.sequence) if previous is not None else signed
    contents = Contents.made(
        fingerprint=keyring.identity.fingerprint,
        seq=max(int(now), last[1] + 1),
        slots={name: [(one.slot, one.expiry, one.hash) for one in records] for name, records in held.items()},
        lanes=list(lanes),
    )

    def sign(kind: str, payload: bytes) -> Envelope:
        return envelope.sign(kind, network_id, keyring.scheme, keyring.signing_key, payload)

    bundle = [record for records in held.values() for record in records]
    # The slow part changes its number only with what it says, unless others may have a later one already.
    if previous is not None and label.model_copy(update={"seq": last[0]}) == previous.label:
        slow = previous.label_envelope
    else:
        seq = max(int(now), last[0] + 1)
        slow = sign(LABEL_KIND, label.model_copy(update={"seq": seq}).to_cbor())
    return Bottle.of(slow, sign(CONTENTS_KIND, contents.to_cbor()), bundle)


def _higher(one: Numbers, other: Numbers) -> Numbers:
    return max(one[0], other[0]), max(one[1], other[1])


def published(folder: Path, network_id: bytes, keyring: Keyring) -> Bottle | None:
    """The bottle that a folder has of an identity; None if there is none that it has signed.

    By whatever clock it was signed: what is published is.
    """
    try:
        bottle = load_bottle(folder / f"{keyring.identity.node_id}{SUFFIX}")
        bottle.verify(network_id, {keyring.scheme.name: keyring.scheme}, bottle.contents.seq)
    except RecordError:
        return None
    return bottle if bottle.fingerprint == keyring.identity.fingerprint else None


def publish(
    folder: Path,
    revision: Revision,
    network_id: bytes,
    keyring: Keyring,
    now: float,
    make: Callable[[Bottle | None, Numbers], Bottle | None],
    known: Bottle | None = None,
) -> tuple[Bottle, Path] | None:
    """Signs an identity's next bottle and puts it into a folder, while nobody else signs for the identity.

    :param folder: of bottles.
    :param make: gets the newest bottle until now, if there is one, and the last numbers signed. It returns
        the next, with higher numbers; or None if there is no need.
    :param known: what was seen of the identity elsewhere, verified.
    :returns: the bottle and its file; None if there was no need.
    :raises ConfigError: a folder can't be written, or this clock is far behind the last bottle's.
    """
    with keyring.signing() as journal:
        previous, signed = known, journal.signed
        found = published(folder, network_id, keyring)
        for one in (known, found):
            signed = _higher(signed, one.sequence) if one is not None else signed
        if found is not None:
            # A node and a command about it see each other's bottles late: the newest counts.
            previous = found if known is None else newest(known, found)[0]
        bottle = make(previous, signed)
        if bottle is None:
            return None
        if bottle.contents.seq > now + revision.clock_skew_s:
            at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(signed[1]))
            raise ConfigError(
                f"the last bottle of {keyring.identity.node_id} was signed at {at}, which is in the future",
                cure="Set this machine's clock; if it was wrong then, run `port17 identity rotate`.",
            )
        journal.sign(bottle.sequence)
        journal.write(keyring.folder)
        return bottle, save_bottle(folder, bottle)


def check(config: NodeConfig) -> None:
    """:raises ConfigError: no bottle could be made of the configuration."""
    addresses(config)
    if config.exit.enabled:
        ExitRules.parse(config.exit.allow)


def addresses(config: NodeConfig) -> dict[str, list[str]]:
    """What the bottle says of where the node is: what is advertised, or else where it listens.

    :raises ConfigError: it listens on a port that is only known once it runs.
    """
    found = {}
    for transport, address in config.listen.items():
        advertised = config.advertise.get(transport, [address])
        if any(one.endswith(":0") for one in advertised):
            raise ConfigError(
                f"The {transport} port is 0, which no bottle can name.",
                cure=f"Set listen.{transport} to an address with a port, or advertise.{transport}.",
            )
        found[transport] = advertised
    return found


@dataclass(frozen=True)
class _Task:
    """What one renewal goes by: it runs in a thread, beside which the network's state goes on changing."""

    present: Bottle
    revision: Revision
    network_id: bytes
    suites: Mapping[str, CipherSuite]
    now: float


class Publication:
    """Keeps the bottle of a running node right: prekeys for every suite that it is to serve, and in time."""

    def __init__(self, folder: Path, network: KnownNetwork, keyring: Keyring) -> None:
        """:param folder: of bottles, where the node's own is put."""
        self._folder = folder
        self._network = network
        self._keyring = keyring
        self._latest: Bottle | None = None
        self._version = -1
        self._tried_s = 0.0
        self._complaint = ""

    async def renew(self, now_s: float) -> None:
        """If the bottle is not right any more, make the prekeys that are missing, and a bottle that names
        them. What goes wrong is logged. Meanwhile nobody else may change the keyring.

        :param now_s: any clock, seconds.
        """
        network = self._network
        present = self._present()
        # A node whose bottle is not in the folder was not put there, or was taken away.
        if present is None or not (self._lacks(present) or self._is_behind(present)):
            return
        if self._version == network.version and now_s - self._tried_s < RETRY_S:
            return
        self._version, self._tried_s = network.version, now_s
        task = _Task(present, network.revision, network.charter.network_id, network.prepared, network.wall())
        try:
            self._latest = await anyio.to_thread.run_sync(self._renew, task) or self._latest
            self._complaint = ""
        except ConfigError as error:
            if error.message != self._complaint:
                self._complaint = error.message
                _log.warning(
                    "the node's new bottle is not published: %s. %s Or run `port17 node bottle --config FILE`"
                    " with the node's file, as somebody who may write there.",
                    error.message,
                    error.cure,
                )
        except Exception as fault:  # noqa: BLE001 - a plugin's suite or scheme: it may not end a node
            _log.error("the node's new bottle is not published: %s", type(fault).__name__)
            _log.debug("traceback", exc_info=fault)

    def _renew(self, task: _Task) -> Bottle | None:
        """Everything that takes its time on a disk."""
        revision, keyring = task.revision, self._keyring
        lifetime = revision.prekey_lifetime_s
        first, slots = int(task.now) // lifetime, _slots(revision)
        keyring.serve(task.suites, task.now)
        for one in (task.present, published(self._folder, task.network_id, keyring)):
            if one is not None:
                keyring.committed(one.contents.slots)  # keys from a backup may be older than the bottle
        keyring.stock(task.network_id, first, slots, lifetime, overlap=revision.overlap_s)
        keyring.save()

        def make(previous: Bottle | None, signed: Numbers) -> Bottle | None:
            previous = previous or task.present
            fresh = renewed(previous, revision, task.network_id, keyring, task.suites, task.now, signed)
            # A command has done it; or what is missing could not be made, and that was logged.
            return None if fresh.contents.slots == previous.contents.slots else fresh

        done = publish(self._folder, revision, task.network_id, keyring, task.now, make, known=task.present)
        if done is None:
            return None
        fresh, file = done
        _log.info("the node's bottle is published anew: %s serves %s", file, ", ".join(fresh.label.suites))
        return fresh

    def _present(self) -> Bottle | None:
        """The node's bottle as others have it, or will in a moment."""
        held, latest = self._network.rack.get(self._keyring.identity.fingerprint), self._latest
        if held is None or latest is None or held.sequence >= latest.sequence:
            return held
        return latest

    def _lacks(self, present: Bottle) -> bool:
        """Whether a bottle leaves out a suite, names one too many, or is about to run out of slots."""
        served = list(self._network.prepared)[:SUITES_CAP]
        if set(present.label.suites) != set(served):
            return True
        revision = self._network.revision
        first = int(self._network.wall()) // revision.prekey_lifetime_s
        # With another lifetime the slots that were made until now have numbers far off, above or below.
        late = range(first + _slots(revision) // 2, first + SLOTS_CAP + 1)
        return any(
            all(slot.slot not in late for slot in present.contents.slots.get(name, ())) for name in served
        )

    def _is_behind(self, present: Bottle) -> bool:
        """Whether a command has signed a bottle with prekeys that this process has not read yet."""
        now = self._network.wall()
        return any(
            (name, slot.slot) not in self._keyring.prekeys
            for name in present.contents.slots.keys() & self._network.prepared.keys()
            for slot in present.contents.slots[name]
            if slot.expiry > now
        )


def _slots(revision: Revision, days: int = DAYS) -> int:
    """How many slots there are in some days, as far as a bottle reaches; today's has partly passed."""
    return min(SLOTS_CAP, -(-days * DAY_S // revision.prekey_lifetime_s) + 1)
