"""``port17`` of somebody whose nodes commit to prekeys that are no keys, sign that, and believe in them.

A script: its arguments are those of ``port17``.
"""

from __future__ import annotations

import sys
from typing import Any

from port17.node import publication
from port17.plugins import basic
from port17.records.prekey import PrekeyRecord
from port17_cli.main import main

TAIL_SIZE = 32
"""Bytes at the end of a key that are zeros: of an X-Wing or an X25519 key, its X25519 point, of low order."""

_honest = publication._prekeys


def _spoiled(*args: Any) -> dict[str, list[PrekeyRecord]]:
    return {
        suite: [
            PrekeyRecord.made(**{**one.to_value(), "public": one.public[:-TAIL_SIZE] + bytes(TAIL_SIZE)})
            for one in records
        ]
        for suite, records in _honest(*args).items()
    }


if __name__ == "__main__":
    publication._prekeys = _spoiled
    basic.check_prekeys = lambda bottle, suites: None
    sys.exit(main())
