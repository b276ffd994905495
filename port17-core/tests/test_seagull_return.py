"""Whole nodes and a client that were away for a day or a month come back by what they still hold: no list, no
folder, nobody who has waited for them.
"""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from port17.bottles.rack import BottleStore

from .links_network import on_virtual_clock
from .node_world import Town, one_thread, town
from .seagull_person import LASTING, STAY, Person, current

__all__ = ["one_thread"]
DAY_S = 86_400


def skip(made: Town, days: float) -> None:
    """Everybody's clock is that much further."""
    made._epoch -= days * DAY_S


def expired(rack: BottleStore, but: bytes, now_s: float) -> bool:
    """Whether nothing in a rack can be used for a call."""
    others = [bottle for bottle in rack if bottle.fingerprint != but]
    return bool(others) and not any(record.expiry > now_s for bottle in others for record in bottle.bundle)


@pytest.mark.parametrize("days", [8, 30])
def test_a_node_that_was_away_comes_back_without_a_list(tmp_path: Path, days: int) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            for name in (*STAY, "away"):
                made.home(name, **LASTING)
            await made.start((*STAY, "away"), STAY[:3])
            away = made.homes["away"]
            await made.until(lambda: all(current(made, home) for home in made.running), 60)
            await away.kill()
            skip(made, days)
            staying = [made.homes[name] for name in STAY]
            await made.until(lambda: all(current(made, home) for home in staying), 600)

            begun_s = anyio.current_time()
            await made.tasks.start(away._run, ())  # it is told of nobody
            await made.until(lambda: current(made, away), 60)
            took_s = anyio.current_time() - begun_s
            assert took_s < 60
            assert sum(home.running._cold.answered for home in staying) >= 1
            await made.until(lambda: all(current(made, home) for home in made.running), 120)
            # Nobody holds a prekey of it that it has burned.
            for home in staying:
                held = home.known.rack.get(away.fingerprint)
                assert held is not None
                live = [slot for slots in held.contents.slots.values() for slot in slots]
                mine = {record.hash for record, _ in away.running._credentials.keyring.prekeys.values()}
                assert {slot.commitment for slot in live} <= mine

    on_virtual_clock(run)


@pytest.mark.parametrize("days", [8, 30])
def test_a_client_that_was_away_comes_back_without_a_list(tmp_path: Path, days: int) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            for name in STAY:
                made.home(name)
            await made.start(STAY, STAY[:3])
            await made.until(lambda: all(current(made, home) for home in made.running), 60)
            person = Person(made)
            for known, wait_days in ((STAY[:3], days), ((), days), ((), 0)):
                over = anyio.Event()

                async def be_there(
                    task_status: object, known: tuple[str, ...] = known, over: anyio.Event = over
                ) -> None:
                    await person.run(known=known, until=over, task_status=task_status)

                await made.tasks.start(lambda task_status, be_there=be_there: be_there(task_status))
                if not known and wait_days:
                    assert expired(person.known.rack, b"", made.wall())
                await made.until(lambda: person.ready, 90, "the client does not come back")
                await person.circuit(person.three())
                over.set()
                await anyio.sleep(1)
                skip(made, wait_days)
                await made.until(lambda: all(current(made, home) for home in made.running), 600)

    on_virtual_clock(run)
