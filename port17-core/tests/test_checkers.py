"""Who looks at what: as many for each site in any network, drawn by place, and the same for everybody."""

from __future__ import annotations

import hashlib
import random
from collections import Counter

import pytest

from port17.bottles import checkers as module
from port17.bottles.checkers import SEASON_S, SEATS, Checkers, place_of, sites_of
from port17.records.bottle import Bottle

from .bottle_maker import NETWORK, NOW, Maker

NODES = 60
TARGET = bytes(32)
"""Whom the tests look at: nobody who looks."""


def address(area: int, host: int = 1) -> dict[str, list[str]]:
    """Of one of many areas."""
    return {"tcp": [f"{1 + area // 200}.{area % 200}.{host // 250}.{1 + host % 250}:4000"]}


@pytest.fixture(scope="module")
def bottles() -> list[Bottle]:
    return [Maker().bottle(name=f"n{at}", addresses=address(at)) for at in range(NODES)]


def seasoned(bottles: list[Bottle], *, allow_private: bool = False) -> Checkers:
    """Those who were there before."""
    return Checkers(NETWORK, lambda: bottles)


def seats(
    of: Checkers, site: str, about: bytes = TARGET, now_s: float = NOW, **kind: bool
) -> frozenset[bytes]:
    return of.seats(site, "public", about, now_s, allow_private=kind.get("allow_private", False))


def test_as_many_look_at_each_site_and_everybody_draws_the_same(bottles: list[Bottle]) -> None:
    first, second = seasoned(bottles), seasoned(bottles[::-1])
    drawn = Counter[bytes]()
    for at in range(200):
        site = f"198.51.{at}.0/24"
        assert len(seats(first, site)) == SEATS
        assert seats(first, site) == seats(second, site)
        drawn.update(seats(first, site))
    assert len(drawn) == NODES, "everybody has something to look at"
    assert max(drawn.values()) < 200 * 0.8, "nobody nearly everything"


def test_in_a_small_network_all_look_but_nobody_at_himself(bottles: list[Bottle]) -> None:
    few = bottles[:5]
    everybody = {one.fingerprint for one in few}
    checkers = seasoned(few)
    assert seats(checkers, "198.51.100.0/24") == everybody
    assert seats(checkers, "198.51.100.0/24", few[0].fingerprint) == everybody - {few[0].fingerprint}


def test_who_comes_or_goes_changes_a_site_s_seats_by_one(bottles: list[Bottle]) -> None:
    checkers, site = seasoned(bottles), "198.51.100.0/24"
    before = seats(checkers, site)
    gone = min(before)
    checkers.drop(gone)
    after = seats(checkers, site)
    assert before - after == {gone}
    assert len(after) == SEATS


def test_of_one_area_one_node_looks_at_a_site_however_many_there_are(bottles: list[Bottle]) -> None:
    crowd = [Maker().bottle(name=f"s{at}", addresses=address(150, at)) for at in range(80)]
    checkers = seasoned([*bottles, *crowd])
    sybils = {one.fingerprint for one in crowd}
    taken = [len(seats(checkers, f"198.51.{at}.0/24") & sybils) for at in range(100)]
    assert max(taken) == 1
    assert 10 <= sum(taken) <= 60, "one area of 61 has a seat at one site of four"


def test_a_node_has_a_say_after_a_while_and_none_once_it_is_distrusted(bottles: list[Bottle]) -> None:
    checkers = Checkers(NETWORK, lambda: ())
    newcomer = bottles[0]

    def put(bottle: Bottle, now_s: float, *, trusted: bool = True) -> None:
        checkers.put(bottle, now_s, trusted=trusted, allow_private=False)

    def sits(now_s: float) -> bool:
        return newcomer.fingerprint in seats(checkers, "198.51.100.0/24", now_s=now_s)

    put(newcomer, NOW)
    assert not sits(NOW + SEASON_S - 1)
    put(newcomer, NOW + SEASON_S / 2)
    assert sits(NOW + SEASON_S), "news of it is no new beginning"
    put(newcomer, NOW + SEASON_S, trusted=False)
    assert not sits(NOW + SEASON_S)
    put(newcomer, NOW + SEASON_S + 5)
    assert not sits(NOW + 2 * SEASON_S)
    assert sits(NOW + 2 * SEASON_S + 5)


def test_who_moves_begins_anew_and_who_goes_is_gone(bottles: list[Bottle]) -> None:
    maker = Maker()
    checkers = Checkers(NETWORK, lambda: ())
    checkers.put(maker.bottle(addresses=address(1)), NOW, trusted=True, allow_private=False)
    moved = maker.bottle(addresses=address(2))
    checkers.put(moved, NOW + SEASON_S - 1, trusted=True, allow_private=False)
    assert not seats(checkers, "198.51.100.0/24", now_s=NOW + SEASON_S)
    assert seats(checkers, "198.51.100.0/24", now_s=NOW + 2 * SEASON_S) == {maker.fingerprint}
    checkers.drop(maker.fingerprint)
    assert not seats(checkers, "198.51.100.0/24", now_s=NOW + 2 * SEASON_S)
    checkers.drop(maker.fingerprint)


