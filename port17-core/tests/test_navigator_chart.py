"""The chart of a rack's bottles, and the core's own policy and validator on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from port17.bottles.rack import MemoryRack
from port17.bottles.verdict import ACCEPT, Ruling
from port17.navigator.chart import Lane
from port17.navigator.chart_maker import ChartTerms, chart_of
from port17.navigator.policy import Judgement
from port17.plugins.basic import validate_bottle
from port17.plugins.loader import Registry
from port17.records.bottle import OFFLINE, Bottle, Contents, Label, Slot
from port17.records.envelope import Envelope
from port17.records.identity import Identity
from port17.records.revision import Revision

DAY = 24 * 3600
NOW = 100 * DAY + 10
NETWORK = bytes(32)


def identity(index: int) -> Identity:
    return Identity.made(scheme="test", public=[["test", bytes([index])]])


def fingerprint(index: int) -> bytes:
    return identity(index).fingerprint


def slot(number: int = 100, filler: int = 0) -> Slot:
    return Slot(number, (number + 1) * DAY, bytes([filler]) * 32)


def bottle(
    index: int,
    lanes: Mapping[int, tuple[int, int]] | None = None,
    slots: Mapping[str, Sequence[Slot]] | None = None,
    *,
    seq: int = NOW,
    flags: Sequence[str] = (),
    load: int = 0,
    **label: Any,
) -> Bottle:
    """As a rack holds it: verified before, so nothing here needs a true signature."""
    fields = {"name": f"n{index}", "suites": ["s1", "s2"], "identity": identity(index)} | label
    claimed = [(fingerprint(peer), *claim) for peer, claim in (lanes or {}).items()]
    held = {"s1": [slot(filler=1)], "s2": [slot(filler=2)]} if slots is None else slots
    contents = Contents.made(
        fingerprint=fingerprint(index),
        seq=seq,
        lanes=claimed,
        flags=list(flags),
        load=load,
        slots={suite: [tuple(one) for one in found] for suite, found in held.items()},
    )
    return Bottle.of(
        Envelope.made(scheme="test", payload=Label.made(**fields).to_cbor(), signature=b""),
        Envelope.made(scheme="test", payload=contents.to_cbor(), signature=b""),
    )


def revision(**changes: Any) -> Revision:
    fields = {"not_before": 0, "suites": ["s2", "s1"], "schemes": ["test"], "prekey_lifetime_s": DAY}
    return Revision.made(**(fields | changes))


def test_a_chart_takes_over_what_bottles_say_and_the_charter_allows() -> None:
    rack = MemoryRack()
    rack.put(
        bottle(
            1,
            {2: (10, 7), 3: (1, 1)},
            {"s1": [slot()], "s2": [slot(99), slot(100)], "s3": [slot()]},
            suites=["s1", "s2", "s3"],
            group="ours",
            addresses={"tcp": ["192.0.2.1:1", "[2001:db8::1]:1"]},
            exit=["accept *:443"],
        )
    )
    rack.put(bottle(2, {1: (20, 9)}))
    rack.put(bottle(3))
    chart = chart_of(rack, ChartTerms(revision(plain_text_exits=[fingerprint(2)])), NOW)
    one, two = chart.nodes[fingerprint(1)], chart.nodes[fingerprint(2)]
    assert (one.name, one.group, one.node_id) == ("n1", "ours", identity(1).node_id)
    assert one.addresses == {"tcp": ("192.0.2.1:1", "[2001:db8::1]:1")}
    assert (one.suite, one.suites) == ("s2", ("s2", "s1")), "what the charter allows, in its order"
    assert one.slots == (slot(99), slot(100))
    assert one.exit is not None
    assert one.exit.allows("example.com", 443)
    assert two.exit is None
    assert (one.plain_text, two.plain_text) == (False, True)
    assert one.lanes == {fingerprint(2): Lane(20, 7)}, "n3 doesn't claim its lane"
    assert two.lanes == {fingerprint(1): Lane(20, 7)}
    assert [each.fingerprint for each in chart] == sorted(chart.nodes)


def test_who_cannot_be_used_is_left_out_with_the_reason() -> None:
    bottles = [
        bottle(1, slots={}),
        bottle(2, slots={"s2": [slot(98), slot(99)]}),
        bottle(3, suites=["s9"], slots={"s9": [slot()]}),
        bottle(4, flags=["busy", OFFLINE]),
        bottle(5),
        bottle(6, suites=["s3", "s9"]),
        bottle(7),
    ]
    why = {"s3": "it is not installed here"}
    barred = {fingerprint(7): "you distrust it", fingerprint(8): "banned: it lies"}
    terms = ChartTerms(revision(suites=["s2", "s1", "s3"]), {"s1", "s2"}, why, barred=barred)
    chart = chart_of(bottles, terms, NOW)
    assert [node.name for node in chart] == ["n5"]
    no_prekey = "it names no unexpired prekey for s2, the suite to use with it"
    assert {one.name: one.reason for one in chart.left_out} == {
        "n1": no_prekey,
        "n2": no_prekey,
        "n3": "serves no cipher suite that the charter allows",
        "n4": "it has said that it is going offline",
        "n6": "serves no cipher suite that we can use; s3: it is not installed here",
        "n7": "you distrust it",
        identity(8).node_id: "banned: it lies",
    }


def test_a_prekey_that_is_missing_never_brings_a_weaker_suite() -> None:
    stripped = bottle(1, slots={"s1": [slot()]})
    assert not chart_of([stripped], ChartTerms(revision()), NOW).nodes
    weaker_alone = chart_of([stripped], ChartTerms(revision(), {"s1"}), NOW)
    assert weaker_alone.nodes[fingerprint(1)].suite == "s1", "what we narrow to by ourselves is no fallback"
    assert chart_of([bottle(1)], ChartTerms(revision()), NOW).nodes[fingerprint(1)].suite == "s2"


def test_the_core_s_own_policy_excludes_by_name_id_and_group() -> None:
    bottles = [bottle(1), bottle(2), bottle(3, group="theirs"), bottle(4, group="ours"), bottle(5)]
    chart = chart_of(bottles, ChartTerms(revision()), NOW)
    options = {"nodes": ["n1", identity(2).node_id], "groups": ["theirs"]}
    panel = Registry().policies(["exclude"], {"exclude": options})
    reasons = {
        node.name: [(said.by, said.reason) for said in judged.objections]
        for node in chart
        if (judged := panel.judge_node(node, "middle", "normal")) != Judgement()
    }
    assert reasons == {
        "n1": [("exclude", "you excluded n1")],
        "n2": [("exclude", f"you excluded id:{identity(2).node_id}")],
        "n3": [("exclude", "you excluded group:theirs")],
    }


def test_the_core_s_own_validator() -> None:
    assert validate_bottle(bottle(1, {2: (1, 1)}, exit=["reject *:25", "accept *:*"])) is None
    itself = Registry().judge_bottle(bottle(1, {1: (1, 1)}))
    assert itself.ruling is Ruling.REJECT
    assert itself.reasons == ("basic: the node names itself as its neighbour",)
    assert Registry().judge_bottle(bottle(1, exit=["reject *:*"])).ruling is Ruling.DISTRUST
    assert Registry().judge_bottle(bottle(1)) == ACCEPT
