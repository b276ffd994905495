"""Where routes are looked for, and by whose rules, at one moment: what a search is made of, to be explained,
or to be tried with something changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from port17.navigator.chart import Chart, Fingerprint
from port17.navigator.policy import Policies
from port17.navigator.route import Survey


@dataclass(frozen=True)
class Situation:
    """See the module.

    :param chart: here and below: as :class:`~port17.navigator.route.Survey` takes them.
    """

    chart: Chart
    policies: Policies
    transports: Collection[str] | None = None
    avoid: Collection[Fingerprint] = ()
    avoid_lanes: Collection[tuple[Fingerprint, Fingerprint]] = ()
    entries: Collection[Fingerprint] | None = None
    entry_us: Mapping[Fingerprint, float] = field(default_factory=dict)
    hops: int = 3
    max_hops: int = 5

    def survey(self) -> Survey:
        """A search in it, that shares nothing with others: it may be used in a thread of its own."""
        return Survey(
            self.chart,
            self.policies,
            transports=self.transports,
            avoid=self.avoid,
            avoid_lanes=self.avoid_lanes,
            entries=self.entries,
            entry_us=self.entry_us,
            hops=self.hops,
            max_hops=self.max_hops,
        )
