"""A test network and a destination that the tests of real processes share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from rig import machines
from rig.destination import Destination
from rig.testnet import Testnet


@pytest.fixture(scope="session")
def testnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    """Five nodes and a client, for tests that leave them as they were."""
    with Testnet(tmp_path_factory.mktemp("shared") / "net") as network:
        yield network


@pytest.fixture(scope="session")
def destination() -> Iterator[Destination]:
    """A destination, for tests that leave it as it was."""
    with Destination() as process:
        yield process


REFUSAL = machines.refusal()
"""Why there are no network namespaces here; empty if there are."""
LEFT_OUT = "test_local_network.py"
LEFT = pytest.StashKey[bool]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs namespaces of the network where none can be made."""
    if not REFUSAL:
        return
    out = [item for item in items if item.path.name == LEFT_OUT]
    if out:
        items[:] = [item for item in items if item not in out]
        config.hook.pytest_deselected(items=out)
        config.stash[LEFT] = True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say so, where nobody can overlook it."""
    if config.stash.get(LEFT, False):
        terminalreporter.section("LEFT OUT", sep="!", red=True, bold=True)
        terminalreporter.line(f"{LEFT_OUT}: no local network was tested. {REFUSAL}")
