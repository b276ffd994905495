"""When others' addresses are dialled, how often at most, and what is settled by that."""

from __future__ import annotations

import random
from collections.abc import Iterable
from ipaddress import ip_address
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.bottles import check_queue as module
from port17.bottles.address_checks import LOST, Check
from port17.bottles.check_queue import (
    AGAIN_FIRST_S,
    AGAIN_MOST_S,
    ATTEMPTS,
    HOST_BURST,
    HOST_RATE,
    OWN_BURST,
    OWN_RATE,
    RENEW_S,
    RETRY_S,
    SITE_BURST,
    SITE_QUEUE_CAP,
    SITE_RATE,
    CheckDial,
    CheckQueue,
    CheckResult,
)
from port17.records.host import Flavour

PROOF_S = 15.0
"""Seconds that a dial without an answer takes."""
HOUR_S = 3600.0


def check(node: int, *addresses: str, claim: int = 0, flavour: Flavour = "public") -> Check:
    return Check(
        node.to_bytes(32, "big"), claim.to_bytes(32, "big"), flavour, tuple(("tcp", one) for one in addresses)
    )


def queue(*, allow_private: bool = False) -> CheckQueue:
    return CheckQueue(random.Random(7), allow_private=allow_private)


def run(
    of: CheckQueue,
    until_s: float,
    there: Iterable[str] = (),
    *,
    begin_s: float = 0.0,
    connected: bool = True,
    resolved: dict[str, list[str]] | None = None,
) -> tuple[list[tuple[float, str]], list[tuple[float, CheckResult]]]:
    """Let time pass.

    :param there: addresses at which the right node answers.
    :param resolved: where names lead.
    :returns: what was dialled when, and what was settled when.
    """
    dialled: list[tuple[float, str]] = []
    results: list[tuple[float, CheckResult]] = []
    ends: list[tuple[float, CheckDial, bool]] = []
    now_s = begin_s
    while True:
        due_s = min([of.due_s, *(end[0] for end in ends)])
        if due_s > until_s:
            return dialled, results
        now_s = max(now_s, due_s)
        for end in [end for end in ends if end[0] <= now_s]:
            ends.remove(end)
            result = of.ended(end[1], now_s, answered=end[2], connected=connected)
            if result is not None:
                results.append((now_s, result))
        dial = of.next(now_s)
        if dial is None:
            continue
        if dial.host.is_name:
            found = [ip_address(one) for one in (resolved or {}).get(dial.host.name, [])]
            led = of.lead(dial, found, now_s)
            if led is None:
                ends.append((now_s + PROOF_S, dial, False))
                continue
            dial = led
        address = dial.address if dial.ip is None else f"{dial.ip}:{dial.host.port}"
        dialled.append((now_s, address))
        answered = dial.address in there
        ends.append((now_s + (0.1 if answered else PROOF_S), dial, answered))


def proven(*, allow_private: bool = False) -> CheckQueue:
    """Of a node that has reached others: it can tell who is lost."""
    of = queue(allow_private=allow_private)
    of.add(check(999_999, "8.8.4.4:1"), 0.0)
    run(of, 1.0, ["8.8.4.4:1"])
    of.forget(check(999_999).fingerprint)
    return of


def test_a_node_that_answers_everywhere_is_found_and_looked_for_again_a_day_later() -> None:
    of = queue()
    both = check(1, "9.9.9.9:1", "9.9.9.9:2")
    assert of.add(both, 0.0)
    dialled, results = run(of, RENEW_S / 2, ["9.9.9.9:1", "9.9.9.9:2"])
    assert [one for _, one in dialled] == ["9.9.9.9:1", "9.9.9.9:2"]
    assert [one for _, one in results] == [CheckResult(both, "")]
    dialled, results = run(of, 2 * RENEW_S, ["9.9.9.9:1"], begin_s=RENEW_S / 2)
    assert results[0][1] == CheckResult(both, LOST), "one address is lost later"
    assert dialled[0][0] >= RENEW_S / 2


