"""The intake: what happens to a bottle from its arrival to its being passed on, in this order.

:meth:`Intake.take` reads from top to bottom: parse; verify; compare with the rack and go on only if it says
something new; find out about new addresses; let the validators judge, also whether the PortName is free;
store; pass on. It takes bytes, results and the time, and gives back what became of the bottle and what is to
be done next; who does that, and in which thread, is not said here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from port17.bottles.address_checks import AddressChecks, Check
from port17.bottles.allowances import Allowances
from port17.bottles.bans import Bans
from port17.bottles.name_order import NOBODY, OFFLINE_S, NameOrder
from port17.bottles.newest import Kept, adds_nothing, newest
from port17.bottles.outcome import (
    Aborted,
    Distrusted,
    Outcome,
    Part,
    Stored,
    Tally,
    Unchanged,
    Why,
    aborted,
    settled,
)
from port17.bottles.rack import BottleStore
from port17.bottles.validation import Known, Terms, Validators
from port17.bottles.verdict import Ruling, Verdict
from port17.errors import RecordError
from port17.records.bottle import BOTTLE_CAP, Bottle
from port17.records.framing import BytesLike
from port17.records.mark import SignedMark
from port17.records.proof import Proof

STRANGERS_BURST: Final = 2048
"""Unknown nodes that one sender may bring at once: a neighbour after a partition has that many to tell."""
STRANGERS_RATE: Final = 4.0
"""The same per second later: a node with 4 lanes learns of 10,000 in ten minutes, and who invents nodes gets
no more than this of our time."""
SENDERS_CAP: Final = 1024
"""Most senders whose strangers are counted, as many as a node has links."""
EXPIRE_S: Final = OFFLINE_S
"""Age of contents, seconds, at which their node is forgotten and its name free; who comes back signs anew."""
LOCAL: Final = "local"
"""The flavour of a bottle that never leaves its local network."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Where a bottle comes from.

    :param name: of a lane or a client, unique; only compared.
    :param local: it is on our local network, so that local bottles may come from it.
    :param trusted: the user named it: a folder, a bootstrap node that was asked for everything. Its strangers
        are not counted.
    """

    name: str
    local: bool = False
    trusted: bool = False


OURSELVES: Final = Sender("ourselves", local=True, trusted=True)
"""The user's own folder, and what we find out by ourselves."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Pass the bottle on to all connected nodes and clients, but not to whoever sent it.

    :param mark: why we distrust it, to be sent beside it under our own signature, since the author said
        nothing of the kind; empty takes back what we said before.
    """

    bottle: Bottle
    but: Sender
    mark: str = ""


@dataclass(frozen=True, slots=True)
class ForwardLocally:
    """Pass the bottle on on the local network; fields as of :class:`Forward`."""

    bottle: Bottle
    mark: str = ""


@dataclass(frozen=True, slots=True)
class ForwardProof:
    """Pass a proof on to all connected nodes and clients."""

    proof: Proof


Action: TypeAlias = Check | Forward | ForwardLocally | ForwardProof


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a bottle, and what is to be done about it.

    :param next: in any order.
    """

    outcome: Outcome
    next: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Attested:
    """What became of a mark.

    :param news: it is held, and to be passed on.
    :param taken: what became of the node that it is about; None if it is believed as before.
    """

    news: bool = False
    taken: Taken | None = None


