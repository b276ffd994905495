#!/usr/bin/env python3
"""Measures the cryptography of every installed suite, and what ratcheting costs a tunnel, against the floors.

    python benchmarks/crypto.py                        # primitives and protocol steps, some twenty seconds
    python benchmarks/crypto.py --peers DIR            # and a tunnel with and without ratcheting, two minutes

Everything runs in one process on one core but for the tunnel. Each round measures everything once, one thing
after the other; figures are medians over rounds, ratios medians of the rounds' own ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import ratcheting

from port17.plugins.loader import Registry
from port17.records.framing import digest
from port17.wire.block import BODY_SIZE, LAYER_OVERHEAD, LAYER_SIZE, Flag
from port17.wire.handshake import Initiator, NodeSigner, respond
from port17.wire.onion import Onion
from port17.wire.prekey import Network, OwnPrekey, ResponderKey
from port17.wire.ratchet import Chain, InitiatorRatchet, ResponderRatchet, Session
from port17.wire.replay import ReplaySet
from port17.wire.setup import make, open_setup
from port17.wire.suite import CipherSuite, nonce

USUAL = "p17-1-xwing-aes256gcm-sha256"
"""The suite that the floors are for."""
RELAY_FLOOR = 2.2
"""Most that a relay's onion layer may cost, in bare AES-GCM openings of the same size."""
SETUP_FLOOR = 3.0
"""Most that SETUP may cost a node, in bare X-Wing decapsulations, without RSP 0."""
HOPS = 3
"""Hops of the onion that is measured: the least of a route."""
ROUNDS, REPEATS, MIB = 15, 9, 64
CELLS = 512
"""Cells of one timing: four symmetric steps."""
TIMES = 20
"""Repeats of one timing of what takes some 100 microseconds."""
WALL_S = 1_800_000_000.0
"""The Unix time that stamps are made for."""

Row = dict[str, float]


class Parties:
    """A client and a node of one suite, as handshakes and SETUP need them."""

    def __init__(self, suite: CipherSuite) -> None:
        self.suite = suite
        self.network = Network(digest("benchmark"), (0,), 2, 120.0)
        self.key = suite.generate()
        fingerprint, record = digest("node"), digest("record")
        self.own = OwnPrekey(suite, record, 1, self.key, WALL_S + 3600)
        self.public = ResponderKey(suite, fingerprint, record, 1, self.key.public)
        self.signer = NodeSigner(fingerprint, lambda message: bytes(64))

    def sessions(self) -> tuple[Session, Session]:
        """One circuit's keys: the client's, the node's."""
        key = os.urandom(32)
        return Session(self.suite, key, b""), Session(self.suite, key, b"")


def per_call(times: int, work: Callable[[], object]) -> float:
    """Microseconds of one call."""
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) / times * 1e6


def over(items: list[Any], work: Callable[[Any], object]) -> float:
    """Microseconds for one of some items, each used once."""
    begun = time.perf_counter()
    for item in items:
        work(item)
    return (time.perf_counter() - begun) / len(items) * 1e6


def primitives(suite: CipherSuite) -> Row:
    """The parts alone."""
    key = suite.generate()
    _, ciphertext = suite.encapsulate(key.public)
    aead = suite.aead(os.urandom(32))
    sealed, plain = bytearray(BODY_SIZE), bytearray(LAYER_SIZE)
    nonces = [nonce(counter) for counter in range(CELLS)]
    layers: list[tuple[bytes, bytes]] = []
    for one in nonces:
        aead.encrypt_into(one, plain, None, sealed)
        layers.append((one, bytes(sealed)))
    return {
        "bare generate": per_call(TIMES, suite.generate),
        "bare encapsulate": per_call(TIMES, lambda: suite.encapsulate(key.public)),
        "bare decapsulate": per_call(TIMES, lambda: suite.decapsulate(key.private, ciphertext)),
        # Each another one, as a relay has them: from memory, not from the processor's cache.
        "bare open of a layer": over(layers, lambda one: aead.decrypt_into(one[0], one[1], None, plain)),
    }


def handshakes(parties: Parties) -> Row:
    """The link's handshake, without the identity's signatures, which are the scheme's."""
    network, public, signer = parties.network, parties.public, parties.signer
    replays = ReplaySet(120.0)
    initiators: list[Initiator] = []
    answers: list[bytes] = []

    def answer(initiator: Initiator) -> None:
        flight, _ = respond(network, signer, [parties.own], replays, _believe, initiator.flight, WALL_S)
        answers.append(flight)

    row = {
        "handshake, initiator, flight 1": per_call(
            TIMES, lambda: initiators.append(Initiator(network, public, WALL_S))
        ),
        "handshake, responder": over(initiators, answer),
    }
    row["handshake, initiator, flight 2"] = over(
        list(zip(initiators, answers, strict=True)), lambda pair: pair[0].finish(pair[1], _believe)
    )
    return row


def setups(parties: Parties) -> Row:
    """SETUP at both ends, and the steps that follow it."""
    network, public, suite = parties.network, parties.public, parties.suite
    keys = [suite.generate() for _ in range(TIMES)]
    made: list[tuple[bytes, Session]] = []
    opened: list[Any] = []
    replays = ReplaySet(120.0)
    row = {
        "SETUP, client": over(keys, lambda key: made.append(make(network, public, key, WALL_S))),
        "SETUP, node": over(
            made,
            lambda one: opened.append(
                open_setup(
                    network, public.fingerprint, lambda name, slot: parties.own, replays, one[0], WALL_S
                )
            ),
        ),
    }
    nodes = [ResponderRatchet(one.session, one.ratchet_key) for one in opened]
    clients = [InitiatorRatchet(one[1], key) for one, key in zip(made, keys, strict=True)]
    frames: list[bytes] = []

    def take(turn: Any) -> None:
        frames.append(turn.data)
        turn.sealed()

    row["RSP, node"] = over(nodes, lambda node: take(node.response(suite.generate())))
    row["RSP, client"] = over(list(zip(clients, frames, strict=True)), lambda pair: pair[0].response(pair[1]))
    frames.clear()
    row["REQ, client"] = over(clients, lambda client: take(client.request()))
    row["REQ, node"] = over(list(zip(nodes, frames, strict=True)), lambda pair: pair[0].request(pair[1]))
    return row


