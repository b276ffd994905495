"""A node with a geo source knows in whose networks others are when it spreads its lanes."""

from __future__ import annotations

from pathlib import Path

from .links_network import on_virtual_clock
from .node_world import one_thread, town

__all__ = ["one_thread"]


def test_lanes_are_counted_by_the_as_that_a_nodes_own_source_names(tmp_path: Path) -> None:
    table = tmp_path / "places.toml"
    table.write_text('[places]\n"20.0.0.0/8" = { country = "DE", asn = 64500 }\n')
    geo = {"source": "static", "options": {"file": str(table)}}

    async def run() -> None:
        async with town(tmp_path) as made:
            ash, oak = made.home("ash", geo=geo), made.home("oak")
            await made.start(["ash", "oak"], ["ash", "oak"])
            await made.until(lambda: ash.lanes == {oak.fingerprint})
            marks = {}
            for one, other in ((ash, oak), (oak, ash)):
                candidate = one.running._driver._manager._known.get(other.fingerprint)
                assert candidate is not None
                marks[one.name] = {mark for mark in candidate.marks if mark.startswith("area")}
            assert marks == {"ash": {"area 20.2.0.0/16", "area AS64500"}, "oak": {"area 20.1.0.0/16"}}
            assert ash.running._driver._manager._caller_areas("20.9.0.1:1") == {"20.9.0.0/16", "AS64500"}
            # And the chart that it draws says so, too.
            assert [place.country for place in ash.known.chart().nodes[oak.fingerprint].places] == ["DE"]
            assert not oak.known.chart().nodes[ash.fingerprint].places

    on_virtual_clock(run)
