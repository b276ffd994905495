"""How strong a cipher suite or an identity scheme is, and how it stands today: what is said of both alike.

Which of them a process then uses is for charter, label and configuration to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a suite or scheme stands today. Configuration and charter can only narrow.

    Recommended: take it if nothing speaks against it. Permitted: sound, with less than the recommended ones
    promise. Deprecated: on its way out, for those who have nothing better in common. Broken: never used,
    whatever charter and configuration say.
    """

    RECOMMENDED = "recommended"
    PERMITTED = "permitted"
    DEPRECATED = "deprecated"
    BROKEN = "broken"


@dataclass(frozen=True)
class Level:
    """Security claimed, against both kinds of attacker.

    :param classical: bits of work for an attacker without a quantum computer.
    :param quantum: NIST category (1, 2, 3 or 5; FIPS 203, appendix A) for one who has; 0 claims nothing.
    """

    classical: int
    quantum: int
