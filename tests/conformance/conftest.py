"""The contract tests' fixtures: every installed suite, scheme, transport, bottle store and local network, as
the core finds it.

A plugin's author installs the plugin and runs these tests; they know no driver by name.
"""

from __future__ import annotations

from typing import Any

import pytest

from port17.plugins.finder import find
from port17.plugins.loader import Registry

GROUPS = {
    "suite": "port17.cipher_suites",
    "scheme": "port17.identity_schemes",
    "transport": "port17.transports",
    "store": "port17.bottle_stores",
    "local_network": "port17.local_networks",
}
"""What a test asks for, and the group of entry points it is found in."""

registry = Registry()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--listen",
        action="append",
        default=[],
        metavar="TRANSPORT=ADDRESS",
        help="where a transport under test listens, if that is neither HOST:PORT nor a plain name",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, group in GROUPS.items():
        if fixture in metafunc.fixturenames:
            names = sorted({found.name for found in find(group)})
            metafunc.parametrize(fixture, [(group, name) for name in names], ids=names, indirect=True)


def _made(request: pytest.FixtureRequest) -> Any:
    group, name = request.param
    return registry.make(group, name, None)


suite = pytest.fixture(_made, name="suite")
scheme = pytest.fixture(_made, name="scheme")
transport = pytest.fixture(_made, name="transport")
store = pytest.fixture(_made, name="store")
local_network = pytest.fixture(_made, name="local_network")


@pytest.fixture
def entry_point(request: pytest.FixtureRequest) -> str:
    """The entry point's name of the driver that the test gets."""
    parameters = request.node.callspec.params
    _, name = next(parameters[fixture] for fixture in GROUPS if fixture in parameters)
    return str(name)
