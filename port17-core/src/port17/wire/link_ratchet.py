"""A link's asymmetric steps at either end: the ratchet of circuits, by the same pace.

Only the link's initiator starts steps. What carries them is :mod:`port17.wire.link_keys`'s.
"""

from __future__ import annotations

from typing import Protocol

from port17.wire.pace import NEVER, Pace, Patience, StepTerms
from port17.wire.ratchet import InitiatorRatchet, ResponderRatchet, Session, Turn
from port17.wire.suite import KemKey


class LinkRatchet(Protocol):
    """Either end's."""

    @property
    def session(self) -> Session:
        """The keys that step."""

    @property
    def mark(self) -> int:
        """Cells of use at which :meth:`step` is to be asked whatever the time."""

    @property
    def answered_s(self) -> float | None:
        """When the last step was completed, by the link's clock; None before the first."""

    def take(self, data: bytes, used: int, now_s: float) -> Turn | None:
        """RATCHET data came; what to answer.

        :param used: cells that the link carried for circuits, both directions.
        :raises PeerViolation: it is not the step that may come next.
        """

    def step(self, used: int, now_s: float) -> Turn | None:
        """The step to start now, if one is due.

        :raises PeerViolation: the peer's key is unusable.
        """

    def overdue(self, now_s: float) -> bool:
        """The step that is outstanding will not be answered any more."""


class LinkInitiator:
    """The end that dialled: it starts every step."""

    def __init__(self, session: Session, key: KemKey, terms: StepTerms, now_s: float) -> None:
        """:param key: fresh; its public half goes out with END_EARLY."""
        self.session = session
        self._ratchet = InitiatorRatchet(session, key)
        self._pace = Pace(terms, now_s)

    @property
    def mark(self) -> int:
        """See :class:`LinkRatchet`."""
        return self._pace.mark

    @property
    def answered_s(self) -> float | None:
        """See :class:`LinkRatchet`."""
        return self._pace.answered_s

    def take(self, data: bytes, used: int, now_s: float) -> Turn | None:
        """See :class:`LinkRatchet`."""
        first = self._pace.answered_s is None
        self._ratchet.response(data)
        self._pace.answered(used, now_s)
        # What the link carries hangs on the handshake's keys no longer than it must.
        return self._ask(now_s) if first else None

    def step(self, used: int, now_s: float) -> Turn | None:
        """See :class:`LinkRatchet`."""
        return self._ask(now_s) if self._pace.due(used, now_s) else None

    def overdue(self, now_s: float) -> bool:
        """See :class:`LinkRatchet`."""
        return self._pace.overdue(now_s)

    def _ask(self, now_s: float) -> Turn:
        self._pace.asked(now_s)
        return self._ratchet.request()


class LinkResponder:
    """The end that was called: it answers every step at once."""

    mark = NEVER

    def __init__(self, session: Session, peer: bytes) -> None:
        """:param peer: the initiator's fresh public key, from END_EARLY."""
        self.session = session
        self._ratchet = ResponderRatchet(session, peer)
        self._patience = Patience()
        self.answered_s: float | None = None
        """See :class:`LinkRatchet`."""

    def first(self) -> Turn:
        """RSP 0.

        :raises PeerViolation: the initiator's key is unusable.
        """
        return self._ratchet.response(self.session.suite.generate())

    def take(self, data: bytes, used: int, now_s: float) -> Turn | None:
        """See :class:`LinkRatchet`."""
        self._patience.admit(used, now_s)
        self._ratchet.request(data)
        self.answered_s = now_s
        return self._ratchet.response(self.session.suite.generate())

    def step(self, used: int, now_s: float) -> Turn | None:
        """See :class:`LinkRatchet`: a responder starts none."""
        return None

    def overdue(self, now_s: float) -> bool:
        """See :class:`LinkRatchet`: a responder waits for none."""
        return False
