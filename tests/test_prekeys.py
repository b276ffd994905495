"""A node that starts again: what died while it was away is erased and, whatever its state, stops nothing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from rig.house import House, command

from port17.node.keyring import Keyring
from port17.plugins.loader import Registry
from port17.records.charter import Charter
from port17_cli import drivers
from port17_cli.network import HOST, free_ports

FORBIDDEN = "p17-1-x25519-chacha20poly1305-blake2s"
"""A suite that the house's charter does not allow: it did once, in this story."""
LIFETIME_S = 3600


def test_dead_prekeys_are_erased_at_the_next_start_and_stop_nothing(tmp_path: Path) -> None:
    with House(tmp_path, ["oak"], {"oak": free_ports(HOST)[0]}) as house:
        registry = Registry()
        schemes = drivers.schemes(registry)
        charter = Charter.load(tmp_path / "house.charter", schemes)
        state = tmp_path / "oak-state"
        suites = {name: registry.make("port17.cipher_suites", name) for name in (FORBIDDEN,)}
        keyring = Keyring.load(state, schemes, suites, charter.network_id, now=time.time())
        long_ago = int(time.time()) // LIFETIME_S - 100
        keyring.stock(charter.network_id, long_ago, 3, LIFETIME_S)
        keyring.save()
        dead = sorted(state.glob(f"{FORBIDDEN}.*.prekey"))
        assert len(dead) == 3
        dead[0].write_bytes(dead[0].read_bytes()[:-100])  # damaged
        dead[1].chmod(0o644)
        for left in (f"{dead[2].name}.new", f"{FORBIDDEN}.7.prekey.gone", "identity.key.new"):
            (state / left).write_bytes(os.urandom(1000))
        before = {file.name for file in state.glob("*.prekey")} - {file.name for file in dead}
        house.start("oak")
        assert {file.name for file in state.iterdir() if "prekey" in file.name or ".new" in file.name} == {
            *before,
            "prekeys.journal",
        }
        published = command("identity", "show", "--config", str(house.config("oak")))["prekeys"]
        house.processes["oak"].send_signal(signal.SIGKILL)  # an unclean end changes nothing of that
        house.kill("oak")
        house.start("oak")
        shown = command("identity", "show", "--config", str(house.config("oak")))["prekeys"]
        assert shown == published
        assert len(shown) == len(before)
