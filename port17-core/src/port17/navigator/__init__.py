"""The navigator: from the rack's bottles to a chart, and from that to a route every policy agrees to."""

from __future__ import annotations
