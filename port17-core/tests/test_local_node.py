"""What a local node says: where it is, and that it is there."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from port17.errors import ConfigError
from port17.node import local_addresses as places
from port17.node.announcement import Announcement
from port17.node.local_addresses import local_addresses
from port17.node.publication import addresses, check
from port17.records.beacon import SignedBeacon
from port17.records.bottle import ADDRESSES_CAP, Bottle

from .amended_network import Amended
from .bottle_maker import NETWORK, NOW, SCHEME, Maker

OWN = ["10.1.2.3", "fe80::5", "203.0.113.7", "fd00::9", "8.8.8.8", "169.254.3.4"]


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """This machine's addresses."""
    held = list(OWN)
    monkeypatch.setattr(places, "own_addresses", lambda: [ip_address(one) for one in held])
    return held


@pytest.mark.parametrize("everywhere", ["*", "0.0.0.0", "[::]"])
def test_who_listens_everywhere_is_at_all_addresses_that_neighbours_know(
    own: list[str], everywhere: str
) -> None:
    found = local_addresses([f"{everywhere}:4717"], allow_private=False)
    assert found == ["10.1.2.3:4717", "[fe80::5]:4717", "[fd00::9]:4717", "169.254.3.4:4717"]
    own.clear()
    assert local_addresses([f"{everywhere}:4717"], allow_private=False) == []
    own += [f"10.0.0.{number}" for number in range(20)]
    assert len(local_addresses([f"{everywhere}:1"], allow_private=False)) == ADDRESSES_CAP


@pytest.mark.parametrize("address", ["8.8.8.8:1", "127.0.0.1:1", "oak.example:1", "[2a00::1]:1", "[::1]:1"])
def test_a_local_node_is_nowhere_else(address: str) -> None:
    with pytest.raises(ConfigError, match="cannot be at"):
        local_addresses([address], allow_private=False)


def test_the_configuration_is_refused_before_anything_is_signed(tmp_path: Path) -> None:
    net = Amended(tmp_path)
    public: dict[str, Any] = {"listen": {"tcp": "8.8.8.8:7000"}, "addresses": {"allow_private": False}}
    check(net.config(**public))
    with pytest.raises(ConfigError, match="local node"):
        check(net.config(flavour="local", **public))
    config = net.config(flavour="local", listen={"tcp": "10.0.0.1:7000"}, addresses={"allow_private": False})
    assert addresses(config) == {"tcp": ["10.0.0.1:7000"]}


def announced(bottle: Bottle | None, bound: dict[str, str], maker: Maker) -> SignedBeacon | None:
    announce = Announcement(NETWORK, SCHEME, maker.key, lambda: bottle, bound, lambda: NOW + 0.9)
    data = announce()
    return None if data is None else SignedBeacon.parse(data)


def test_a_beacon_says_what_the_bottle_says_and_where_the_node_listens() -> None:
    maker = Maker()
    bottle = maker.bottle(label_seq=7, seq=NOW - 5)
    bound = {"tcp": "[::]:4717", "quic": "10.0.0.1:4718", "near": "127.0.0.1:1", "odd": "somewhere"}
    signed = announced(bottle, bound, maker)
    assert signed is not None
    signed.verify(NETWORK, {"ed25519": SCHEME}, NOW)
    said = signed.beacon
    assert (said.label, said.contents, said.at) == (7, NOW - 5, NOW)
    assert said.fingerprint == maker.fingerprint
    assert said.suites == bottle.label.suites
    assert said.ports == {"tcp": 4717, "quic": 4718}


def test_who_cannot_be_called_or_leaves_announces_nothing() -> None:
    maker = Maker()
    bound = {"tcp": "*:4717"}
    assert announced(maker.bottle(), bound, maker) is not None
    assert announced(None, bound, maker) is None
    assert announced(maker.bottle(), {}, maker) is None
    for address in ("127.0.0.1:1", "[::1]:1", "localhost:1", "10.0.0.1:0", "somewhere"):
        assert announced(maker.bottle(), {"tcp": address}, maker) is None
    leaving = maker.bottle()
    gone = leaving.contents.model_copy(update={"flags": ("offline",)})
    assert announced(Bottle.seal(NETWORK, SCHEME, maker.key, leaving.label, gone), bound, maker) is None