def test_a_node_that_does_not_answer_is_lost_after_some_dials_and_found_again_later() -> None:
    of = proven()
    lost = check(1, "9.9.9.9:1")
    of.add(lost, 10.0)
    dialled, results = run(of, 100.0, begin_s=10.0)
    assert len(dialled) == ATTEMPTS
    assert dialled[1][0] - dialled[0][0] == pytest.approx(PROOF_S + RETRY_S)
    assert [one for _, one in results] == [CheckResult(lost, LOST)]
    again, results = run(of, AGAIN_FIRST_S + 200, ["9.9.9.9:1"], begin_s=100.0)
    assert len(again) == 1
    assert [one for _, one in results] == [CheckResult(lost, "")], "a later success lifts it"


def test_who_stays_lost_is_looked_for_less_and_less() -> None:
    of = proven()
    of.add(check(1, "9.9.9.9:1"), 0.0)
    of.add(check(2, "8.8.8.8:1"), 0.0)
    dialled, settled = run(of, 7 * 24 * HOUR_S, ["8.8.8.8:1"])
    results = [one for one in settled if one[1].check == check(1, "9.9.9.9:1")]
    at = [when for when, _ in results]
    pauses = [later - sooner for sooner, later in pairwise(at)]
    assert pauses[0] < 2 * AGAIN_FIRST_S
    assert AGAIN_MOST_S / 2 < pauses[-1] < AGAIN_MOST_S + HOUR_S
    assert all(one.failure == LOST for _, one in results)
    assert [one for _, one in dialled].count("9.9.9.9:1") == ATTEMPTS * len(results)
    assert 25 < len(results) < 50


def test_whoever_reaches_nobody_calls_nobody_lost() -> None:
    never = queue()
    never.add(check(1, "9.9.9.9:1"), 0.0)
    assert not run(never, HOUR_S)[1], "nothing of this kind has ever answered"
    alone = proven()
    alone.add(check(1, "9.9.9.9:1"), 0.0)
    assert not run(alone, HOUR_S, connected=False)[1], "we may be lost"
    other = proven()
    other.add(check(1, "[2620:fe::9]:1"), 0.0)
    assert not run(other, HOUR_S)[1], "IPv4 says nothing of IPv6"
    other.add(check(2, "9.9.9.9:1"), HOUR_S)
    (result,) = run(other, HOUR_S + 100, begin_s=HOUR_S)[1]
    assert result[1].failure == LOST


def test_what_the_flavour_forbids_is_never_dialled() -> None:
    of = queue()
    assert not of.add(check(1, "10.0.0.1:1", "127.0.0.1:1", "169.254.169.254:80"), 0.0)
    assert of.add(check(2, "10.0.0.1:1", "9.9.9.9:1"), 0.0)
    assert not of.add(check(3, "9.9.9.9:1", flavour="local"), 0.0)
    assert of.add(check(4, "9.9.9.9:1", "10.0.0.1:1", flavour="local"), 0.0)
    assert {one for _, one in run(of, HOUR_S)[0]} == {"9.9.9.9:1", "10.0.0.1:1"}
    test_network = queue(allow_private=True)
    assert test_network.add(check(1, "127.0.0.1:1"), 0.0)
    assert not test_network.add(check(2, "224.0.0.1:1", "0.0.0.0:1"), 0.0)


def test_a_name_is_dialled_by_number_and_not_where_that_is_forbidden() -> None:
    where = {"a.example": ["9.9.9.9", "9.9.9.10"], "b.example": ["9.9.8.9", "10.0.0.1"], "c.example": []}
    of = proven()
    for at, name in enumerate(where):
        of.add(check(at + 1, f"{name}:1"), 0.0)
    dialled, _ = run(of, HOUR_S, resolved=where)
    assert {one for _, one in dialled} == {"9.9.9.9:1"}
    assert len(dialled) == 1, "a machine to which names lead is dialled four times a day"


def test_a_test_network_on_one_machine_is_looked_at_at_once() -> None:
    of = queue(allow_private=True)
    here = [f"127.0.0.1:{port}" for port in range(1, 21)]
    for port, address in enumerate(here):
        assert of.add(check(port + 1, address), 0.0)
    assert len(run(of, 1.0, here)[0]) == 20


