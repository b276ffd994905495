"""What a flood of labels makes a network do to a machine that they name: the numbers of docs/addresses.md."""

from __future__ import annotations

import heapq
import random
import re
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from port17.bottles.address_checks import Check
from port17.bottles.check_queue import CheckQueue
from port17.bottles.checkers import SEATS, Checkers
from port17.bottles.lane_turns import CROWDED, SMALL, LaneTurns
from port17.records.bottle import Bottle
from port17.records.host import host_of

from .bottle_maker import NETWORK, NOW, Maker

VICTIM = "9.9.9.9"
PROOF_S = 15.0
"""Seconds that a dial without an answer takes."""
HOUR_S = 3600.0
LATER_MIN = 150.0
"""Minutes after the first half hour."""
FLIGHT = 8192
"""Bytes that one call sends: two blocks."""
DOC = Path(__file__).parents[2] / "docs" / "addresses.md"


class Placed:
    """As much of a bottle as drawing asks for: signing ten thousand takes long."""

    def __init__(self, number: int) -> None:
        self.fingerprint = NETWORK[:28] + number.to_bytes(4, "big")
        self.label = self
        self.flavour = "public"
        self.addresses = {"tcp": (f"{11 + number // 250}.{number % 250}.1.1:4000",)}


def drawn_from(nodes: int) -> Checkers:
    return Checkers(NETWORK, lambda: [Placed(at) for at in range(nodes)])  # type: ignore[misc]


def flood(
    checkers: Checkers,
    named: list[str],
    leads_to: Callable[[str], IPv4Address] | None = None,
    last_s: float = HOUR_S / 2 + LATER_MIN * 60,
) -> list[float]:
    """When the victim is dialled, by all who look.

    :param named: addresses, each of another identity.
    """
    queues: dict[bytes, CheckQueue] = {}
    for at, address in enumerate(named):
        about = b"sybil".ljust(28, b"\0") + at.to_bytes(4, "big")
        check = Check(about, bytes(32), "public", (("tcp", address),))
        for seat in checkers.seats(host_of(address).site, "public", about, NOW, allow_private=False):
            if seat not in queues:
                queues[seat] = CheckQueue(random.Random(seat))
            queues[seat].add(check, 0.0)
    times: list[float] = []
    for queue in queues.values():
        ends: list[tuple[float, int, object]] = []
        count = 0
        now_s = 0.0
        while True:
            now_s = max(now_s, min(queue.due_s, ends[0][0] if ends else queue.due_s))
            if now_s > last_s:
                break
            while ends and ends[0][0] <= now_s:
                queue.ended(heapq.heappop(ends)[2], now_s, answered=False, connected=True)  # type: ignore[arg-type]
            dial = queue.next(now_s)
            if dial is None:
                continue
            count += 1
            heapq.heappush(ends, (now_s + PROOF_S, count, dial))
            if leads_to is not None:
                led = queue.lead(dial, [leads_to(dial.host.name)], now_s)
                if led is None:
                    continue
            times.append(now_s)
    return times