def cells(parties: Parties) -> Row:
    """A cell of a busy circuit at everybody, symmetric steps included."""
    pairs = [parties.sessions() for _ in range(HOPS)]
    onion = Onion()
    for client, _ in pairs:
        onion.add(client)
    wire = [bytearray(BODY_SIZE) for _ in range(CELLS)]

    def seal(body: bytearray) -> None:
        onion.seal(HOPS - 1, body)

    row = {"client seals a cell, per hop": over(wire, seal) / HOPS}
    plain = bytearray(LAYER_SIZE)
    node: Chain = pairs[0][1].forward

    def relay(body: bytearray) -> None:
        node.filler()
        node.open(body, plain)

    row["relay, forward layer"] = over(wire, relay)
    home = pairs[0][1].backward
    row["relay, backward layer"] = over(wire, lambda body: home.seal(plain, body))
    return row | _opening(parties)


def _opening(parties: Parties) -> Row:
    """What the last hop says, opened by the client."""
    pairs = [parties.sessions() for _ in range(HOPS)]
    onion = Onion()
    for client, _ in pairs:
        onion.add(client)
    bodies: list[bytes] = []
    layer = bytearray(BODY_SIZE)
    for _ in range(CELLS):
        spoken = bytes(LAYER_SIZE - 1) + bytes([Flag.FOR_YOU])
        for place, (_, node) in enumerate(reversed(pairs)):
            if place:
                spoken = bytes(layer[LAYER_OVERHEAD:]) + bytes([Flag.PASS_ON])
            node.backward.seal(spoken, layer)
        bodies.append(bytes(layer))
    return {"client opens a cell, per hop": over(bodies, onion.open) / HOPS}


def steps(parties: Parties) -> Row:
    """The symmetric step alone."""
    session, _ = parties.sessions()
    return {"symmetric step": per_call(CELLS, session.forward.step)}


def measured(suite: CipherSuite) -> Row:
    """One round of one suite."""
    parties = Parties(suite)
    return dict(
        chain.from_iterable(
            part.items()
            for part in (
                primitives(suite),
                handshakes(parties),
                setups(parties),
                cells(parties),
                steps(parties),
            )
        )
    )


def _believe(fingerprint: bytes, message: bytes, signature: bytes) -> bool:
    return True


def floors(rounds: list[Row]) -> list[tuple[str, float, float]]:
    """(what, ratio, floor) of the usual suite."""

    def ratio(of: Callable[[Row], float], to: str) -> float:
        return statistics.median(of(row) / row[to] for row in rounds)

    return [
        (
            "relay's onion layer to a bare AES-GCM open",
            ratio(
                lambda r: max(r["relay, forward layer"], r["relay, backward layer"]), "bare open of a layer"
            ),
            RELAY_FLOOR,
        ),
        (
            "SETUP at the node to a bare decapsulation",
            ratio(lambda r: r["SETUP, node"], "bare decapsulate"),
            SETUP_FLOOR,
        ),
    ]


def show(names: list[str], rounds: dict[str, list[Row]]) -> None:
    """The table, for people."""
    print("microseconds, median of the rounds")
    for number, name in enumerate(names):
        print(f"  {number + 1}: {name}")
    print(f"{'':34}" + "".join(f"{number + 1:>10}" for number in range(len(names))))
    for key in rounds[names[0]][0]:
        medians = [statistics.median(row[key] for row in rounds[name]) for name in names]
        print(f"{key:34}" + "".join(f"{value:>10.2f}" for value in medians))


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds ({ROUNDS})")
    parser.add_argument(
        "--peers", type=Path, metavar="DIR", help="measure a tunnel too, with the load generator from there"
    )
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"repeats of the tunnel's ({REPEATS})")
    parser.add_argument("--mib", type=int, default=MIB, help=f"MiB of each of its transfers ({MIB})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    options = parser.parse_args()
    registry = Registry()
    names = sorted(registry.names("port17.cipher_suites"), key=lambda name: name != USUAL)
    suites = {name: registry.make("port17.cipher_suites", name) for name in names}
    rounds: dict[str, list[Row]] = {name: [] for name in names}
    for number in range(options.rounds + 1):
        for name, suite in suites.items():
            row = measured(suite)
            if number:  # the first one warms caches
                rounds[name].append(row)
    show(names, rounds)
    verdicts = floors(rounds[USUAL])
    document: dict[str, Any] = {"rounds": rounds}
    if options.peers:
        rates = ratcheting.measure(options.peers, options.repeats, options.mib)
        for key, values in rates.items():
            print(f"{key:34}{statistics.median(values):>10.1f} MB/s")
        verdicts += ratcheting.costs(rates)
        document["tunnel"] = rates
    for what, ratio, floor in verdicts:
        print(f"{what}: {ratio:.2f} (at most {floor:g}: {'met' if ratio <= floor else 'MISSED'})")
    document["floors"] = [{"what": w, "ratio": r, "floor": f, "met": r <= f} for w, r, f in verdicts]
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