def test_new_addresses_take_the_place_of_old_ones_and_old_results_count_for_nothing() -> None:
    of = proven()
    of.add(check(1, "9.9.9.9:1"), 0.0)
    old = of.next(0.0)
    assert old is not None
    of.add(check(1, "9.9.9.8:1", claim=1), 0.0)
    assert of.ended(old, 1.0, answered=True, connected=True) is None
    assert len(of) == 1
    new = of.next(1.0)
    assert new is not None
    assert new.address == "9.9.9.8:1"
    of.forget(new.check.fingerprint)
    assert of.ended(new, 2.0, answered=True, connected=True) is None
    assert of.next(1e9) is None
    assert of.due_s == float("inf")


def test_the_same_check_again_changes_nothing() -> None:
    of = queue()
    assert of.add(check(1, "9.9.9.9:1"), 0.0)
    run(of, 5.0)
    due_s = of.due_s
    for _ in range(50):
        assert of.add(check(1, "9.9.9.9:1"), 5.0)
    assert of.due_s == due_s
    assert len(of) == 1


def test_one_machine_one_site_one_author_and_all_have_their_limits() -> None:
    hour = int(HOUR_S)
    machine = queue()
    for node in range(2000):
        machine.add(check(node, f"9.9.9.9:{node + 1}"), 0.0)
    assert len(run(machine, HOUR_S)[0]) <= HOST_BURST + hour * HOST_RATE + 1
    neighbour = queue()
    for node in range(100):
        neighbour.add(check(node, f"10.0.0.1:{node + 1}", flavour="local"), 0.0)
    assert len(run(neighbour, HOUR_S)[0]) <= HOST_BURST + hour * HOST_RATE + 1
    site = queue()
    for node in range(2000):
        site.add(check(node, f"9.9.9.{node % 250}:1"), 0.0)
    assert len(site) == SITE_QUEUE_CAP
    assert len(run(site, HOUR_S)[0]) <= SITE_BURST + hour * SITE_RATE + 1
    author = queue()
    count = 0
    for move in range(200):
        author.add(check(1, f"9.{move}.9.9:1", f"9.{move}.9.9:2", claim=move), move * 18.0)
        count += len(run(author, (move + 1) * 18.0, begin_s=move * 18.0)[0])
    assert 16 <= count <= 16 + hour / 300 + 1
    everything = queue()
    for node in range(5000):
        everything.add(check(node, f"{1 + node // 250}.{node % 250}.9.9:1"), 0.0)
    assert len(everything) == module.QUEUE_CAP
    assert len(run(everything, HOUR_S)[0]) <= OWN_BURST + hour * OWN_RATE + 1


def test_a_flood_at_one_site_does_not_hold_up_others() -> None:
    of = proven()
    for node in range(5000):
        of.add(check(node + 10, f"9.9.9.9:{node + 1}"), 0.0)
    of.add(check(1, "8.8.8.8:1"), 0.0)
    dialled, results = run(of, 60.0, ["8.8.8.8:1"])
    assert "8.8.8.8:1" in [one for _, one in dialled]
    assert CheckResult(check(1, "8.8.8.8:1"), "") in [one for _, one in results]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=60))
def test_whatever_is_claimed_no_machine_is_dialled_more_often_than_is_said(
    seed: int, claims: list[tuple[int, int]]
) -> None:
    rng = random.Random(seed)
    of = queue()
    dialled: list[tuple[float, str]] = []
    now_s = 0.0
    there = ["9.9.9.1:1", "9.9.9.3:1"]
    for at, (node, host) in enumerate(claims):
        of.add(check(node, f"9.9.9.{host}:1", f"9.9.{host}.9:2", claim=at), now_s)
        if rng.random() < 0.1:
            of.forget(check(node).fingerprint)
        until_s = now_s + rng.uniform(0, 120)
        dialled += run(of, until_s, there, begin_s=now_s)[0]
        now_s = until_s
    for machine in {one for _, one in dialled}:
        times = [when for when, one in dialled if one == machine]
        for first in range(len(times)):
            for last in range(first, len(times)):
                span_s = times[last] - times[first]
                assert last - first + 1 <= HOST_BURST + span_s * HOST_RATE + 1
    assert sum(of._queued.values()) <= 2 * len(of)
    for entry in list(of._entries):
        of.forget(entry)
    assert not of._queued
