"""Neighbours: which beacons count, where a node is, and whom to ask when."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise

import pytest

from port17.bottles.neighbours import (
    AT_ONCE_CAP,
    BEACONS_BURST,
    HOST_BEACONS_BURST,
    NEIGHBOURS_CAP,
    NEWS_S,
    NODES_PER_HOST_CAP,
    PLACES_CAP,
    RETRY_CAP_S,
    RETRY_S,
    SOON_S,
    Ignored,
    Neighbour,
    Neighbours,
    Place,
    is_local_address,
)
from port17.bottles.rack import MemoryRack
from port17.records.beacon import LIFE_S, Beacon, SignedBeacon

from .bottle_maker import NETWORK, NOW, SCHEME, SUITE, TERMS, Maker

HOST, LINK = "fe80::1%eth0", "eth0"


def beacon(maker: Maker, *, at: int = NOW, label: int = 0, contents: int = NOW, port: int = 4717) -> bytes:
    said = Beacon.made(
        network_id=NETWORK,
        identity=maker.identity.to_value(),
        label=label,
        contents=contents,
        suites=[SUITE],
        ports={"tcp": port},
        at=at,
    )
    return SignedBeacon.seal(SCHEME, maker.key, said).encode()


@pytest.fixture
def rack() -> MemoryRack:
    return MemoryRack()


@pytest.fixture
def neighbours(rack: MemoryRack) -> Neighbours:
    return Neighbours(rack, random.Random(1))


def heard(neighbours: Neighbours, data: bytes, host: str = HOST, now_s: float = 0.0) -> Neighbour | Ignored:
    return neighbours.hear(data, host, LINK, TERMS, now_s)


def spread(number: int) -> str:
    """An address of its own for each number."""
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def test_an_unknown_node_is_asked_soon_and_at_most_once_at_a_time(neighbours: Neighbours) -> None:
    maker = Maker()
    assert isinstance(heard(neighbours, beacon(maker)), Neighbour)
    due_s = neighbours.next_s()
    assert due_s is not None
    assert 0 <= due_s <= SOON_S
    [one] = neighbours.due(due_s)
    assert one.beacon.fingerprint == maker.fingerprint
    assert list(one.places) == [Place(HOST, LINK)]
    assert neighbours.due(due_s + 1) == []
    assert neighbours.next_s() is None


def test_a_known_node_is_asked_only_for_what_gossip_did_not_bring(
    neighbours: Neighbours, rack: MemoryRack
) -> None:
    maker = Maker()
    rack.put(maker.bottle(seq=NOW), received=NOW)
    heard(neighbours, beacon(maker))
    assert neighbours.next_s() is None
    heard(neighbours, beacon(maker, at=NOW + 1, contents=NOW + 1), now_s=1)
    assert neighbours.due(1 + SOON_S) == []
    assert neighbours.due(1 + SOON_S + NEWS_S)
    rack.put(maker.bottle(seq=NOW + 1), received=NOW)
    other = Maker()
    rack.put(other.bottle(label_seq=3), received=NOW)
    heard(neighbours, beacon(other, label=4), now_s=1)
    assert [one.beacon.label for one in neighbours.due(1 + SOON_S)] == [4]


def test_who_does_not_answer_is_asked_less_and_less(neighbours: Neighbours) -> None:
    maker = Maker()
    asked_s: list[float] = []
    for second in range(0, 3600, 10):
        data = beacon(maker, at=NOW + second, contents=NOW + second)
        neighbours.hear(data, HOST, LINK, replace(TERMS, now_s=NOW + second), second)
        for one in neighbours.due(second):
            asked_s.append(second)
            neighbours.asked(one, second, failed=True)
    waits = [later - earlier for earlier, later in pairwise(asked_s)]
    assert RETRY_S / 2 <= waits[0] <= RETRY_S + 10
    assert waits[3] > 2 * waits[0]
    assert RETRY_CAP_S / 2 <= waits[-1] <= RETRY_CAP_S + 10
    assert len(waits) < 20


def test_no_more_than_a_few_are_asked_at_once(neighbours: Neighbours) -> None:
    for number in range(AT_ONCE_CAP + 3):
        heard(neighbours, beacon(Maker()), spread(number))
    first = neighbours.due(SOON_S)
    assert len(first) == AT_ONCE_CAP
    assert neighbours.due(SOON_S) == []
    assert neighbours.next_s() is None
    neighbours.asked(first[0], SOON_S, failed=True)
    assert len(neighbours.due(SOON_S)) == 1


def test_a_node_is_local_where_it_was_heard_and_while_it_is(neighbours: Neighbours) -> None:
    maker = Maker()
    data = beacon(maker)
    assert not neighbours.is_local(HOST, 0)
    heard(neighbours, data)
    heard(neighbours, data, "192.168.1.5", now_s=1)
    assert neighbours.is_local(HOST, 1)
    assert neighbours.is_local("192.168.1.5", 1)
    assert not neighbours.is_local("fe80::1%eth1", 1)
    assert not neighbours.is_local("192.168.1.6", 1)
    assert not neighbours.is_local(HOST, LIFE_S)
    assert neighbours.is_local("192.168.1.5", LIFE_S)
    assert not neighbours.is_local("192.168.1.5", LIFE_S + 1)
    assert neighbours.get(maker.fingerprint, LIFE_S + 1) is None


def test_copies_put_no_place_out_and_a_new_beacon_puts_the_oldest_out(neighbours: Neighbours) -> None:
    maker = Maker()
    heard(neighbours, beacon(maker))
    for number in range(PLACES_CAP - 1):
        heard(neighbours, beacon(maker), spread(number))
    assert heard(neighbours, beacon(maker), spread(99)) is Ignored.FULL
    assert neighbours.is_local(HOST, 0)
    heard(neighbours, beacon(maker, at=NOW + 1), spread(99), now_s=1)
    assert neighbours.is_local(spread(99), 1)
    assert not neighbours.is_local(HOST, 1)


@pytest.mark.parametrize("host", ["8.8.8.8", "127.0.0.1", "::1", "2001:db8::1", "oak.example", "", "0.0.0.0"])
def test_nothing_is_heard_from_afar(neighbours: Neighbours, host: str) -> None:
    assert heard(neighbours, beacon(Maker()), host) is Ignored.AFAR


def test_what_is_old_forged_foreign_or_ours_is_not_heard(neighbours: Neighbours) -> None:
    maker = Maker()
    heard(neighbours, beacon(maker))
    assert heard(neighbours, beacon(maker, at=NOW - 1)) is Ignored.OLD
    assert heard(neighbours, beacon(maker, port=1)) is Ignored.OLD
    data = bytearray(beacon(Maker()))
    data[-1] ^= 1
    assert heard(neighbours, bytes(data)) is Ignored.FORGED
    assert heard(neighbours, b"hello") is Ignored.MALFORMED
    foreign = Beacon.from_cbor(SignedBeacon.parse(beacon(maker)).envelope.payload, cap=8192)
    foreign = foreign.model_copy(update={"network_id": bytes(32)})
    assert heard(neighbours, SignedBeacon.seal(SCHEME, maker.key, foreign).encode()) is Ignored.FOREIGN
    ours = Maker()
    neighbours.own = ours.fingerprint
    assert heard(neighbours, beacon(ours)) is Ignored.OURS
    assert neighbours.ignored[Ignored.OLD] == 2
    assert len(neighbours.present(0)) == 1


def test_one_address_is_not_listened_to_for_ever(neighbours: Neighbours) -> None:
    answers = [heard(neighbours, b"noise") for _ in range(int(HOST_BEACONS_BURST) + 1)]
    assert answers[-1] is Ignored.BUSY
    assert answers.count(Ignored.MALFORMED) == HOST_BEACONS_BURST
    assert isinstance(heard(neighbours, beacon(Maker()), "10.0.0.1"), Neighbour)
    assert heard(neighbours, b"noise", now_s=1) is Ignored.MALFORMED


def test_many_addresses_together_are_not_listened_to_for_ever(neighbours: Neighbours) -> None:
    answers = [heard(neighbours, b"noise", spread(number)) for number in range(2000)]
    assert answers.count(Ignored.MALFORMED) <= BEACONS_BURST


def test_one_machine_does_not_take_all_places(neighbours: Neighbours) -> None:
    for _ in range(NODES_PER_HOST_CAP):
        assert isinstance(heard(neighbours, beacon(Maker())), Neighbour)
    assert heard(neighbours, beacon(Maker())) is Ignored.FULL
    assert isinstance(heard(neighbours, beacon(Maker()), "10.0.0.1"), Neighbour)


def test_who_is_there_is_not_put_out_by_who_comes(neighbours: Neighbours) -> None:
    first = Maker()
    heard(neighbours, beacon(first))
    now_s = 0.0
    for number in range(NEIGHBOURS_CAP + 5):
        now_s += 0.1  # within the rate
        if number % 500 == 400:
            heard(neighbours, beacon(first, at=NOW + number), now_s=now_s)
        heard(neighbours, beacon(Maker()), spread(number), now_s=now_s)
    assert len(neighbours.present(now_s)) == NEIGHBOURS_CAP
    assert neighbours.ignored[Ignored.FULL] == 6
    assert neighbours.get(first.fingerprint, now_s) is not None


def test_a_link_local_address_is_dialled_where_its_node_was_heard(neighbours: Neighbours) -> None:
    maker = Maker()
    assert neighbours.scoped(maker.fingerprint, "fe80::1", 0) is None
    heard(neighbours, beacon(maker))
    assert neighbours.scoped(maker.fingerprint, "fe80::1", 0) == HOST
    assert neighbours.scoped(maker.fingerprint, "fe80::2", 0) is None
    assert neighbours.scoped(Maker().fingerprint, "fe80::1", 0) is None
    assert neighbours.scoped(maker.fingerprint, "192.168.1.5", 0) == "192.168.1.5"
    assert neighbours.scoped(maker.fingerprint, "fd00::5", 0) == "fd00::5"
    for host in ("8.8.8.8", "2a00::1", "127.0.0.1", "::1", "oak.example", "224.0.0.1"):
        assert neighbours.scoped(maker.fingerprint, host, 0) is None


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("10.1.2.3", True),
        ("172.31.255.255", True),
        ("172.32.0.0", False),
        ("169.254.1.1", True),
        ("fe80::1%eth0", True),
        ("fd12::1", True),
        ("::ffff:10.1.2.3", False),
        ("100.64.0.1", False),
        ("ff02::1", False),
    ],
)
def test_which_addresses_are_a_local_networks(host: str, local: bool) -> None:
    assert is_local_address(ip_address(host)) is local
