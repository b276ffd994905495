"""The crane over the memory transport: who is answered, what ends a link, and how soon everybody knows."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from collections.abc import Awaitable, Callable

import anyio
import pytest

from port17.errors import ConveyorReset, HandshakeFailed
from port17.links.crane import SILENCE_S, Terms, dial
from port17.links.pulse import DEAD_AFTER_S
from port17.wire.block import BLOCK_SIZE
from port17.wire.handshake import Initiator
from port17.wire.quota import Budget
from port17.wire.reasons import Reason

from .links_network import Node, TestShip, World, on_virtual_clock, wall_s, world
from .wire_network import WALL_S, Host, network, verify

TOLD_WITHIN_S = 10.0
"""Seconds after which every program knows that its peer is gone."""


def test_early_data_is_there_after_one_way() -> None:
    async def run() -> None:
        async with world(1, delay_s=0.1) as made:
            ship = await made.ship_to(made.nodes[0])
            begun = anyio.current_time()
            terms = Terms(network, verify, made.client_grants, wall=wall_s)
            crane = await dial(ship, terms, made.nodes[0].host.public)
            made.tasks.start_soon(crane.run)
            stream = made.open(made.circuit(crane))
            await stream.send(b"early")
            # There in 0.1 s, back in 0.2: nobody waits for the handshake's answer.
            assert await stream.receive() == b"early"
            assert anyio.current_time() - begun == pytest.approx(0.2)
            assert crane.standing.is_set()

    on_virtual_clock(run)


def test_every_byte_of_a_link_is_of_a_block_and_looks_random() -> None:
    async def run() -> None:
        async with world(1) as made:
            crane, ship = await made.call(made.nodes[0])
            stream = made.open(made.circuit(crane))
            await stream.send(bytes(200_000))
            got = 0
            while got < 200_000:
                got += len(await stream.receive())
            for data in (ship.sent, ship.came):
                assert len(data) % BLOCK_SIZE == 0
                expected = len(data) / 256
                chi = sum((data.count(value) - expected) ** 2 / expected for value in range(256))
                assert chi < 255 + 7 * 22.6

    on_virtual_clock(run)


def test_a_link_is_as_fast_as_its_ship() -> None:
    async def run() -> None:
        async with world(1, bandwidth=1_000_000, delay_s=0.01, buffer=64 * 1024) as made:
            crane, _ = await made.call(made.nodes[0])
            stream = made.open(made.circuit(crane))
            await crane.standing.wait()
            begun = anyio.current_time()

            async def send() -> None:
                await stream.send(bytes(3_000_000))
                await stream.send_eof()

            made.tasks.start_soon(send)
            got = 0
            with pytest.raises(anyio.EndOfStream):
                while True:
                    got += len(await stream.receive())
            assert got == 3_000_000
            # 4096 bytes of block carry 3980 of data; the rest is start and the windows' growth.
            assert 3.0 < anyio.current_time() - begun < 4.0

    on_virtual_clock(run)


def test_an_idle_link_stands_for_as_long_as_you_like() -> None:
    async def run() -> None:
        async with world(1, delay_s=0.5) as made:
            crane, ship = await made.call(made.nodes[0])
            stream = made.open(made.circuit(crane))
            await anyio.sleep(900)
            assert not crane.lost
            assert crane.link.control.round_trip_s == pytest.approx(1.0)
            await stream.send(b"still here")
            assert await stream.receive() == b"still here"
            # Not more than a block every two seconds or so each way.
            assert len(ship.sent) < 900 * BLOCK_SIZE

    on_virtual_clock(run)


async def _cut(made: World, node: Node, ship: TestShip) -> None:
    made.transport("x").network.cut()


async def _freeze(made: World, node: Node, ship: TestShip) -> None:
    node.cranes[-1][1].freeze()


async def _freeze_here(made: World, node: Node, ship: TestShip) -> None:
    ship.freeze()


async def _close(made: World, node: Node, ship: TestShip) -> None:
    await node.cranes[-1][1].aclose()


async def _garbage(made: World, node: Node, ship: TestShip) -> None:
    await node.cranes[-1][1].send(bytes(BLOCK_SIZE))


@pytest.mark.parametrize(
    ("harm", "within_s"),
    [(_cut, 0.01), (_close, 1), (_garbage, 1), (_freeze, TOLD_WITHIN_S), (_freeze_here, TOLD_WITHIN_S)],
)
def test_when_a_link_ends_both_sides_learn_it_in_time(
    harm: Callable[[World, Node, TestShip], Awaitable[None]], within_s: float
) -> None:
    async def run() -> None:
        async with world(1, delay_s=0.05) as made:
            node = made.nodes[0]
            crane, ship = await made.call(node)
            circuit = made.circuit(crane)
            stream = made.open(circuit)
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
            await anyio.sleep(30)
            begun = anyio.current_time()
            await harm(made, node, ship)
            with pytest.raises(ConveyorReset) as ended:
                await stream.receive()
            assert ended.value.reason == Reason.LINK_LOST
            assert anyio.current_time() - begun <= within_s
            assert circuit.closed == Reason.LINK_LOST
            await anyio.sleep(TOLD_WITHIN_S)
            far, far_ship = node.cranes[-1]
            assert crane.lost
            assert far.lost
            assert ship.closed_at is not None
            assert far_ship.closed_at is not None
            assert far_ship.closed_at - begun <= TOLD_WITHIN_S
            assert node.engine.circuits == node.grants.used == node.budget.used == 0
            assert crane.link.open(circuit) is None

    on_virtual_clock(run)


def test_a_responder_that_never_answers_is_given_up() -> None:
    async def run() -> None:
        async with world(0) as made:
            transport = made.transport("client")
            async with transport.listen("mute"):
                host = Node(made, 1).host
                ship = TestShip(await transport.dial("mute"))
                begun = anyio.current_time()
                crane = await dial(ship, Terms(network, verify, Budget(100), wall=wall_s), host.public)
                await crane.run()
                assert anyio.current_time() - begun <= TOLD_WITHIN_S
                assert crane.lost
                assert not crane.standing.is_set()
                assert ship.closed_at is not None

    on_virtual_clock(run)


def test_a_false_answer_ends_the_link() -> None:
    async def run() -> None:
        async with world(0) as made:
            transport = made.transport("client")
            async with transport.listen("false") as listener:
                host = Node(made, 1).host
                ship = TestShip(await transport.dial("false"))
                crane = await dial(ship, Terms(network, verify, Budget(100), wall=wall_s), host.public)
                other = await anext(listener.ships())
                await other.send(bytes(2 * BLOCK_SIZE))
                await crane.run()
                assert crane.lost
                assert not crane.standing.is_set()

    on_virtual_clock(run)


def test_an_unusable_prekey_costs_the_ship_alone() -> None:
    async def run() -> None:
        async with world(1) as made:
            ship = await made.ship_to(made.nodes[0])
            public = dataclasses.replace(made.nodes[0].host.public, public=bytes(32))
            with pytest.raises(HandshakeFailed):
                await dial(ship, Terms(network, verify, Budget(100), wall=wall_s), public)
            assert ship.closed_at is not None

    on_virtual_clock(run)


def test_a_suite_that_fails_costs_the_link_that_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise OSError("the card was pulled out")

    async def run() -> None:
        async with world(1) as made:
            ship = await made.ship_to(made.nodes[0])
            public = made.nodes[0].host.public
            with monkeypatch.context() as patched:
                patched.setattr(type(public.suite), "generate", fail)
                with pytest.raises(HandshakeFailed, match="fails here"):
                    await dial(ship, Terms(network, verify, Budget(100), wall=wall_s), public)
            assert ship.closed_at is not None

    on_virtual_clock(run)


def _flight(host: Host) -> bytes:
    return Initiator(network(), host.public, WALL_S).flight


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(lambda host: b"", id="nothing"),
        pytest.param(lambda host: b"x", id="a byte"),
        pytest.param(lambda host: b"GET / HTTP/1.1\r\n\r\n", id="another protocol"),
        pytest.param(lambda host: _flight(host)[:-1], id="all but a byte"),
        pytest.param(lambda host: bytes(2 * BLOCK_SIZE), id="zeros"),
        pytest.param(lambda host: _flight(host)[:-1] + b"?", id="altered"),
        pytest.param(lambda host: bytes(50 * BLOCK_SIZE), id="a lot"),
        pytest.param(lambda host: host.used, id="replayed"),
    ],
)
def test_a_bad_caller_gets_silence_and_the_same_end(said: Callable[[Host], bytes]) -> None:
    async def run() -> None:
        async with world(1, delay_s=0.05) as made:
            node = made.nodes[0]
            used = Initiator(network(), node.host.public, wall_s())
            ship = await made.ship_to(node)
            await ship.send(used.flight)
            await ship.receive()
            node.host.used = used.flight  # type: ignore[attr-defined]

            begun = anyio.current_time()
            ship = await made.ship_to(node)
            data = said(node.host)
            if data:
                await anyio.sleep(3)
                await ship.send(data)
            with pytest.raises(anyio.EndOfStream):
                await ship.receive()
            # Dialled in 0.1 s, cut off at one moment, known 0.05 s later.
            assert anyio.current_time() - begun == pytest.approx(0.1 + SILENCE_S + 0.05, abs=0.06)
            assert ship.came == b""
            assert len(node.cranes) == 1

    on_virtual_clock(run)


def test_a_caller_that_says_everything_byte_by_byte_is_answered() -> None:
    async def run() -> None:
        async with world(1) as made:
            ship = await made.ship_to(made.nodes[0])
            initiator = Initiator(network(), made.nodes[0].host.public, wall_s())
            for at in range(0, len(initiator.flight), 97):
                await ship.send(initiator.flight[at : at + 97])
                await anyio.sleep(0.1)
            answer = b""
            while len(answer) < 2 * BLOCK_SIZE:
                answer += await ship.receive()
            initiator.finish(answer[: 2 * BLOCK_SIZE], verify)

    on_virtual_clock(run)


def test_a_hundred_callers_that_say_nothing_hold_up_nobody() -> None:
    async def run() -> None:
        async with world(1) as made:
            ships = [await made.ship_to(made.nodes[0]) for _ in range(100)]
            crane, _ = await made.call(made.nodes[0])
            stream = made.open(made.circuit(crane))
            await stream.send(b"hello")
            with anyio.fail_after(0.5):
                assert await stream.receive() == b"hello"
            assert ships

    on_virtual_clock(run)


def test_handshake_keys_are_forgotten_once_the_link_stands() -> None:
    async def run() -> None:
        async with world(1) as made:
            made_keys: list[weakref.ref[object]] = []
            public = made.nodes[0].host.public
            suite = public.suite
            generate = suite.generate

            def remember() -> object:
                key = generate()
                made_keys.append(weakref.ref(key))
                return key

            ship = await made.ship_to(made.nodes[0])
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(type(suite), "generate", lambda self: remember())
                crane = await dial(ship, Terms(network, verify, Budget(100), wall=wall_s), public)
            assert len(made_keys) == 1
            assert made_keys[0]() is not None
            made.tasks.start_soon(crane.run)
            await crane.standing.wait()
            await anyio.sleep(1)
            gc.collect()
            assert made_keys[0]() is None

    on_virtual_clock(run)


def test_a_peer_that_does_not_read_makes_nobody_grow() -> None:
    async def run() -> None:
        async with world(1, buffer=64 * 1024) as made:
            node = made.nodes[0]
            crane, ship = await made.call(node)
            stream = made.open(made.circuit(crane), "ECHO")
            await crane.standing.wait()
            ship.freeze()
            # Ours is a client that only sends: what comes back stays in the node, within its bounds.
            far = node.cranes[-1][0]

            async def push() -> None:
                while True:
                    await stream.send(bytes(10_000))

            with anyio.move_on_after(5):
                await push()
            assert len(far._rest) <= 64 * BLOCK_SIZE
            assert node.budget.used <= made.budget
            await anyio.sleep(DEAD_AFTER_S + 2)
            assert far.lost
            assert node.budget.used == node.grants.used == 0

    on_virtual_clock(run)


def test_a_fault_of_a_suite_costs_the_caller_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin's suite may raise anything at all on bytes that somebody else has chosen."""

    async def run() -> None:
        async with world(1) as made:
            node = made.nodes[0]
            crane, _ = await made.call(node)
            stream = made.open(made.circuit(crane))
            await stream.accepted()
            await anyio.sleep(1)
            suite = type(node.host.suite)
            with monkeypatch.context() as patch:
                patch.setattr(suite, "decapsulate", lambda self, private, ciphertext: [][1])
                ship = await made.ship_to(node)
                await ship.send(_flight(node.host))
                with pytest.raises(anyio.EndOfStream):
                    await ship.receive()
                assert ship.came == b""
                refused = made.circuit(crane)
                await anyio.sleep(1)
                assert refused.closed is not None
            # The link on which it happened may have ended with it; the node has not.
            crane, _ = await made.call(node)
            stream = made.open(made.circuit(crane))
            await stream.send(b"still here")
            assert await stream.receive() == b"still here"

    on_virtual_clock(run)


def test_a_cancelled_crane_leaves_nothing() -> None:
    async def run() -> None:
        async with world(1) as made:
            ship = await made.ship_to(made.nodes[0])
            terms = Terms(network, verify, made.client_grants, wall=wall_s)
            crane = await dial(ship, terms, made.nodes[0].host.public)
            circuit = made.circuit(crane)
            with anyio.move_on_after(5):
                await crane.run()
            assert crane.lost
            assert ship.closed_at is not None
            assert circuit.closed == Reason.LINK_LOST
            assert made.client_grants.used == 0
            await anyio.sleep(1)
            assert made.nodes[0].cranes[-1][0].lost

    on_virtual_clock(run)