def test_a_place_is_a_public_number_s_area_and_else_nothing_in_earnest() -> None:
    def place(*addresses: str, flavour: str = "public", allow_private: bool = False) -> str:
        bottle = maker.bottle(addresses={"tcp": addresses}, flavour=flavour)
        return place_of(bottle, allow_private=allow_private)

    maker = Maker()
    assert place("9.9.9.9:1") == place("9.9.200.3:7") == "9.9.0.0/16"
    assert place("[2620:fe::9]:1") == "2620:fe::/32"
    assert place("two.example:1") == place("10.0.0.1:1") == place("[fe80::1]:1") == place("somewhere") == ""
    assert place("[2002:909:909::]:1") == "", "it stands for another"
    assert place("two.example:1", "9.9.9.9:1") == "9.9.0.0/16"
    assert place("10.0.0.1:1", allow_private=True) == maker.fingerprint.hex()
    assert place("10.0.0.1:1", flavour="local") == maker.fingerprint.hex()
    assert place(allow_private=True) == ""


def test_local_nodes_look_at_local_ones_only(bottles: list[Bottle]) -> None:
    near = [
        Maker().bottle(name=f"l{at}", flavour="local", addresses={"tcp": [f"10.0.0.{at + 1}:1"]})
        for at in range(3)
    ]
    checkers = seasoned([*bottles, *near])
    local = checkers.seats("10.0.0.0/24", "local", TARGET, NOW, allow_private=False)
    assert local == {one.fingerprint for one in near}
    assert not local & seats(checkers, "10.0.0.0/24")


def test_a_site_is_what_one_owner_may_have() -> None:
    def sites(*addresses: str) -> list[str]:
        return sites_of(Maker().bottle(addresses={"tcp": addresses}))

    assert sites("9.9.9.9:1", "9.9.9.10:2") == ["9.9.9.0/24"]
    assert sites("[2620:fe:0:1::9]:1", "[2620:fe:0:2::a]:1") == ["2620:fe::/48"]
    assert sites("[::ffff:9.9.9.9]:1") == ["9.9.9.0/24"], "the same machine by another number"
    assert sites("a.b.example.org:1", "B.Example.Org.:2", "example.org:3") == ["example.org"]
    assert sites("memory-7") == ["memory-7"]


def test_what_was_drawn_is_remembered_within_bounds(
    bottles: list[Bottle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CACHED", 10)
    checkers = seasoned(bottles)
    for _ in range(3):
        for at in range(25):
            seats(checkers, f"198.51.{at}.0/24")
    assert len(checkers._drawn) <= 10


def as_the_protocol_says(site: str, nodes: dict[str, list[bytes]], about: bytes) -> set[bytes]:
    """docs/protocol.md, by the letter. Places with nobody but the node that is looked at have no seat."""

    def hashed(label: str, *parts: str) -> bytes:
        pieces = [b"port17/1", label.encode(), NETWORK, *(part.encode() for part in parts)]
        return hashlib.sha256(b"".join(len(one).to_bytes(4, "big") + one for one in pieces)).digest()

    inhabited = {place: [one for one in held if one != about] for place, held in nodes.items()}
    points = sorted(
        (hashed("checkers' place", place, str(k))[:8], place) for place in inhabited for k in range(8)
    )
    found: dict[str, bytes] = {}
    for seat in range(16):
        first = hashed("checkers' seat", site, str(seat))[:8]
        turned = [one for one in points if one[0] >= first] + [one for one in points if one[0] < first]
        place = next((at for _, at in turned if inhabited[at] and at not in found), None)
        if place is not None:
            begin = hashed("checkers' node", site, place)
            held = sorted(inhabited[place])
            found[place] = next((one for one in held if one >= begin), held[0])
    return set(found.values())


def test_seats_are_what_the_protocol_says(bottles: list[Bottle]) -> None:
    more = [Maker().bottle(name=f"m{at}", addresses=address(at % 4, 9)) for at in range(12)]
    nodes: dict[str, list[bytes]] = {}
    for bottle in (everybody := [*bottles[:30], *more]):
        nodes.setdefault(place_of(bottle, allow_private=False), []).append(bottle.fingerprint)
    checkers = seasoned(everybody)
    for at in range(40):
        site, about = f"198.51.{at}.0/24", everybody[at].fingerprint
        assert seats(checkers, site, about) == as_the_protocol_says(site, nodes, about)


def test_any_comings_and_goings_leave_what_a_fresh_start_has(bottles: list[Bottle]) -> None:
    rng = random.Random(7)
    checkers = Checkers(NETWORK, lambda: ())
    there: set[bytes] = set()
    for at in range(400):
        bottle = rng.choice(bottles)
        if rng.random() < 0.4:
            checkers.drop(bottle.fingerprint)
            there.discard(bottle.fingerprint)
        else:
            trusted = rng.random() < 0.8
            checkers.put(bottle, NOW + at, trusted=trusted, allow_private=False)
            there.discard(bottle.fingerprint)
            if trusted:
                there.add(bottle.fingerprint)
    fresh = seasoned([one for one in bottles if one.fingerprint in there])
    later = NOW + 2 * SEASON_S
    for at in range(20):
        site = f"198.51.{at}.0/24"
        assert seats(checkers, site, now_s=later) == seats(fresh, site, now_s=later)
