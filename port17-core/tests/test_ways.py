"""Ways to a node: which of the addresses that a bottle names are ever dialled."""

from __future__ import annotations

import random

from port17.bottles.neighbours import Neighbours
from port17.bottles.rack import MemoryRack
from port17.bottles.ways import ways

from .bottle_maker import TERMS, Maker
from .test_neighbours import LINK, beacon

ADDRESSES = [
    "198.51.100.1:1",
    "8.8.8.8:1",
    "[2a00:1450::1]:1",
    "127.0.0.1:1",
    "10.1.2.3:1",
    "[fd00::1]:1",
    "[fe80::1]:4717",
    "[fe80::2]:4717",
    "oak.example:1",
]


def dialled(flavour: str, *, heard: bool = True, allow_private: bool = False) -> list[str]:
    found: list[str] = []
    for address in ADDRESSES:
        maker = Maker()
        neighbours = Neighbours(MemoryRack(), random.Random(1))
        if heard:
            neighbours.hear(beacon(maker), "fe80::1%eth0", LINK, TERMS, 0)
        label = maker.bottle(addresses={"tcp": [address]}, flavour=flavour).label
        found += [one for _, one in ways(label, neighbours, 1, allow_private=allow_private)]
    return found


def test_public_bottles_lead_to_nobodys_neighbours() -> None:
    assert dialled("public") == ["8.8.8.8:1", "[2a00:1450::1]:1", "oak.example:1"]
    assert "127.0.0.1:1" in dialled("public", allow_private=True)


def test_local_bottles_lead_to_neighbours_alone_and_by_the_link_on_which_they_are_heard() -> None:
    assert dialled("local") == ["10.1.2.3:1", "[fd00::1]:1", "[fe80::1%eth0]:4717"]
    assert dialled("local", heard=False) == ["10.1.2.3:1", "[fd00::1]:1"]


def test_the_order_and_the_transports_are_the_labels() -> None:
    label = Maker().bottle(addresses={"tcp": ["8.8.8.8:2", "8.8.8.8:1"], "quic": ["8.8.4.4:3"]}).label
    assert ways(label, None, 0) == [("tcp", "8.8.8.8:2"), ("tcp", "8.8.8.8:1"), ("quic", "8.8.4.4:3")]
    assert ways(Maker().bottle().label, None, 0) == []
