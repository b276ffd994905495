"""``python -m port17_cli`` is ``port17``."""

from __future__ import annotations

import sys

from port17_cli.main import main

sys.exit(main())
