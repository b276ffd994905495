"""A client's circuits, links and sources as its control socket shows them; destinations are nobody's
business, not even there.
"""

from __future__ import annotations

from typing import Any

from port17.client.built import Built
from port17.client.sources import Source
from port17.links.crane import Crane
from port17.network import KnownNetwork
from port17.records.identity import node_id
from port17.wire.ratchet import Session


def described(built: Built, now_s: float, *, spare: bool) -> dict[str, Any]:
    """A circuit.

    :param spare: it waits for its first use.
    """
    circuit = built.circuit
    return {
        "id": built.ident,
        "hops": [
            {
                "id": node.node_id,
                "name": node.name,
                "suite": hop.session.suite.name,
                "confirmed": hop.confirmed,
                "cells_up": hop.session.forward.counter,
                "cells_down": hop.session.backward.counter,
                "steps": steps(hop.session, hop.pace.answered_s, now_s),
            }
            for node, hop in zip(built.route.nodes, circuit.hops, strict=True)
        ],
        "state": "open" if circuit.confirmed_s is not None else "building",
        "standing": built.standing.name.lower(),
        "spare": spare,
        "retired": built.retired,
        "build_ms": (
            round((circuit.confirmed_s - circuit.written_s) * 1e3, 3)
            if circuit.confirmed_s is not None and circuit.written_s is not None
            else None
        ),
        "age_s": round(now_s - built.made_s, 3),
        "bytes_up": circuit.last.mux.sent,
        "bytes_down": circuit.last.mux.got,
        "conveyors": len(circuit.last.mux.conveyors),
    }


def described_source(source: Source) -> dict[str, Any]:
    """A node that tells the client of the network."""
    return {
        "id": node_id(source.fingerprint),
        "name": source.name,
        "group": source.group,
        "scope": str(source.scope),
        "synced": source.synced,
    }


def described_link(crane: Crane, network: KnownNetwork, now_s: float) -> dict[str, Any]:
    """A link to an entry node."""
    keys, peer = crane.link.keys, crane.peer or b""
    bottle = network.rack.get(peer)
    return {
        "id": node_id(peer),
        "name": bottle.label.name if bottle is not None else None,
        "circuits": crane.link.legs,
        "suite": keys.session.suite.name if keys.session is not None else None,
        "steps": steps(keys.session, keys.answered_s, now_s) if keys.session is not None else None,
    }


def steps(session: Session, answered_s: float | None, now_s: float) -> dict[str, Any]:
    """How often the keys of a session have turned: symmetric steps, asymmetric ones as ``rekeys``, and when
    the last of these was completed, seconds ago."""
    return {
        "forward": session.forward.steps,
        "backward": session.backward.steps,
        "forward_rekeys": session.forward.rekeys,
        "backward_rekeys": session.backward.rekeys,
        "last_s": round(now_s - answered_s, 3) if answered_s is not None else None,
    }
