"""What a node says of itself: how its bottle is made and signed, and no number of it twice.

Used by the commands that make a node and by the node that runs, whose bottle is
:mod:`port17.node.own_bottle`'s to keep right.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from port17.bottles.name_order import OFFLINE_S
from port17.bottles.newest import newest
from port17.bottles.rack import SUFFIX, load_bottle, save_bottle
from port17.config.settings import NodeConfig
from port17.errors import ConfigError, RecordError
from port17.node.commands import Sign
from port17.node.keyring import Keyring
from port17.node.local_addresses import local_addresses
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
    return int(now) // lifetime, slot_count(revision, days)


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
        flavour=config.flavour,
        predecessors=list(keyring.predecessors),
        since=_since(config, previous or handed_over, now),
        seq=int(now),
    )
    said = Sign(tuple(Lane(one, 0, 0) for one in lanes), 0, ())
    return _signed(network_id, keyring, label, held, said, now, previous, signed)


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
    said: Sign | None = None,
    at: Mapping[str, Sequence[str]] | None = None,
) -> Bottle:
    """A node's bottle once more, with other suites or later prekeys; what else its label says stays.

    :param suites: what the node serves, best first; one without a prekey is left out.
    :param said: what the contents are to say beside prekeys; None leaves that as it was.
    :param at: where the node is, if it is somewhere else now.
    :param signed: the last numbers that were signed; the bottle gets higher ones.
    :raises ConfigError: there is no prekey.
    """
    held = _prekeys(keyring, revision, suites, now)
    label = previous.label.model_copy(update={"suites": tuple(held)})
    if at is not None:
        label = label.model_copy(update={"addresses": {name: tuple(found) for name, found in at.items()}})
    before = previous.contents
    said = said or Sign(before.lanes, before.load, before.flags)
    return _signed(network_id, keyring, label, held, said, now, previous, signed)


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
    said: Sign,
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
        lanes=list(said.lanes),
        load=said.load,
        flags=list(said.flags),
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
    """:raises ConfigError: no bottle could be made of the configuration, or nobody could use the node."""
    found = addresses(config)
    if config.exit.enabled:
        ExitRules.parse(config.exit.allow)
        if not found:
            raise ConfigError(
                "An exit has an address: a node without one serves in the middle of routes alone.",
                cure="Say where it listens, or leave out the exit.",
            )


def addresses(config: NodeConfig) -> dict[str, list[str]]:
    """What the bottle says of where the node is: what is advertised, or else where it listens.

    :raises ConfigError: it listens on a port that is only known once it runs, or a local node is to say that
        it is where no local network is.
    """
    found = {}
    for transport, address in config.listen.items():
        advertised = config.advertise.get(transport, [address])
        if any(one.endswith(":0") for one in advertised):
            raise ConfigError(
                f"The {transport} port is 0, which no bottle can name.",
                cure=f"Set listen.{transport} to an address with a port, or advertise.{transport}.",
            )
        if config.flavour == "local":
            advertised = local_addresses(advertised, allow_private=config.addresses.allow_private)
        found[transport] = advertised
    return found


def slot_count(revision: Revision, days: int = DAYS) -> int:
    """How many slots there are in some days, as far as a bottle reaches; today's has partly passed."""
    return min(SLOTS_CAP, -(-days * DAY_S // revision.prekey_lifetime_s) + 1)
