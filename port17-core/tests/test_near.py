"""Which nodes are near: lanes that both ends name, and how much is read to find them."""

from __future__ import annotations

import pytest

from port17.bottles import near as module
from port17.bottles.near import RENEW_S, SOON_S, Near
from port17.bottles.rack import MemoryRack
from port17.bottles.stamp_index import StampIndex
from port17.records.bottle import Bottle, Contents

from .bottle_maker import NETWORK, NOW, SCHEME, Maker


def listing(maker: Maker, others: list[Maker], seq: int = NOW) -> Bottle:
    label = maker.bottle(name=f"n{maker.fingerprint.hex()[:8]}").label
    lanes = [(one.fingerprint, 10, 0) for one in others]
    contents = Contents.made(fingerprint=maker.fingerprint, seq=seq, lanes=lanes)
    return Bottle.seal(NETWORK, SCHEME, maker.key, label, contents, ())


def test_near_is_what_both_ends_say_and_little_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    centre, liar, *ring = [Maker() for _ in range(9)]
    rack = MemoryRack()
    for at, maker in enumerate(ring):
        beside = [ring[at - 1], ring[(at + 1) % len(ring)]]
        rack.put(listing(maker, [*beside, centre] if at == 0 else beside))
    rack.put(listing(liar, [centre, *ring]))
    rack.put(listing(centre, [ring[0]]))
    read, get = 0, rack.get

    def counted(fingerprint: bytes) -> Bottle | None:
        nonlocal read
        read += 1
        return get(fingerprint)

    monkeypatch.setattr(rack, "get", counted)
    wanted = {maker.fingerprint for maker in (centre, ring[0], ring[1], ring[-1])}
    near = Near(rack, StampIndex(rack))
    assert near.nodes(centre.fingerprint, 0.0) == wanted
    assert near.nodes(centre.fingerprint, RENEW_S) == wanted
    assert read == len(wanted), "each once"

    monkeypatch.setattr(module, "READ_CAP", 2)
    slowly, read = Near(rack, StampIndex(rack)), 0
    assert slowly.nodes(centre.fingerprint, 0.0) == {centre.fingerprint, ring[0].fingerprint}
    assert read == 2
    assert slowly.nodes(centre.fingerprint, SOON_S) == wanted
