"""Whether a secret shows in a text, and what is said when something fails."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Callable

PIECE = 8
"""Bytes of a secret that are not in a text by chance."""


def shows(text: str, secret: bytes) -> bool:
    """Whether any piece of a secret is in a text: as hexadecimal, base64, a repr, or a list of numbers."""
    lowered = text.lower()
    for at in range(len(secret) - PIECE + 1):
        piece = secret[at : at + PIECE]
        if (
            piece.hex() in lowered
            or repr(piece)[2:-1] in text
            or ", ".join(map(str, piece)) in text
            or base64.b64encode(piece)[:-4].decode() in text
        ):
            return True
    return False


def said(action: Callable[[], object]) -> str:
    """Everything that an action's failure says: traceback, chained causes, arguments. "" if it succeeds."""
    try:
        action()
    except Exception as error:  # noqa: BLE001  # whatever it is
        lines = traceback.format_exception(error)
        link: BaseException | None = error
        while link is not None:
            lines.append(repr(link.args))
            link = link.__cause__ or link.__context__
        return "\n".join(lines)
    return ""