class Intake:
    """Decides about bottles for one rack."""

    def __init__(
        self,
        rack: BottleStore,
        validators: Validators,
        network_id: bytes,
        *,
        checker: bytes | None = None,
    ) -> None:
        """
        :param rack: verified bottles.
        :param checker: fingerprint of the node that this is, if it dials what is advertised; clients never
            do.
        """
        self.rack = rack
        self.bans = Bans()
        self.checks = AddressChecks(network_id, lambda: self.rack.trusted())
        self.tally = Tally()
        self.blocked: Mapping[bytes, str] = {}
        """Why moderators block a node, by fingerprint."""
        self.settled: Mapping[str, bytes] = NOBODY
        """Names whose owners moderators have verified."""
        self._validators = validators
        self.checker = checker
        self._strangers = Allowances(STRANGERS_RATE, STRANGERS_BURST, SENDERS_CAP)
        self.names = NameOrder(network_id, (one for one in rack.namings() if one.flavour != LOCAL))
        self._local_names = NameOrder(network_id, (one for one in rack.namings() if one.flavour == LOCAL))

    # -- the pipeline ------------------------------------------------------------------------------
    def take(self, offered: BytesLike | Bottle, sender: Sender, terms: Terms) -> Taken:
        """Everything at once.

        :param offered: as it came, or parsed already.
        """
        bottle = self._parse(offered)
        if isinstance(bottle, Bottle):
            early = self._spare(bottle, sender, terms)
            if early is None:
                refusal = self.refusal(bottle, terms)
                return self.admit(bottle, sender, terms) if refusal is None else self._end(refusal)
            return self._end(early)
        return self._end(bottle)

    def refusal(self, bottle: Bottle, terms: Terms) -> Aborted | None:
        """Why a bottle is not what it claims to be. Touches nothing of ours, so that a thread can ask it.

        Somebody must have vouched for it: where no plugin checks signatures, nothing is believed.
        """
        verdict = self._validators.verify_bottle(bottle, terms)
        if verdict.ruling is not Ruling.ACCEPT:
            return aborted(bottle, Why.of(verdict, Why.FORGED), "; ".join(verdict.reasons))
        return None

    def admit(self, bottle: Bottle, sender: Sender, terms: Terms) -> Taken:
        """The rest, for a bottle that :meth:`refusal` has nothing against."""
        held = self.rack.get(bottle.fingerprint)
        compared = self._compare(bottle, held, sender)
        if isinstance(compared, Taken):
            return self._end(compared.outcome, compared.next)
        self.checks.claimed(bottle, terms.now_s, allow_private=terms.allow_private)
        verdict = self._judge(bottle, terms)
        if verdict.ruling is Ruling.REJECT:
            return self._end(aborted(bottle, Why.of(verdict, Why.REFUSED), "; ".join(verdict.reasons)))
        outcome = self._store(bottle, compared, verdict, terms)
        return self._end(outcome, (*self._check(outcome, terms), *_forward(outcome, sender)))

    # -- its steps ---------------------------------------------------------------------------------
    def _parse(self, offered: BytesLike | Bottle) -> Bottle | Aborted:
        if isinstance(offered, Bottle):
            return offered
        if len(offered) > BOTTLE_CAP:
            return Aborted(Why.OVERSIZED, f"a bottle of {len(offered)} bytes: at most {BOTTLE_CAP} are read")
        try:
            return Bottle.parse(offered)
        except RecordError as error:
            return Aborted(Why.MALFORMED, error.message)

    def _spare(self, bottle: Bottle, sender: Sender, terms: Terms) -> Aborted | Unchanged | None:
        """What can be said without checking a signature: what is held was verified when it came."""
        if bottle.fingerprint in self.bans:
            return self._banned(bottle)
        if bottle.contents.seq + EXPIRE_S < terms.now_s:
            return aborted(bottle, Why.EXPIRED, f"signed more than {EXPIRE_S} s ago")
        held = self.rack.get(bottle.fingerprint)
        if held is not None:
            return Unchanged() if adds_nothing(held, bottle) else None
        return self._count_stranger(bottle, sender, terms.now_s)

    def _compare(self, bottle: Bottle, held: Bottle | None, sender: Sender) -> Part | Taken:
        """What is news, or why it does not go on."""
        fingerprint = bottle.fingerprint
        if fingerprint in self.bans:
            return Taken(self._banned(bottle))
        if fingerprint in self.blocked:
            return Taken(aborted(bottle, Why.BLOCKED, self.blocked[fingerprint]))
        if bottle.label.flavour == LOCAL and not sender.local:
            return Taken(aborted(bottle, Why.STRAY, "a local bottle, which came from afar"))
        if held is None:
            return Part.NODE
        proof = Proof.between(bottle, held)
        if proof is not None:
            action = self._ban(proof)
            return Taken(aborted(bottle, Why.EQUIVOCATED, proof.reason), action)
        joined, kept = newest(held, bottle)
        if kept is Kept.UNCHANGED:
            return Taken(Unchanged())
        if kept is not Kept.STORED:
            return Taken(aborted(bottle, Why.OBSOLETE, "a part of it is older than what is held"))
        if joined.label.seq > held.label.seq:
            return Part.LABEL
        return Part.CONTENTS if joined.contents.seq > held.contents.seq else Part.PREKEYS

    def _judge(self, bottle: Bottle, terms: Terms) -> Verdict:
        return self._validators.judge_bottle(
            bottle,
            Known(
                now_s=terms.now_s,
                name_holder=self._holder_with(bottle, terms),
                unreachable=self.checks.unreachable(bottle.fingerprint),
                allow_private=terms.allow_private,
            ),
        )

    def _store(self, bottle: Bottle, part: Part, verdict: Verdict, terms: Terms) -> Outcome:
        """Keeps what is new in it, and counts its node's claim of a name."""
        fingerprint, reason = bottle.fingerprint, "; ".join(verdict.reasons)
        if not self.rack.put(bottle, received=terms.now_s, distrust=reason):
            return aborted(bottle, Why.FULL, "it is not kept: there are too many")
        kept = self.rack.get(fingerprint) or bottle
        local = kept.label.flavour == LOCAL
        (self.names if local else self._local_names).drop(fingerprint)
        (self._local_names if local else self.names).put(kept)
        for before in kept.succeeds(terms.network_id, terms.schemes):
            self.names.drop(before)
        return settled(kept, part, verdict)

    def _check(self, outcome: Outcome, terms: Terms) -> tuple[Check, ...]:
        """What is to be dialled, if it is for us to do so. A bottle without an address is never dialled."""
        if isinstance(outcome, Stored | Distrusted):
            self._seat(outcome, terms)
            if self.checker is not None:
                check = self.checks.due(
                    outcome.bottle, self.checker, terms.now_s, allow_private=terms.allow_private
                )
                return () if check is None else (check,)
        return ()

    def _seat(self, outcome: Stored | Distrusted, terms: Terms) -> None:
        self.checks.checkers.put(
            outcome.bottle,
            terms.now_s,
            trusted=isinstance(outcome, Stored),
            allow_private=terms.allow_private,
        )

    # -- what comes in otherwise -------------------------------------------------------------------
    def checked(self, check: Check, failure: str, terms: Terms) -> Taken | None:
        """The result of a :class:`Check`: what is believed of the node is judged anew.

        :param failure: what is wrong; empty if the same identity answered at every address.
        :returns: None if it changes nothing.
        """
        before = self.checks.unreachable(check.fingerprint)
        if not self.checks.found(check.fingerprint, check.claim, failure):
            return None
        changed = self.checks.unreachable(check.fingerprint) != before
        return self._again(check.fingerprint, terms) if changed else None

    def attest(self, mark: SignedMark, terms: Terms) -> Attested:
        """What a node says of another's addresses: advice until enough of those agree who are to look.

        :raises RecordError: it is not signed by the node that it names.
        """
        said = mark.mark
        about, author = self.rack.get(said.about), self.rack.get(said.by)
        if about is None or author is None or said.by in self.blocked:
            return Attested()
        if said.by != self.checker and not self.checks.may_say(
            mark, about, terms.now_s, allow_private=terms.allow_private
        ):
            return Attested()
        mark.verify(terms.network_id, terms.schemes, author.label.identity, terms.now_s, skew_s=terms.skew_s)
        if not self.checks.take(mark, terms.now_s):
            return Attested()
        changed = self.checks.count(about, terms.now_s, allow_private=terms.allow_private)
        return Attested(True, self._again(said.about, terms) if changed else None)

    def outdate(self, terms: Terms) -> tuple[Taken, ...]:
        """Marks have an end; what is believed without them. To be asked every few minutes."""
        taken = []
        for fingerprint in sorted(self.checks.marks.expire(terms.now_s)):
            about = self.rack.get(fingerprint)
            if about is not None and self.checks.count(about, terms.now_s, allow_private=terms.allow_private):
                taken.append(self._again(fingerprint, terms))
        return tuple(one for one in taken if one is not None)

    def convict(self, proof: Proof, terms: Terms) -> tuple[Action, ...]:
        """Take a proof that somebody sent; it bans whom it convicts.

        :returns: nothing to do if the identity is banned already.
        :raises RecordError: it proves nothing.
        """
        if proof.fingerprint in self.bans:
            return ()
        proof.verify(terms.network_id, terms.schemes)
        return self._ban(proof)

    def forget(self, fingerprint: bytes) -> None:
        """A node has left the rack otherwise than by the intake: it claims no name any more."""
        for names in (self.names, self._local_names):
            names.drop(fingerprint)
        self.checks.forget(fingerprint)

    # -- the inside --------------------------------------------------------------------------------
    def _again(self, fingerprint: bytes, terms: Terms) -> Taken | None:
        bottle = self.rack.get(fingerprint)
        if bottle is None:
            return None
        verdict = self._judge(bottle, terms)
        self.rack.mark(fingerprint, "; ".join(verdict.reasons))
        outcome = settled(bottle, Part.LABEL, verdict)
        self._seat(outcome, terms)
        return self._end(outcome, _forward(outcome, OURSELVES))

    def holder(self, name: str, flavour: str, now_s: float) -> bytes | None:
        """Whose a PortName is at a Unix time, as a node of that flavour has to see it."""
        public = self.names.holder(name, now_s, self.settled)
        return self._local_names.holder(name, now_s) if public is None and flavour == LOCAL else public

    def _holder_with(self, bottle: Bottle, terms: Terms) -> bytes | None:
        """A local name gives way to a public one, which more people know."""
        before = bottle.succeeds(terms.network_id, terms.schemes)
        if bottle.label.flavour != LOCAL:
            return self.names.holder_with(bottle, terms.now_s, self.settled, before)
        public = self.names.holder(bottle.label.name, terms.now_s, self.settled)
        if public not in (None, bottle.fingerprint):
            return public
        return self._local_names.holder_with(bottle, terms.now_s, before=before)

    def _ban(self, proof: Proof) -> tuple[Action, ...]:
        met = self.rack.get(proof.fingerprint) is not None
        self.rack.remove(proof.fingerprint)
        self.forget(proof.fingerprint)
        return (ForwardProof(proof),) if self.bans.add(proof, met=met) else ()

    def _banned(self, bottle: Bottle) -> Aborted:
        return aborted(bottle, Why.BANNED, f"the node is banned: {self.bans.reasons[bottle.fingerprint]}")

    def room(self, sender: Sender, now_s: float) -> float:
        """How many nodes that nobody knows a sender may bring at a Unix time."""
        return math.inf if sender.trusted else self._strangers.level(sender.name, now_s)

    def _count_stranger(self, bottle: Bottle, sender: Sender, now_s: float) -> Aborted | None:
        if sender.trusted or self._strangers.take(sender.name, now_s):
            return None
        return aborted(bottle, Why.BUSY, "whoever sent it has sent too many nodes that nobody knows")

    def _end(self, outcome: Outcome, actions: tuple[Action, ...] = ()) -> Taken:
        self.tally.count(outcome)
        return Taken(outcome, actions)


def _forward(outcome: Outcome, sender: Sender) -> tuple[Action, ...]:
    """A local bottle never leaves its network."""
    if not isinstance(outcome, Stored | Distrusted):
        return ()
    mark = outcome.reason if isinstance(outcome, Distrusted) else ""
    locally = ForwardLocally(outcome.bottle, mark)
    if outcome.bottle.label.flavour == LOCAL:
        return (locally,)
    return (Forward(outcome.bottle, sender, mark), locally)
