"""What has lately come, by its bytes: most things come from several sources, and are looked at once. What is
in them is not said here.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from port17.bottles.sync import Held
from port17.bottles.update import ContentsUpdate
from port17.records.bottle import Bottle

REMEMBERED: Final = 4096
"""Parcels that are remembered, some 2 MiB: what travels at any moment."""
NAME_SIZE: Final = 16
"""Bytes of a hash by which one is remembered, in this process alone: who finds two with one name has made
us miss one of his own."""


class Parcels:
    """See the module."""

    def __init__(
        self, parse: Callable[[bytes], Bottle], parse_update: Callable[[bytes], ContentsUpdate]
    ) -> None:
        """Parameters as of :class:`~port17.bottles.gossip.Gossip`."""
        self.bottle = parse
        self.update = parse_update
        self._seen: OrderedDict[bytes, Held] = OrderedDict()

    def get(self, data: bytes) -> Held | None:
        """What a parcel says, if the same has come before and was believed."""
        return self._seen.get(_name(data))

    def note(self, data: bytes, held: Held) -> None:
        """A parcel was believed."""
        self._seen[_name(data)] = held
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)


def _name(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:NAME_SIZE]
