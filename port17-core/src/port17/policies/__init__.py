"""The route policies that the core brings. Each is an ordinary one: it imports nothing that others could not,
and is found by its entry point."""

from __future__ import annotations
