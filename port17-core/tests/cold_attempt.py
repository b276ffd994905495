"""One cold call without I/O, with whatever a test puts in another's place."""

from __future__ import annotations

from port17.wire.block import BLOCK_SIZE
from port17.wire.cold import ColdCaller, ColdResponder, Want
from port17.wire.flight import NodeSigner
from port17.wire.prekey import Network
from port17.wire.replay import ReplaySet
from port17.wire.suite import CipherSuite

from .wire_network import WALL_S, network, signer, verify
from .wire_suites import TOY

FLIGHT = 2 * BLOCK_SIZE
REFUSED = "a link's handshake was refused"
NODE = b"n" * 32
SIGNATURE = 32
ids = {"ids": lambda suite: suite.name}


class Attempt:
    """See the module."""

    def __init__(self, suite: CipherSuite = TOY, *, say: bytes = b"fresh") -> None:
        self.suite = suite
        self.network = network()
        self.node = NODE
        self.now_s = WALL_S
        self.said: list[tuple[str, Want, int]] = []
        self.say = say
        self.replays = ReplaySet(60)
        self.responder = self.desk(signer(NODE))

    def desk(self, own: NodeSigner) -> ColdResponder:
        return ColdResponder(own, SIGNATURE, self.replays, self._say)

    def _say(self, suite: CipherSuite, want: Want, room: int) -> bytes:
        self.said.append((suite.name, want, room))
        return self.say

    def call(self, want: Want = Want.PREKEYS) -> ColdCaller:
        return ColdCaller(self.network, self.suite, self.node, self.now_s, want)

    def answer(self, flight: bytes, *, at: Network | None = None, elapsed_s: float = 0.0) -> bytes | None:
        suites = {self.suite.name: self.suite}
        return self.responder.answer(at or network(), suites, flight, WALL_S, elapsed_s)


def by_node(answer: bytes, message: bytes, signature: bytes) -> bool:
    return verify(NODE, message, signature)
