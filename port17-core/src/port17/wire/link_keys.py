"""The keys of one link over its life: early ones, those of the handshake, and how these step.

Which cell goes out when is :mod:`port17.wire.link`'s, and what a step does :mod:`port17.wire.ratchet`'s.
"""

from __future__ import annotations

from collections.abc import Callable

from port17.errors import LinkLost, PeerViolation
from port17.wire.conveyor import nothing
from port17.wire.link_ratchet import LinkInitiator, LinkRatchet, LinkResponder
from port17.wire.message import RATCHET_HEAD, TOKEN, LinkMessage
from port17.wire.pace import NEVER, StepTerms
from port17.wire.ratchet import Chain, Session, Turn


class LinkKeys:
    """Either end's.

    :attr:`send` and :attr:`receive` are the chains in force; a message of ours that is sealed, or the
    peer's that is taken, can put others in their place.
    """

    def __init__(self, send: Chain, receive: Chain | None) -> None:
        """
        :param send: an initiator's early chain, or a responder's final one.
        :param receive: a responder's early chain; None at an initiator until :meth:`confirm`.
        """
        self.send = send
        self.receive = receive
        self.own_cells = 0
        """LINK cells under the final keys, both directions: they count as no use of the link."""
        self.failure = ""
        """Why the link cannot go on; empty while there is no reason."""
        self._final: Session | None = None
        self._proved: Callable[[], None] = nothing
        self._ratchet: LinkRatchet | None = None
        self._end_early: bytes = b""
        self._turn: Turn | None = None

    def confirm(self, session: Session, now_s: float, terms: StepTerms) -> None:
        """An initiator has flight 2: END_EARLY is due, and the final keys are in force after it.

        :param terms: when the keys are to step.
        """
        key = session.suite.generate()
        self.receive = session.backward
        self._final = session
        self._ratchet = LinkInitiator(session, key, terms, now_s)
        self._end_early = TOKEN.pack(LinkMessage.END_EARLY, 0) + key.public

    def expect(self, session: Session, proved: Callable[[], None]) -> None:
        """A responder has sent flight 2: after the peer's END_EARLY these keys are in force.

        :param proved: called then.
        """
        self._final = session
        self._proved = proved

    @property
    def session(self) -> Session | None:
        """The final keys, once they are in force at this end."""
        return self._ratchet.session if self._ratchet is not None and self._final is None else None

    @property
    def used(self) -> int:
        """Cells that the link carried for circuits under its final keys, both directions."""
        session = self.session
        return session.forward.counter + session.backward.counter - self.own_cells if session else 0

    @property
    def mark(self) -> int:
        """The count of :attr:`used` at which :meth:`tend` is to be called at once."""
        return self._ratchet.mark if self._ratchet is not None else NEVER

    @property
    def answered_s(self) -> float | None:
        """When the last step was completed, by the link's clock; None before the first."""
        return self._ratchet.answered_s if self._ratchet is not None else None

    def tend(self, now_s: float) -> None:
        """Start the step that is due, if one is.

        :raises LinkLost: the peer does not answer one any more.
        """
        if self._ratchet is None or self._turn is not None:
            return
        if self._ratchet.overdue(now_s):
            raise LinkLost("the peer does not answer a ratchet step")
        try:
            self._turn = self._ratchet.step(self.used, now_s)
        except PeerViolation:
            self.failure = "the peer's ratchet key is unusable"

    # -- messages ---------------------------------------------------------------------------------
    def take(self, kind: int, body: memoryview, now_s: float) -> None:
        """END_EARLY or RATCHET came.

        :raises PeerViolation: it is malformed, or not allowed here and now.
        """
        session = self._final
        if kind == LinkMessage.END_EARLY and session is not None and self._ratchet is None:
            key = bytes(body[TOKEN.size : TOKEN.size + session.suite.public_size])
            responder = LinkResponder(session, key)
            self._ratchet, self._turn, self._final = responder, responder.first(), None
            self.receive = session.forward
            self.own_cells = 0
            self._proved()
        elif kind == LinkMessage.RATCHET and self.session is not None and self._turn is None:
            assert self._ratchet is not None
            _, size = RATCHET_HEAD.unpack_from(body)
            if size > len(body) - RATCHET_HEAD.size:
                raise PeerViolation("a RATCHET message is longer than its cell")
            data = bytes(body[RATCHET_HEAD.size : RATCHET_HEAD.size + size])
            self._turn = self._ratchet.take(data, self.used, now_s)
        else:
            raise PeerViolation("a LINK cell is malformed, or not allowed here and now")

    @property
    def due(self) -> bool:
        """:meth:`message` has one to send."""
        return bool(self._end_early) or self._turn is not None

    def message(self) -> bytes:
        """The body of the message that is due; :meth:`sealed` is to follow."""
        if self._end_early:
            return self._end_early
        data = self._turn.data if self._turn is not None else b""
        return RATCHET_HEAD.pack(LinkMessage.RATCHET, len(data)) + data

    def sealed(self) -> None:
        """The message is sealed under the old keys: on to the new ones."""
        if self._end_early:
            self._end_early = b""
            if self._final is not None:
                self.send, self._final = self._final.forward, None
                self.own_cells = 0
        elif self._turn is not None:
            turn, self._turn = self._turn, None
            self.own_cells += 1
            turn.sealed()
