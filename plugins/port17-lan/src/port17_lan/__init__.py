"""Finds the nodes of a local network by multicast: the local-network driver ``multicast``.

Written against what ``port17`` offers and nothing else. What a beacon says, and what of it is believed, is
the core's.
"""

from __future__ import annotations

from port17_lan.multicast import Multicast as Multicast
