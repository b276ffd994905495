"""A test network and a destination that the tests of real processes share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

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
