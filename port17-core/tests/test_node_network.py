"""Networks of whole nodes that find each other, make lanes, and heal."""

from __future__ import annotations

from pathlib import Path

from .links_network import on_virtual_clock
from .node_world import Town, one_thread, town

__all__ = ["one_thread"]
FIRST = ("n00", "n01", "n02")


def alike(made: Town) -> bool:
    """All racks say the same, and know everybody."""
    racks = [home.rack for home in made.running]
    return all(rack == racks[0] for rack in racks) and len(racks[0]) >= len(made.running)


def test_nodes_that_know_a_list_find_each_other_and_make_lanes(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            names = [f"n{number:02}" for number in range(12)]
            for name in names:
                made.home(name)
            await made.start(names, FIRST)
            took_s = await made.until(
                lambda: all(len(home.lanes) >= 4 for home in made.running), 60, "too few lanes"
            )
            print("lanes after", took_s)
            took_s += await made.until(lambda: alike(made), 60, "racks differ")
            print("alike after", took_s)
            for home in made.running:
                print(home.name, len(home.lanes), home.running._driver.status())

    on_virtual_clock(run)
