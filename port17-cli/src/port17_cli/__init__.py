"""The command line of Port17. What it commands is port17-core's; nothing here is public but the script."""

from __future__ import annotations