def per_minute(times: list[float]) -> tuple[int, float]:
    """Most in one minute, and how many a minute after the first half hour."""
    most = max(Counter(int(one // 60) for one in times).values(), default=0)
    return most, sum(one >= HOUR_S / 2 for one in times) / LATER_MIN


@pytest.fixture(scope="module")
def networks() -> dict[int, Checkers]:
    return {nodes: drawn_from(nodes) for nodes in (100, 1000, 10_000)}


@pytest.mark.parametrize(("nodes", "identities"), [(100, 2000), (1000, 10_000), (10_000, 2000)])
def test_ten_thousand_identities_that_name_one_machine(
    networks: dict[int, Checkers], nodes: int, identities: int
) -> None:
    times = flood(networks[nodes], [f"{VICTIM}:{1 + at}" for at in range(identities)])
    most, later = per_minute(times)
    assert most <= 4 * SEATS == 64, "at first"
    assert later <= SEATS / 10 + SEATS / LATER_MIN, "1.6 a minute"
    assert most >= 2 * SEATS, "else nothing was tested"
    assert most * FLIGHT <= 512 * 1024


@pytest.mark.parametrize("nodes", [100, 1000])
def test_identities_that_name_all_of_one_site(networks: dict[int, Checkers], nodes: int) -> None:
    named = [f"9.9.9.{at % 256}:{1 + at // 256}" for at in range(2000)]
    most, later = per_minute(flood(networks[nodes], named))
    assert SEATS <= most <= 17 * SEATS
    assert later <= SEATS + SEATS / LATER_MIN, "16 a minute"


@pytest.mark.parametrize(("domains", "reached"), [(1, 16), (50, 800)])
def test_names_of_many_owners_that_lead_to_one_machine(
    networks: dict[int, Checkers], domains: int, reached: int
) -> None:
    named = [f"n{at}.owner{at % domains}.example:{1 + at}" for at in range(2000)]
    named = [one.replace(".example", "-example.org") for one in named]
    times = flood(networks[1000], named, lambda name: IPv4Address(VICTIM))
    assert len(times) <= reached, "once in six hours, from as many nodes as look at the owners' names"
    assert len(times) >= reached / 4


def test_many_victims_are_dialled_at_no_more_than_a_node_s_own_pace(networks: dict[int, Checkers]) -> None:
    named = [f"{20 + at // 250}.{at % 250}.7.7:1" for at in range(2000)]
    times = flood(networks[100], named, last_s=HOUR_S)
    assert len(times) <= 100 * (32 + HOUR_S / 10 + 1)
    assert max(Counter(int(one // 60) for one in times).values()) <= 100 * (32 + 6 + 1)


@pytest.fixture(scope="module")
def bottle() -> Bottle:
    return Maker().bottle(addresses={"tcp": [f"{VICTIM}:1"]})


def test_neighbours_are_sought_at_a_crowded_site_by_turns(bottle: Bottle) -> None:
    nodes = 1000
    calls: list[int] = []
    everybody = [LaneTurns(at.to_bytes(32, "big")) for at in range(nodes)]
    for second in range(0, 3000, 15):  # everybody wants to call there all the time
        calls += [second] * sum(
            one.take(bottle, nodes, lambda site: CROWDED + 1, second) for one in everybody
        )
    minutes = Counter(second // 60 for second in calls)
    assert max(minutes.values()) <= 60 * 1.6
    assert len(calls) / 50 <= 62
    assert len(calls) >= 2 * nodes, "everybody had turns"


def test_turns_are_for_crowded_sites_and_first_ones_for_large_networks(bottle: Bottle) -> None:
    one = LaneTurns(bytes(32))
    assert all(one.take(bottle, 1000, lambda site: CROWDED, 0.0) for _ in range(50))
    assert one.take(bottle, SMALL, lambda site: 1000, 0.0)
    assert not one.take(bottle, SMALL, lambda site: 1000, SMALL - 1.0)
    assert one.take(bottle, SMALL, lambda site: 1000, SMALL + 0.0)
    other = LaneTurns(bytes(32))
    assert not other.take(bottle, 10_000, lambda site: 1000, 0.0)


def test_turns_are_remembered_within_bounds_and_forgetting_gives_none_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("port17.bottles.lane_turns.SITES_CAP", 10)
    turns = LaneTurns(bytes(32))
    maker = Maker()
    for at in range(50):
        somewhere = maker.bottle(addresses={"tcp": [f"9.9.{at}.9:1"]})
        turns.take(somewhere, 10_000, lambda site: 1000, 0.0)
    assert len(turns._next) == 10
    first = maker.bottle(addresses={"tcp": ["9.9.0.9:1"]})
    assert not turns.take(first, 10_000, lambda site: 1000, 1.0), "forgotten, and it waits for its turn anew"


def test_the_page_says_the_numbers_that_are_tested() -> None:
    text = re.sub(r"\s+", " ", DOC.read_text("utf-8"))
    for number in ("16 nodes", "64 connections", "1.6 a minute", "512 KiB", "272 connections", "16 a minute"):
        assert number in text, number
