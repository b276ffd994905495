"""The man in the middle of real processes: on the line before every node, and at the folder of bottles.

Nodes serve the strong suite and a weak one, and would answer either; charter and client prefer the strong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from python_socks import ProxyError
from rig.destination import Destination, order, receive_exactly
from rig.house import House, command
from rig.man import Man, nothing_but, own_flight, own_tag
from rig.patience import until
from rig.program import connect
from rig.stage import COMPOSITE, STRONG, WEAK, without

from port17.bottles.rack import load_bottle, save_bottle
from port17.config import ClientConfig, load
from port17.network import KnownNetwork
from port17.plugins.loader import Registry
from port17.wire.prekey import Network, ResponderKey
from port17_cli.network import HOST, free_ports

NAMES = ("ash", "birch", "cedar")
WORKS_S = 30.0
"""How long a new connection may take to work, seconds."""
FAILS_S = 12.0
"""How long one attempt may take, seconds: a handshake that nobody answers, five seconds, and a second one."""


class Scene:
    """A network whose every connection crosses a man."""

    def __init__(self, house: House, men: dict[str, Man]) -> None:
        self.house = house
        self.men = men

    def weak_keys(self) -> tuple[Network, dict[str, ResponderKey]]:
        """What everybody can know of the nodes' weak prekeys."""
        config, _ = load(ClientConfig, self.house.config("client"))
        network = KnownNetwork.load(
            config.model_copy(update={"suites": [WEAK.name], "state": self.house.directory / "man"}),
            Registry(),
        )
        found = {}
        for name in NAMES:
            node = network.chart().find(name)
            assert node is not None
            responder = network.responder(node)
            assert responder is not None
            assert responder.suite.name == WEAK.name
            found[name] = responder
        return network.transcript(), found

    def echoes(self, destination: Destination, isolation: str) -> bool:
        """A new connection works."""
        try:
            with connect(self.house.socks, destination.port, isolation=isolation, timeout=FAILS_S) as program:
                program.sendall(order(b"E") + b"?")
                return receive_exactly(program, 1) == b"?"
        except (ProxyError, OSError):
            return False

    def suites(self) -> set[str]:
        """Those of all hops of the client's circuits, and of its links."""
        shown = self.house.ask("client", "circuits")
        hops = [hop for circuit in shown["circuits"] for hop in circuit["hops"]]
        return {one["suite"] for one in (*hops, *shown["links"]) if one["suite"] is not None}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Three nodes with all their lanes; the client can be started."""
    ports = dict(zip(NAMES, free_ports(*[HOST] * len(NAMES)), strict=True))
    options = ["--suite", STRONG.name, "--suite", WEAK.name, "--identity", COMPOSITE.name]
    with ExitStack() as stack:
        men = {name: stack.enter_context(Man((HOST, port))) for name, port in ports.items()}
        advertised = {name: man.address for name, man in men.items()}
        house = stack.enter_context(House(tmp_path, NAMES, ports, advertised=advertised, options=options))
        house.start(*NAMES)
        house.wait_for_lanes()
        yield Scene(house, men)


def flights(scene: Scene) -> dict[str, Callable[[bytes], bytes]]:
    """Per node, a weak call of the man's own."""
    network, keys = scene.weak_keys()
    return {name: own_flight(network, key) for name, key in keys.items()}


def tags(scene: Scene) -> dict[str, Callable[[bytes], bytes]]:
    """Per node, the weak prekey's tag on the client's own flight."""
    return {name: own_tag(key) for name, key in scene.weak_keys()[1].items()}


@pytest.mark.parametrize(("meddling", "answered"), [(flights, True), (tags, False)], ids=["flights", "tags"])
def test_other_flights_on_the_line(
    scene: Scene, destination: Destination, meddling: Callable[[Scene], Any], answered: bool
) -> None:
    for name, meddle in meddling(scene).items():
        scene.men[name].meddle = meddle
    scene.house.start("client")
    assert not scene.echoes(destination, "meddled")
    assert sum(man.meddled for man in scene.men.values()) > 1, "another route was tried"
    # The weak suite was there to be had: the nodes answered the man.
    assert (sum(man.answered for man in scene.men.values()) > 0) is answered
    assert scene.suites() <= {STRONG.name}
    # The control: the same client on the same lines, once he only passes on.
    for man in scene.men.values():
        man.meddle = None
    until(lambda: scene.echoes(destination, "left alone"), "a connection works", WORKS_S)
    assert scene.suites() == {STRONG.name}


def test_bottles_that_have_lost_the_strong_prekeys(scene: Scene, destination: Destination) -> None:
    """All that a client is given, by a man who also lets calls for the weak prekeys alone pass, and no cold
    call. Once he only passes on, nodes tell it by cold calls and gossip what he has left out."""
    _, keys = scene.weak_keys()
    folder = scene.house.directory / "stripped"
    folder.mkdir()
    for file in sorted((scene.house.directory / "bottles").iterdir()):
        save_bottle(folder, without(load_bottle(file), STRONG))
    for name, key in keys.items():
        scene.men[name].meddle = nothing_but(key)
    config = scene.house.config("client")
    config.write_text(config.read_text().replace('bottles = "bottles"', 'bottles = "stripped"'))
    scene.house.start("client")
    assert not scene.echoes(destination, "stripped")
    assert sum(man.meddled for man in scene.men.values()) > 1, "it has tried"
    assert scene.suites() == set()
    told = command("suites", "explain", "--config", str(config))["nodes"]
    assert [(node["suite"], node["usable"]) for node in told] == [(STRONG.name, False)] * len(NAMES)
    assert all(suite["prekey_held"] is (suite["name"] == WEAK.name) for suite in told[0]["suites"])
    scene.house.end("client")
    # Who wants the weak suite and says so has it, of the same bottles, past the same men.
    weakly = [f"suites=['{WEAK.name}']", f"state={scene.house.directory / 'weakly'}"]
    scene.house.start("client", settings=weakly)
    until(lambda: scene.echoes(destination, "chosen"), "a connection works", WORKS_S)
    assert scene.suites() == {WEAK.name}
    scene.house.end("client")
    for man in scene.men.values():
        man.meddle = None
    scene.house.start("client")
    until(lambda: scene.echoes(destination, "healed"), "a connection works", WORKS_S)
    assert scene.suites() == {STRONG.name}
