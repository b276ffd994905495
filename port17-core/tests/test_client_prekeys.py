"""A route's prekeys: whose word counts, what becomes of liars, and that only what is agreed on is used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio
import pytest
from trio.testing import MockClock

from port17.bottles.rack import save_bottle
from port17.client import inquiry
from port17.client.inquiry import ANSWER_S, SHOWN_S
from port17.client.prekeys import SOURCES_S
from port17.errors import ConfigError, NoRoute
from port17.wire.prekey import ResponderKey

from .client_feeds import Feed, LyingRack, Place, naming

SLOT_S = 300
"""Seconds of a prekey slot: time runs in small steps here."""


def virtually(test: Callable[[Place], Awaitable[None]], folder: Path, **options: Any) -> None:
    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            place = Place(folder, tasks, prekey_lifetime_s=SLOT_S, overlap_s=60, **options)
            await test(place)
            tasks.cancel_scope.cancel()

    async def at_once(work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)

    with patch("anyio.to_thread.run_sync", at_once):
        anyio.run(run, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})


def publics(keys: list[ResponderKey | None]) -> list[bytes | None]:
    return [None if key is None else key.public for key in keys]


def true_keys(place: Place, *places: int) -> list[bytes | None]:
    slot = int(place.wall()) // SLOT_S
    return [
        next(record.public for record in place.bottles[one].bundle if record.slot == slot) for one in places
    ]


def asked_for(feed: Feed) -> tuple[int, int]:
    """How often a source was asked for records, and for commitments."""
    said = b"".join(feed.asked)
    return said.count(b"gprekeys"), said.count(b"kcommitments")


def test_what_two_sources_agree_on_is_used_and_fetched_once(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        feeds = [place.feed(), place.feed()]
        for number, feed in enumerate(feeds):
            await place.feeds.add(feed, f"source {number}")
        keys = await place.prekeys.keys(place.nodes(0, 1, 2))
        assert publics(keys) == true_keys(place, 0, 1, 2)
        before = [asked_for(feed) for feed in feeds]
        assert sorted(before) == [(0, 1), (1, 0)], "records of one, what they commit to of the other"
        again = await place.prekeys.keys(place.nodes(2, 4, 3))
        assert publics(again) == true_keys(place, 2, 4, 3)
        assert [asked_for(feed) for feed in feeds] == before, "all were in one bucket"
        assert place.prekeys.agreed == 5

    virtually(test, tmp_path)


def test_a_fault_while_prekeys_are_taken_in_costs_that_question_alone(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        for number in range(2):
            await place.feeds.add(place.feed(), f"source {number}")
        with patch.object(place.known.gossip, "take", side_effect=ConfigError("the disk is full")):
            assert publics(await place.prekeys.keys(place.nodes(0, 1, 2))) == [None] * 3
        assert publics(await place.prekeys.keys(place.nodes(0, 1, 2))) == true_keys(place, 0, 1, 2)

    virtually(test, tmp_path)


def test_one_source_or_one_group_is_not_enough_beyond_the_first_hop(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        for number in range(3):
            await place.feeds.add(place.feed(), f"source {number}", "all the same")
        begun_s = anyio.current_time()
        with pytest.raises(NoRoute, match="all sources that stand are of one group") as refused:
            await place.prekeys.keys(place.nodes(0, 1, 2))
        assert "bottles" in refused.value.cure
        assert anyio.current_time() - begun_s == pytest.approx(SOURCES_S)
        assert publics(await place.prekeys.keys(place.nodes(0))) == true_keys(place, 0)
        with pytest.raises(NoRoute):  # though all records are at hand now
            await place.prekeys.keys(place.nodes(0, 1, 2))
        await place.feeds.add(place.feed(), "another", "another group")
        assert publics(await place.prekeys.keys(place.nodes(0, 1, 2))) == true_keys(place, 0, 1, 2)

    virtually(test, tmp_path)


def test_nobody_is_a_witness_of_his_own(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        source = await place.feeds.add(place.feed(), "one")
        await place.feeds.add(place.feed(), "other")
        itself, *_ = place.nodes(1)
        object.__setattr__(source, "fingerprint", itself.fingerprint)
        keys = await place.prekeys.keys(place.nodes(0, 2, 3))
        assert publics(keys) == true_keys(place, 0, 2, 3)
        assert not place.prekeys.holds(itself)

    virtually(test, tmp_path)


def test_no_source_is_a_clear_error(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        source = await place.feeds.add(place.feed(), "source")
        nodes = place.nodes(0, 1, 2)
        place.feeds.end(source)
        with pytest.raises(NoRoute, match="no source stands"):
            await place.prekeys.keys(nodes)

    virtually(test, tmp_path)


def test_sources_that_come_in_time_are_waited_for(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        await place.feeds.add(place.feed(), "one")

        async def later() -> None:
            await anyio.sleep(SOURCES_S / 2)
            await place.feeds.add(place.feed(), "other")

        place.tasks.start_soon(later)
        assert publics(await place.prekeys.keys(place.nodes(0, 1, 2))) == true_keys(place, 0, 1, 2)

    virtually(test, tmp_path)


def test_the_user_s_own_bottles_count_as_agreed(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        for bottle in place.bottles[:3]:
            save_bottle(place.own, bottle)
        await place.known.look_again()
        assert publics(await place.prekeys.keys(place.nodes(0, 1, 2))) == true_keys(place, 0, 1, 2)
        # It is not the node that is vouched for: another prekey of it, that came otherwise, is nobody's word.
        other = place.other(1)
        place.known.rack.remove(other.fingerprint)
        place.known.rack.put(other)
        with pytest.raises(NoRoute):
            await place.prekeys.keys(place.nodes(0, 1, 2))

    virtually(test, tmp_path)


@pytest.mark.parametrize(("later_s", "honest_later_s"), [(0, 0), (7, 0), (0, 7)])
def test_a_node_that_gives_each_client_its_own_prekey_is_never_used(
    tmp_path: Path, later_s: int, honest_later_s: int
) -> None:
    """The node and one source are hostile: the source tells this client alone of other contents."""

    async def test(place: Place) -> None:
        special = place.other(1, later_s=later_s)
        hostile = place.feed([special, *(one for one in place.bottles if one is not place.bottles[1])])
        await place.feeds.add(hostile, "hostile")
        (node,) = place.nodes(1)
        assert {slot.commitment for slot in node.slots} == {record.hash for record in special.bundle}
        nodes = place.nodes(0, 1, 2)
        honest = place.sign(1, place.bottles[1].bundle, honest_later_s)
        await place.feeds.add(place.feed([place.bottles[0], honest, *place.bottles[2:]]), "honest")
        if later_s >= honest_later_s:
            # Nobody wants what is older or has the same number: the comparison of commitments finds out.
            keys = await place.prekeys.keys(nodes)
            assert keys[1] is None
            assert publics(keys)[::2] == true_keys(place, 0, 2)
            await anyio.sleep(SHOWN_S / 2)
        assert node.fingerprint in place.known.intake.bans
        assert node.fingerprint not in place.known.chart().nodes
        assert not place.feeds.lost, "both sources have shown what the node has signed"
        assert publics(await place.prekeys.keys(place.nodes(0, 2, 3))) == true_keys(place, 0, 2, 3)

    virtually(test, tmp_path)


def test_a_source_that_names_another_prekey_and_can_show_nothing_is_none_any_more(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        victim = place.bottles[1].fingerprint
        rack = LyingRack(victim, naming({one.slot: bytes(32) for one in place.bottles[1].bundle}))
        await place.feeds.add(place.feed(rack=rack), "liar")
        rack.lying = True
        await place.feeds.add(place.feed(), "honest")
        keys = await place.prekeys.keys(place.nodes(0, 1, 2))
        assert keys[1] is None
        await anyio.sleep(SHOWN_S + 1)
        ((name, _why),) = place.feeds.lost
        assert name == "liar"
        assert place.known.rack.get(victim) is not None
        assert victim not in place.known.intake.bans, "a word without a signature harms no node"
        # What it has said before counts for nothing: a third one is needed.
        with pytest.raises(NoRoute):
            await place.prekeys.keys(place.nodes(0, 3, 2))
        await place.feeds.add(place.feed(), "third")
        assert publics(await place.prekeys.keys(place.nodes(0, 1, 2))) == true_keys(place, 0, 1, 2)

    virtually(test, tmp_path)


def test_a_record_that_is_not_the_signed_one_is_not_used(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        def swapped(bottle: Any) -> Any:
            return replace(bottle, bundle=tuple(place.forged(record) for record in bottle.bundle))

        rack = LyingRack(place.bottles[1].fingerprint, swapped)
        await place.feeds.add(place.feed(rack=rack), "liar")
        rack.lying = True
        for name in ("one", "other"):
            await place.feeds.add(place.feed(), name)
        with anyio.fail_after(3 * SHOWN_S):
            while publics(await place.prekeys.keys(place.nodes(0, 1, 2))) != true_keys(place, 0, 1, 2):
                assert (await place.prekeys.keys(place.nodes(0, 1, 2)))[1] is None
                await anyio.sleep(1)

    virtually(test, tmp_path)


def test_a_source_that_never_answers_is_replaced_and_another_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(place: Place) -> None:
        mute = place.feed()
        await place.feeds.add(mute, "mute")
        for name in ("one", "other"):
            await place.feeds.add(place.feed(), name)
        mute.silent = True
        monkeypatch.setattr(place.prekeys._inquiry._rng, "shuffle", lambda several: None)  # it is the first
        begun_s = anyio.current_time()
        assert publics(await place.prekeys.keys(place.nodes(0, 1, 2))) == true_keys(place, 0, 1, 2)
        assert anyio.current_time() - begun_s < 2 * ANSWER_S
        assert place.feeds.replaced == ["mute"]

    virtually(test, tmp_path)


def test_a_source_that_lacks_records_leaves_them_to_others(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        bare = [replace(bottle, bundle=()) for bottle in place.bottles]
        for name in ("bare", "barer"):
            await place.feeds.add(place.feed(bare), name)
        keys = await place.prekeys.keys(place.nodes(0, 1, 2))
        assert keys == [None, None, None]
        await place.feeds.add(place.feed(), "whole")
        assert publics(await place.prekeys.keys(place.nodes(0, 1, 2))) == true_keys(place, 0, 1, 2)

    virtually(test, tmp_path)


def test_where_the_route_begins_is_asked_last(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        feeds = [place.feed() for _ in range(3)]
        sources = [await place.feeds.add(feed, f"source {one}") for one, feed in enumerate(feeds)]
        nodes = place.nodes(0, 1, 2)
        sources[1].fingerprint = nodes[0].fingerprint
        await place.prekeys.keys(nodes)
        assert asked_for(feeds[1]) == (0, 0)

    virtually(test, tmp_path)


def test_all_of_a_small_network_is_fetched_ahead_and_again_before_the_slot_changes(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        feeds = [place.feed(), place.feed()]
        for number, feed in enumerate(feeds):
            await place.feeds.add(feed, f"source {number}")
        place.tasks.start_soon(place.prekeys._ahead)
        await anyio.sleep(5)
        assert all(map(place.prekeys.holds, place.known.chart()))
        before = sum(sum(asked_for(feed)) for feed in feeds)
        for _ in range(3):
            end_s = (place.wall() // SLOT_S + 1) * SLOT_S
            await anyio.sleep(end_s - place.wall() - 0.01 * SLOT_S)
            asked = sum(sum(asked_for(feed)) for feed in feeds)
            assert asked == before + 2, "before the change, once"
            await anyio.sleep(0.02 * SLOT_S)
            keys = await place.prekeys.keys(place.nodes(0, 1, 2))
            assert publics(keys) == true_keys(place, 0, 1, 2), "of the new slot"
            assert sum(sum(asked_for(feed)) for feed in feeds) == asked
            before = asked
        assert place.prekeys.agreed == 2 * len(place.bottles), "what has expired is forgotten"

    virtually(test, tmp_path)


def test_a_bucket_that_somebody_has_filled_is_asked_for_more_narrowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(place: Place) -> None:
        monkeypatch.setattr(inquiry, "BUCKET_CAP", 2)
        monkeypatch.setattr("port17.bottles.serving.records", _first_two(place, "records"))
        monkeypatch.setattr("port17.bottles.serving.commitments", _first_two(place, "commitments"))
        for name in ("one", "other"):
            await place.feeds.add(place.feed(), name)
        order = sorted(range(5), key=lambda one: place.bottles[one].fingerprint)
        assert publics(await place.prekeys.keys(place.nodes(*order[2:]))) == true_keys(place, *order[2:])

    virtually(test, tmp_path)


def _first_two(place: Place, name: str) -> Callable[..., Any]:
    from port17.bottles import buckets

    answer = getattr(buckets, name)
    return lambda *where, **options: answer(*where, **options)[:2]


def test_a_large_network_is_asked_for_what_is_needed_among_other_things(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        buckets = [("suite", prefix) for prefix in range(512)]
        place.prekeys._needed = {("suite", 7), ("suite", 9), ("suite", 600)}
        chosen = place.prekeys._chosen(buckets)
        assert {("suite", 7), ("suite", 9)} < set(chosen)
        assert 2 * 2 < len(chosen) == len(set(chosen)) < 20
        assert chosen != sorted(chosen)

    virtually(test, tmp_path, nodes=1)


def test_one_honest_source_of_three_finds_out_the_others(tmp_path: Path) -> None:
    """The node and two sources of different groups have one owner."""

    async def test(place: Place) -> None:
        special = place.other(1)
        for name in ("hostile", "hostile too"):
            feed = place.feed([special, *(one for one in place.bottles if one is not place.bottles[1])])
            await place.feeds.add(feed, name)
        await place.feeds.add(place.feed(), "honest")
        place.tasks.start_soon(place.prekeys._ahead)
        await anyio.sleep(SHOWN_S)
        assert special.fingerprint in place.known.intake.bans
        assert not place.feeds.lost

    virtually(test, tmp_path)
