"""The plugin frame: finds plugins by metadata, loads what is named, and says what is wrong with the rest."""

from __future__ import annotations
