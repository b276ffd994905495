"""SEAGULL: a node says what it holds fresh of a batch, asks the others itself, and floods nobody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.asking import ask
from port17.errors import ConveyorReset, RecordError
from port17.links.stream import ConveyorStream
from port17.node import seagull
from port17.node.seagull import ASKS_BURST, BATCHES_BURST, PATIENCE_S, SILENT_S
from port17.records import seagull as codec
from port17.records.bottle import Bottle
from port17.records.seagull import ANSWER_CAP, ASKED_CAP, BATCH, NAME, Answers, Asked
from port17.wire.prekey import ResponderKey
from port17.wire.quota import Budget
from port17.wire.reasons import Reason

from .amended_network import CHACHA, X25519, XWING
from .seagull_shore import DAY_S, Asker, Fisher, Shore, play


def batch(*nodes: Fisher | bytes) -> list[bytes]:
    """These, and decoys that nobody knows."""
    named = [node if isinstance(node, bytes) else node.fingerprint for node in nodes]
    return named + [bytes([255, n]) * 16 for n in range(BATCH - len(named))]


async def link(asker: Asker, node: Fisher) -> Any:
    """A link as nobody."""
    crane = await asker.refresher.call(node.fingerprint, asker.terms())
    asker.shore.tasks.start_soon(crane.run)
    await crane.standing.wait()
    return crane


async def send(asker: Asker, node: Fisher, arguments: bytes, crane: Any = None) -> bytes:
    """Everything that comes back."""
    crane = crane or await link(asker, node)
    fresh = await asker.refresher.fresh(node.fingerprint)
    to: ResponderKey = fresh.to
    came = b""
    async with ask(crane, to, asker.network, NAME, arguments, budget=Budget(1 << 22)) as stream:
        assert isinstance(stream, ConveyorStream)
        while True:
            try:
                came += await stream.receive()
            except anyio.EndOfStream:
                return came


async def fly(
    asker: Asker, node: Fisher, wanted: Sequence[bytes], suite: str = X25519, crane: Any = None
) -> list[Bottle]:
    """The bottles that come back."""
    answers = Answers()
    came = await send(asker, node, Asked.made(suite=suite, nodes=list(wanted)).to_cbor(), crane)
    found = answers.take(came)
    assert answers.over
    return found


def test_what_is_held_fresh_comes_at_once_and_nobody_is_asked(tmp_path: Path) -> None:
    async def scene(shore: Shore) -> None:
        ash, oak = await shore.node("ash"), await shore.node("oak")
        ash.give(oak.bottle)
        asker = shore.caller("client", ash.bottle)
        found = await fly(asker, ash, batch(oak, ash))
        assert [one.fingerprint for one in found] == [oak.fingerprint, ash.fingerprint]
        assert found[0].contents == oak.bottle.contents
        assert all(record.suite == X25519 for one in found for record in one.bundle)
        assert oak.calls == 0

    play(tmp_path, scene)


@pytest.mark.parametrize("days", [1, 30])
def test_who_is_held_stale_is_asked_and_kept(tmp_path: Path, days: int) -> None:
    """The way back for who cannot reach a node itself; the answer is good for everybody else, too."""

    async def scene(shore: Shore) -> None:
        ash, oak = await shore.node("ash"), await shore.node("oak")
        asker = shore.caller("client", ash.bottle, oak.bottle)
        ash.give(oak.bottle)
        shore.skip((days + 1) * DAY_S)
        for node in (ash, oak):
            node.publish()
        found = await fly(asker, ash, batch(oak))
        assert [one.contents for one in found] == [oak.bottle.contents]
        assert oak.calls == 1
        for bottle in found:
            asker.give(bottle)
        assert asker.network.chart().nodes.get(oak.fingerprint) is not None
        # Kept, and so nobody asks again; whoever gets it from anybody can check it.
        other = shore.caller("other", ash.bottle)
        await fly(other, ash, batch(oak))
        assert oak.calls == 1

    play(tmp_path, scene)


def test_a_batch_with_other_suites_brings_their_prekeys(tmp_path: Path) -> None:
    async def scene(shore: Shore) -> None:
        ash, oak = await shore.node("ash"), await shore.node("oak")
        ash.give(oak.bottle)
        asker = shore.caller("client", ash.bottle)
        shore.skip(2 * DAY_S)
        for node in (ash, oak):
            node.publish()
        for suite in (CHACHA, X25519):
            (bottle,) = await fly(asker, ash, batch(oak), suite)
            assert {record.suite for record in bottle.bundle} == {suite}
        assert await fly(asker, ash, batch(oak), "p17-9-no-such") == []

    play(tmp_path, scene, suites=[XWING, CHACHA, X25519])


def test_who_is_silent_is_waited_for_once_and_then_left_alone(tmp_path: Path) -> None:
    async def scene(shore: Shore) -> None:
        ash, oak = await shore.node("ash"), await shore.node("oak")
        ash.give(oak.bottle)
        asker = shore.caller("client", ash.bottle)
        shore.skip(2 * DAY_S)
        ash.publish()  # oak does not: it has nothing to say
        for n in range(4):
            begun_s = anyio.current_time()
            assert await fly(asker, ash, batch(oak)) == []
            assert anyio.current_time() - begun_s < PATIENCE_S + 3
            assert oak.calls == 1, n
        await anyio.sleep(SILENT_S + 1)
        await fly(asker, ash, batch(oak))
        assert oak.calls == 2
        await anyio.sleep(SILENT_S + 1)  # twice as long now
        await fly(asker, ash, batch(oak))
        assert oak.calls == 2
        oak.publish()
        await anyio.sleep(SILENT_S + 1)
        assert len(await fly(asker, ash, batch(oak))) == 1

    play(tmp_path, scene)


def test_who_gives_up_asking_leaves_no_node_to_be_called_again_at_once(tmp_path: Path) -> None:
    """An address behind which nothing says anything: the answer comes without it, and it is left alone."""

    async def scene(shore: Shore) -> None:
        ash, oak = await shore.node("ash"), await shore.node("oak")
        ash.give(oak.bottle)
        asker = shore.caller("client", ash.bottle)
        shore.skip(9 * DAY_S)
        ash.publish()
        oak.publish()
        dialled: list[str] = []

        async def never(address: str) -> Any:
            dialled.append(address)
            await anyio.sleep_forever()

        ash.refresher._transports["memory"].dial = never  # type: ignore[method-assign, index]
        with anyio.move_on_after(3):
            await fly(asker, ash, batch(oak))
        begun_s = anyio.current_time()
        assert await fly(asker, ash, batch(oak)) == []
        assert anyio.current_time() - begun_s < 2
        assert dialled == ["oak"]

    play(tmp_path, scene)


def test_nobody_makes_a_node_dial_more_than_so_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seagull, "ASKS_BURST", 2.0)
    monkeypatch.setattr(seagull, "ASKS_PER_S", 0.01)
    assert ASKS_BURST > 2

    async def scene(shore: Shore) -> None:
        ash = await shore.node("ash")
        others = [await shore.node(f"n{n}") for n in range(6)]
        for other in others:
            ash.give(other.bottle)
        asker = shore.caller("client", ash.bottle)
        shore.skip(2 * DAY_S)
        for node in (ash, *others):
            node.publish()
        assert len(await fly(asker, ash, batch(*others))) == 2
        assert sum(other.calls for other in others) == 2

    play(tmp_path, scene)


def test_nobody_is_asked_whose_bottle_is_not_held_or_distrusted(tmp_path: Path) -> None:
    async def scene(shore: Shore) -> None:
        ash, oak, elm = [await shore.node(name) for name in ("ash", "oak", "elm")]
        ash.give(oak.bottle)
        ash.network.rack.mark(oak.fingerprint, "it is not where it says")
        asker = shore.caller("client", ash.bottle)
        shore.skip(2 * DAY_S)
        for node in (ash, oak, elm):
            node.publish()
        assert await fly(asker, ash, batch(oak, elm)) == []
        assert oak.calls == elm.calls == 0

    play(tmp_path, scene)


def test_one_link_has_so_many_requests(tmp_path: Path) -> None:
    async def scene(shore: Shore) -> None:
        ash = await shore.node("ash")
        asker = shore.caller("client", ash.bottle)
        crane = await link(asker, ash)
        with pytest.raises(ConveyorReset) as failed:
            for _ in range(int(2 * BATCHES_BURST)):
                await fly(asker, ash, batch(ash), crane=crane)
        assert failed.value.reason is Reason.RATE
        # Another link has its own.
        assert await fly(shore.caller("other", ash.bottle), ash, batch(ash))

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\xff" * 40,
        bytes(ASKED_CAP + 1),
        Asked.made(suite=X25519, nodes=[bytes(32)] * BATCH).to_cbor()[:-1],
    ],
)
def test_what_is_no_request_is_refused(tmp_path: Path, wrong: bytes) -> None:
    async def scene(shore: Shore) -> None:
        ash = await shore.node("ash")
        with pytest.raises(ConveyorReset) as failed:
            await send(shore.caller("client", ash.bottle), ash, wrong)
        assert failed.value.reason is Reason.PROTOCOL

    play(tmp_path, scene)


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH + 1])
def test_a_batch_has_one_size(count: int) -> None:
    with pytest.raises(RecordError):
        Asked.made(suite=X25519, nodes=[bytes([n]) * 32 for n in range(count)])
    assert len(Asked.made(suite="x" * 64, nodes=[bytes(32)] * BATCH).to_cbor()) <= ASKED_CAP


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(1, 40), max_size=6))
def test_any_answer_is_taken_apart_or_refused(data: bytes, cuts: list[int]) -> None:
    answers = Answers()
    try:
        for cut in (*cuts, len(data)):
            answers.take(data[:cut])
            data = data[cut:]
    except RecordError:
        return
    assert not data


def test_an_answer_that_is_too_long_or_one_too_many_is_refused_before_it_has_come() -> None:
    with pytest.raises(RecordError):
        Answers().take((ANSWER_CAP + 1).to_bytes(codec.LENGTH, "big"))
    answers = Answers()
    assert answers.take(bytes(codec.LENGTH * BATCH)) == []
    assert answers.over
    with pytest.raises(RecordError):
        answers.take(bytes(codec.LENGTH))
