"""A running node's own bottle: what it says is signed anew, prekeys are made in time, and others are told.

What it is to say the manager decides; how it is signed is :mod:`port17.node.publication`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import anyio
import anyio.to_thread

from port17.bottles.intake import OURSELVES
from port17.bottles.outcome import Aborted, Distrusted, Why
from port17.config.settings import NodeConfig
from port17.errors import ConfigError
from port17.network import KnownNetwork
from port17.node.commands import Sign
from port17.node.keyring import Keyring
from port17.node.publication import Numbers, addresses, publish, published, renewed, seal, slot_count
from port17.records.bottle import SLOTS_CAP, SUITES_CAP, Bottle
from port17.records.identity import node_id
from port17.records.revision import Revision
from port17.wire.suite import CipherSuite

BURN_S = 60.0
"""Seconds between looks for expired prekeys."""
RETRY_S = 60.0
"""Seconds before what could not be published is tried again."""
ANOTHER_NAME = "set another name in the node's configuration, and run `port17 node bottle --config FILE`"
"""What whoever has a name that is another's can do; a node that runs takes the bottle over."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Task:
    """What one bottle goes by: it is made in a thread, beside which the network's state goes on changing."""

    present: Bottle | None
    revision: Revision
    network_id: bytes
    suites: Mapping[str, CipherSuite]
    now: float


