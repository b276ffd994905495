"""All links of a node while they live, whoever is at their other ends."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from port17.links.crane import Crane
from port17.node.engine import Engine
from port17.wire.ratchet import StepCount


class Cranes:
    """Of one node. What each is for is others' business."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._all: set[Crane] = set()
        self._named: dict[str, Crane] = {}
        self._steps = StepCount()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Crane]:
        return iter(list(self._all))

    async def keep(self, crane: Crane) -> None:
        """Own a crane until it is lost."""
        self._all.add(crane)
        name = self._engine.name(crane.link)
        self._named[name] = crane
        try:
            await crane.run()
        finally:
            self._all.discard(crane)
            self._named.pop(name, None)
            if crane.link.keys.session is not None:
                self._steps.add(crane.link.keys.session)
            self._engine.forget(crane.link)

    def named(self, origin: str) -> Crane | None:
        """A link; None if it has ended.

        :param origin: the engine's name of it.
        """
        return self._named.get(origin)

    def serve(self, suites: Collection[str]) -> None:
        """End those under a suite that the node does not serve any more."""
        for crane in self:
            if crane.suite not in suites:
                crane.end()

    @property
    def steps(self) -> dict[str, int]:
        """How often the keys of links have stepped, since the node started."""
        sessions = [crane.link.keys.session for crane in self._all]
        return self._steps.with_living(session for session in sessions if session is not None)
