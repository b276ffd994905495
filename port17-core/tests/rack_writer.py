"""Bottles for the tests of racks, and a process that writes them to be killed while it does."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from pathlib import Path

from port17.bottles.rack import Racked
from port17.bottles.sqlite_rack import SqliteRack
from port17.records.bottle import Bottle, Contents, Label
from port17.records.identity import Identity
from port17.records.prekey import PrekeyRecord
from port17.records.scheme import SigningKey
from port17_crypto.schemes import Ed25519

SCHEME = Ed25519()
NETWORK = bytes(range(32))
SUITE = "p17-1-test"
FLEET, CROWD = 20, 12
"""Nodes whose bottles are always written in one batch, and those that are written one by one."""
ROUNDS = 4
"""Bottles of each node that one process writes."""
KEYS = 4
"""Prekey records of each bottle that is written: it takes some pages of the file."""
PATIENCE_S = 60
"""How long a process that has written everything waits to be killed, seconds."""
PUBLIC_SIZE = 1216
"""Bytes of an X-Wing key: a bottle has its real size."""


@functools.cache
def signer(number: int) -> SigningKey:
    """The same key in every process."""
    return SCHEME.load_private(number.to_bytes(32, "big"))


def bottle(number: int, seq: int, *, label_seq: int = 0, prekeys: int = 1, name: str = "") -> Bottle:
    """A bottle of the node of a number, of real size."""
    key = signer(number)
    identity = Identity.made(scheme="ed25519", public=key.public)
    records = [
        PrekeyRecord.made(
            network_id=NETWORK,
            fingerprint=identity.fingerprint,
            suite=SUITE,
            slot=slot,
            expiry=seq + slot + 1,
            public=bytes([seq % 256]) * PUBLIC_SIZE,
        )
        for slot in range(prekeys)
    ]
    slots = {SUITE: [[record.slot, record.expiry, record.hash] for record in records]}
    label = Label.made(identity=identity, name=name or f"node-{number}", suites=[SUITE], seq=label_seq)
    contents = Contents.made(fingerprint=identity.fingerprint, seq=seq, slots=slots)
    return Bottle.seal(NETWORK, SCHEME, key, label, contents, records)


def write(folder: Path, begun: int, aim_s: float) -> None:
    """Says ``ready``, and then of each bottle that it is written, once that is so: ``NUMBER SEQ``.

    :param aim_s: if not 0, the kernel ends the process so long after the second commit has begun.
    """
    seqs = range(begun, begun + (2 if aim_s else ROUNDS))
    # All made before: what is killed is to be writing, not signing.
    made = {seq: [bottle(number, seq, prekeys=KEYS) for number in range(FLEET + CROWD)] for seq in seqs}
    os.write(1, b"ready\n")
    rack = SqliteRack()
    rack.open(NETWORK, folder)

    def shoot(statement: str) -> None:
        if statement == "COMMIT":
            # Nobody handles this signal: as with SIGKILL, not one more instruction of ours is run.
            signal.setitimer(signal.ITIMER_REAL, aim_s)

    for seq, bottles in made.items():
        if aim_s and seq > begun:
            rack._file._db.set_trace_callback(shoot)
        assert all(rack.put_all(map(Racked, bottles[:FLEET])))
        os.write(1, b"".join(b"%d %d\n" % (number, seq) for number in range(FLEET)))
        for number in range(FLEET, FLEET + CROWD):
            assert rack.put(bottles[number])
            os.write(1, b"%d %d\n" % (number, seq))
    time.sleep(PATIENCE_S)


def main() -> None:
    """For each line ``SEQ AIM_S FOLDER`` on standard input, a process that writes until it is killed."""
    for line in sys.stdin:
        begun, aim_s, folder = line.split(maxsplit=2)
        child = os.fork()
        if child == 0:
            write(Path(folder.strip()), int(begun), float(aim_s))
        os.write(1, b"begun %d\n" % child)
        os.waitpid(child, 0)
        os.write(1, b"ended\n")


if __name__ == "__main__":
    main()
