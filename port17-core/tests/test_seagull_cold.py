"""Cold calls: who holds nothing that can still be used comes back by asking the node itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from port17.bottles.intake import OURSELVES
from port17.errors import ConfigError, HandshakeFailed, NetworkError
from port17.links.cold import cold_call
from port17.links.crane import HANDSHAKE_S
from port17.node.cold_desk import check_fit
from port17.records.fresh_parts import FreshParts
from port17.refreshing import AGAIN_S
from port17.wire.cold import ANSWERS_BURST, ColdCaller, Want

from .amended_network import CHACHA, X25519, XWING
from .seagull_shore import DAY_S, Shore, play

MIX = "ed25519-mldsa65"


SCHEMES = [("ed25519", 2), (MIX, 2), (MIX, 3), (MIX, 4)]


@pytest.mark.parametrize("suite", [XWING, CHACHA, X25519])
@pytest.mark.parametrize(("scheme", "blocks"), SCHEMES)
@pytest.mark.parametrize("days", [1, 30])
def test_who_was_away_asks_and_calls(tmp_path: Path, days: int, scheme: str, blocks: int, suite: str) -> None:
    """All suites and schemes, and flights in which not everything has room."""

    async def scene(shore: Shore) -> None:
        node = await shore.node("ash")
        asker = shore.caller("client", node.bottle)
        shore.skip((days + 1) * DAY_S)
        old = node.bottle
        node.publish()
        assert asker.network.chart().nodes.get(node.fingerprint) is None
        fresh = await asker.refresher.fresh(node.fingerprint)
        # What it has now is the node's bottle of today, whether its contents had room or not.
        held = asker.held(node)
        assert held is not None
        assert held.contents == node.bottle.contents != old.contents
        assert {record.hash for record in held.bundle} >= {fresh.to.record_hash}
        assert asker.network.chart().nodes.get(node.fingerprint) is not None
        crane = await asker.refresher.call(node.fingerprint, asker.terms())
        shore.tasks.start_soon(crane.run)
        with anyio.fail_after(5):
            await crane.standing.wait()
        assert crane.suite == suite

    play(tmp_path, scene, scheme=scheme, flight_blocks=blocks, suites=[suite])


@pytest.mark.parametrize(("scheme", "blocks"), [("ed25519", 2), (MIX, 4)])
def test_a_fingerprint_and_an_address_are_enough(tmp_path: Path, scheme: str, blocks: int) -> None:
    async def scene(shore: Shore) -> None:
        node = await shore.node("ash")
        asker = shore.caller("client")
        suite = asker.network.suites[X25519]
        fresh = await asker.refresher.stranger(node.fingerprint, suite, "memory", "ash", OURSELVES)
        assert fresh.bottle is not None
        held = asker.held(node)
        assert held is not None
        assert held.label == node.bottle.label
        # It is somebody else's address, or an impostor's.
        other = await shore.node("oak")
        with pytest.raises(NetworkError):
            await asker.refresher.stranger(other.fingerprint, suite, "memory", "ash", OURSELVES)
        assert asker.held(other) is None

    play(tmp_path, scene, scheme=scheme, flight_blocks=blocks)


def test_an_identity_that_does_not_fit_is_no_crash(tmp_path: Path) -> None:
    async def scene(shore: Shore) -> None:
        node = await shore.node("ash")
        asker = shore.caller("client")
        suite = asker.network.suites[X25519]
        with pytest.raises(HandshakeFailed):
            await asker.refresher.stranger(node.fingerprint, suite, "memory", "ash", OURSELVES)

    play(tmp_path, scene, scheme=MIX, flight_blocks=2)


def test_who_asks_soon_again_is_told_the_same_and_the_node_is_not_called(tmp_path: Path) -> None:
    async def scene(shore: Shore) -> None:
        node = await shore.node("ash")
        asker = shore.caller("client", node.bottle)
        found = []

        async def ask() -> None:
            found.append(await asker.refresher.fresh(node.fingerprint))

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(ask)
        assert len({id(one) for one in found}) == 1
        assert node.calls == 1
        await anyio.sleep(AGAIN_S + 1)
        await ask()
        assert node.calls == 2

    play(tmp_path, scene)


def test_who_gives_up_leaves_no_verdict_on_the_node(tmp_path: Path) -> None:
    async def scene(shore: Shore) -> None:
        node = await shore.node("ash")
        asker = shore.caller("client", node.bottle)
        shore.skip(9 * DAY_S)
        node.publish()
        with anyio.move_on_after(0.01) as given_up:
            await asker.refresher.fresh(node.fingerprint)
        assert given_up.cancelled_caught
        assert await asker.refresher.fresh(node.fingerprint)

    play(tmp_path, scene)


def test_who_does_not_answer_is_not_called_again_at_once(tmp_path: Path) -> None:
    async def scene(shore: Shore) -> None:
        node = await shore.node("ash")
        asker = shore.caller("client", node.bottle)
        shore.skip(100 * DAY_S)  # it has published nothing since
        for _ in range(5):
            with pytest.raises(NetworkError):
                await asker.refresher.fresh(node.fingerprint)
        assert node.calls == 1
        with pytest.raises(NetworkError):
            await asker.refresher.fresh(bytes(32))

    play(tmp_path, scene)


def test_a_refused_call_and_a_flood_get_no_byte(tmp_path: Path) -> None:
    """Whatever is wrong, the caller learns nothing but that it has waited."""

    async def scene(shore: Shore) -> None:
        node = await shore.node("ash")
        asker = shore.caller("client", node.bottle)
        network, suite = asker.network.transcript(), asker.network.suites[X25519]
        transport = shore.transport("somebody")

        async def silence(flight: bytes) -> float:
            ship = await transport.dial("ash")
            begun_s = anyio.current_time()
            await ship.send(flight)
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await ship.receive()
            await ship.aclose()
            return anyio.current_time() - begun_s

        def call(now_s: float | None = None, responder: bytes = node.fingerprint) -> bytes:
            return ColdCaller(network, suite, responder, now_s or shore.wall()).flight

        answered = call()
        ship = await transport.dial("ash")
        await ship.send(answered)
        assert await ship.receive()
        await ship.aclose()
        waits = []
        flights = [answered, call(shore.wall() - 1000), call(responder=bytes(32)), bytes(len(answered))]
        for wrong in flights:
            waits.append(await silence(wrong))
        # One more than are answered at once: the last is silence, as long as any other.
        async with anyio.create_task_group() as group:

            async def one() -> None:
                ship = await transport.dial("ash")
                begun_s = anyio.current_time()
                await ship.send(call())
                try:
                    await ship.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    waits.append(anyio.current_time() - begun_s)
                await ship.aclose()

            await anyio.sleep(10)
            for _ in range(int(ANSWERS_BURST) + 1):
                group.start_soon(one)
        assert len(waits) == len(flights) + 1
        assert max(waits) - min(waits) < 0.01, waits

    play(tmp_path, scene)


def test_a_cold_call_ends_in_time_and_leaves_no_ship(tmp_path: Path) -> None:
    async def scene(shore: Shore) -> None:
        node = await shore.node("ash")
        asker = shore.caller("client", node.bottle)
        suite = asker.network.suites[X25519]
        async with shore.transport("mute").listen("mute"):
            ship = await shore.transport("client").dial("mute")
            begun_s = anyio.current_time()
            with pytest.raises(HandshakeFailed) as failed:
                await cold_call(
                    ship,
                    asker.network.transcript(),
                    suite,
                    node.fingerprint,
                    shore.wall(),
                    lambda *parts: True,
                )
            assert anyio.current_time() - begun_s == pytest.approx(HANDSHAKE_S, abs=0.1)
            assert failed.value.cure
            with pytest.raises(anyio.ClosedResourceError):
                await ship.send(b"x")

    play(tmp_path, scene)


@pytest.mark.parametrize("suites", [[X25519], [XWING], [XWING, X25519, CHACHA]])
@pytest.mark.parametrize(("scheme", "blocks"), SCHEMES)
def test_every_node_that_starts_can_answer(
    tmp_path: Path, scheme: str, blocks: int, suites: list[str]
) -> None:
    async def scene(shore: Shore) -> None:
        network = shore.known("ash")
        check_fit(network, shore.scheme.signature_size)
        with pytest.raises(ConfigError, match="flights of"):
            check_fit(network, 4096 * blocks - 100)

    play(tmp_path, scene, scheme=scheme, flight_blocks=blocks, suites=suites)


@pytest.mark.parametrize("want", Want)
def test_what_fits_is_said_in_its_order(tmp_path: Path, want: Want) -> None:
    async def scene(shore: Shore) -> None:
        node = await shore.node("ash")
        bottle, records = node.bottle, list(node.bottle.bundle)
        assert len(records) >= 2

        def said(room: int) -> FreshParts:
            return FreshParts.parse(FreshParts.fitting(room, bottle, records, label_first=want is Want.LABEL))

        whole = said(1 << 16)
        assert whole.label is not None
        assert whole.contents is not None
        assert len(whole.prekeys) == len(records)
        seen = set()
        for room in range(FreshParts.least(32), 3000, 7):
            parts = said(room)
            assert len(parts.to_cbor()) <= room
            assert len(parts.prekeys) >= min(2, len(records))
            seen.add((parts.label is not None, parts.contents is not None))
        first = (True, False) if want is Want.LABEL else (False, True)
        assert {(False, False), first, (True, True)} <= seen

    play(tmp_path, scene)


def test_prekeys_that_the_contents_do_not_commit_to_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed by the node itself, for this caller alone."""

    async def scene(shore: Shore) -> None:
        node = await shore.node("ash")
        asker = shore.caller("client", node.bottle)
        shore.skip(9 * DAY_S)
        node.publish()
        own = asker.network.suites[X25519].generate()
        true = FreshParts.fitting

        def said(room: int, bottle: Any, records: Any, *, label_first: bool) -> bytes:
            forged = [record.model_copy(update={"public": own.public}) for record in records]
            return true(room, bottle, forged, label_first=label_first)

        monkeypatch.setattr(FreshParts, "fitting", said)
        with pytest.raises(NetworkError):
            await asker.refresher.fresh(node.fingerprint)
        monkeypatch.undo()
        await anyio.sleep(AGAIN_S + 1)
        await asker.refresher.fresh(node.fingerprint)

    play(tmp_path, scene)


def test_contents_of_another_are_not_taken_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(shore: Shore) -> None:
        node, other = await shore.node("ash"), await shore.node("oak")
        asker = shore.caller("client", node.bottle)
        shore.skip(9 * DAY_S)
        node.publish()
        other.publish()
        true = FreshParts.fitting

        def said(room: int, bottle: Any, records: Any, *, label_first: bool) -> bytes:
            return true(room, other.bottle, records, label_first=label_first)

        monkeypatch.setattr(FreshParts, "fitting", said)
        with pytest.raises(NetworkError):
            await asker.refresher.fresh(node.fingerprint)
        held = asker.held(node)
        assert held is not None
        assert held.label.name == "ash"
        assert asker.held(other) is None

    play(tmp_path, scene)