class OwnBottle:
    """Keeps the bottle of a running node right."""

    def __init__(self, config: NodeConfig, network: KnownNetwork, keyring: Keyring) -> None:
        self._config = config
        self._folder = config.bottles
        self._network = network
        self._keyring = keyring
        self._latest: Bottle | None = None
        self._version = -1
        self._tried_s = 0.0
        self._complaint = ""
        self._refusal = ""
        """Why the bottle is not taken by ourselves, as it will not be by others."""
        self._told = ""
        """The trouble that was logged last."""
        self._unsaid: Sign | None = None
        """What is to be said and could not be signed."""
        self._due = anyio.Event()
        """Set when the keys are to be looked at."""
        self._signing = anyio.Lock()
        """One at a time: the keyring is changed by nobody else."""

    @property
    def bottle(self) -> Bottle | None:
        """The node's bottle as others have it, or will in a moment."""
        held, latest = self._network.rack.get(self._keyring.identity.fingerprint), self._latest
        if held is None or latest is None or held.sequence >= latest.sequence:
            return held
        return latest

    def trouble(self) -> str:
        """Why others do not take the node for what it says, and what to do; empty if nothing is known of."""
        network, present = self._network, self.bottle
        name = self._config.name if present is None else present.label.name  # a command may have changed it
        holder = network.intake.holder(name, self._config.flavour, network.wall())
        if holder not in (None, self._keyring.identity.fingerprint):
            return f"the PortName {name} is {node_id(holder or b'')}'s: {ANOTHER_NAME}"
        return self._refusal

    def warn(self) -> None:
        """Log the trouble, if it is news."""
        trouble = self.trouble()
        if trouble and trouble != self._told:
            _log.warning("others do not take the node for what it says: %s", trouble)
        self._told = trouble

    async def begin(self) -> None:
        """Say that the node is there and has no lane yet, by a first bottle if it has none.

        :raises ConfigError: there is none, and none could be made.
        """
        said = Sign((), 0, ())
        async with self._signing:
            fresh = await anyio.to_thread.run_sync(self._first, self._task(), said)
            self._publish(fresh)

    async def keep(self, burn: Callable[[], None]) -> None:
        """Make what is missing, and burn what has expired, without an end; only here does the keyring change.

        :param burn: overwrites expired prekeys; waits for the disk, and for a command that writes there too.
        """
        while True:
            await self.renew(anyio.current_time())
            # Where prekeys live for seconds, as in tests, a bottle runs out of them within a minute.
            with anyio.move_on_after(min(BURN_S, self._network.revision.prekey_lifetime_s / 2)):
                await self._due.wait()
            self._due = anyio.Event()
            await anyio.to_thread.run_sync(burn)

    def look(self) -> None:
        """The keys are to be looked at now: charter, clock or bottles have changed."""
        self._due.set()

    async def sign(self, said: Sign) -> None:
        """Say something else. What goes wrong is logged, and tried again by :meth:`renew`."""
        async with self._signing:
            self._unsaid = said
            await self._try(self._sign_unsaid)

    async def renew(self, now_s: float) -> None:
        """If the bottle is not right any more, make the prekeys that are missing, and a bottle that names
        them. What goes wrong is logged.

        :param now_s: any clock, seconds.
        """
        async with self._signing:
            network = self._network
            present = self.bottle
            lacks = present is not None and (self._lacks(present) or self._is_behind(present))
            if not lacks and self._unsaid is None:
                return
            if self._version == network.version and now_s - self._tried_s < RETRY_S:
                return
            self._version, self._tried_s = network.version, now_s
            if lacks:
                await self._try(self._renew)
            if self._unsaid is not None:
                await self._try(self._sign_unsaid)

    def _task(self) -> _Task:
        network = self._network
        return _Task(
            self.bottle, network.revision, network.charter.network_id, network.prepared, network.wall()
        )

    async def _try(self, make: Callable[[_Task], Bottle | None]) -> None:
        try:
            fresh = await anyio.to_thread.run_sync(make, self._task())
            if fresh is not None:
                self._publish(fresh)
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

    def _publish(self, fresh: Bottle) -> None:
        """Tell others at once."""
        self._latest = fresh
        outcome = self._network.gossip.take(fresh, OURSELVES, anyio.current_time())
        self._refusal = ""
        if isinstance(outcome, Aborted):
            self._refusal = f"{outcome.text}: {ANOTHER_NAME}" if outcome.why is Why.NAME else outcome.text
        self.warn()
        if isinstance(outcome, Distrusted) and outcome.reason != self._complaint:
            self._complaint = outcome.reason
            _log.warning("the node's own bottle is distrusted, as it will be by others: %s", outcome.reason)

    def _first(self, task: _Task, said: Sign) -> Bottle:
        self._stock(task)  # it may have been away for long
        return self._sign(task, said)

    def _sign_unsaid(self, task: _Task) -> Bottle | None:
        said = self._unsaid
        if said is None:
            return None
        fresh = self._sign(task, said)
        self._unsaid = None
        return fresh

    def _sign(self, task: _Task, said: Sign) -> Bottle:
        revision, keyring = task.revision, self._keyring

        def make(previous: Bottle | None, signed: Numbers) -> Bottle:
            previous = previous or task.present
            if previous is None:
                return seal(
                    self._config,
                    revision,
                    task.network_id,
                    keyring,
                    task.suites,
                    [lane.fingerprint for lane in said.lanes],
                    task.now,
                    signed=signed,
                )
            return renewed(
                previous, revision, task.network_id, keyring, task.suites, task.now, signed, said, self._at()
            )

        done = publish(self._folder, revision, task.network_id, keyring, task.now, make, known=task.present)
        assert done is not None  # since make always gives one
        return done[0]

    def _stock(self, task: _Task) -> None:
        """Make the prekeys that are missing."""
        revision, keyring = task.revision, self._keyring
        lifetime = revision.prekey_lifetime_s
        first, slots = int(task.now) // lifetime, slot_count(revision)
        keyring.serve(task.suites, task.now)
        for one in (task.present, published(self._folder, task.network_id, keyring)):
            if one is not None:
                keyring.committed(one.contents.slots)  # keys from a backup may be older than the bottle
        keyring.stock(task.network_id, first, slots, lifetime, overlap=revision.overlap_s)
        keyring.save()

    def _renew(self, task: _Task) -> Bottle | None:
        """Everything that takes its time on a disk."""
        revision, keyring, present = task.revision, self._keyring, task.present
        self._stock(task)

        def make(previous: Bottle | None, signed: Numbers) -> Bottle | None:
            previous = previous or present
            if previous is None:
                return None
            fresh = renewed(
                previous, revision, task.network_id, keyring, task.suites, task.now, signed, at=self._at()
            )
            # A command has done it; or what is missing could not be made, and that was logged.
            same = fresh.contents.slots == previous.contents.slots
            return None if same and fresh.label.addresses == previous.label.addresses else fresh

        done = publish(self._folder, revision, task.network_id, keyring, task.now, make, known=task.present)
        if done is None:
            return None
        fresh, file = done
        _log.info("the node's bottle is published anew: %s serves %s", file, ", ".join(fresh.label.suites))
        return fresh

    def _at(self) -> dict[str, list[str]] | None:
        """Where a local node is now, which changes as its machine moves; None where that is fixed."""
        return addresses(self._config) if self._config.flavour == "local" else None

    def _has_moved(self, present: Bottle) -> bool:
        at = self._at()
        return at is not None and at != {name: list(held) for name, held in present.label.addresses.items()}

    def _lacks(self, present: Bottle) -> bool:
        """Whether a bottle leaves out a suite, names one too many, is about to run out of slots, or says
        that the node is where it isn't."""
        if self._has_moved(present):
            return True
        served = list(self._network.prepared)[:SUITES_CAP]
        if set(present.label.suites) != set(served):
            return True
        revision = self._network.revision
        first = int(self._network.wall()) // revision.prekey_lifetime_s
        # With another lifetime the slots that were made until now have numbers far off, above or below.
        late = range(first + slot_count(revision) // 2, first + SLOTS_CAP + 1)
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
