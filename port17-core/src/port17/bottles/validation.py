"""What bottle validators are told beside the bottle, and who asks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from port17.bottles.verdict import Verdict
from port17.records.bottle import CLOCK_SKEW_S, Bottle
from port17.records.scheme import IdentityScheme
from port17.wire.suite import CipherSuite


@dataclass(frozen=True)
class Terms:
    """What holds in the network at the moment of asking.

    :param network_id: 32 bytes.
    :param schemes: the identity schemes that the charter allows and that are installed.
    :param now_s: Unix time, seconds.
    :param skew_s: how far a signer's clock may be ahead, seconds.
    :param suites: the cipher suites that this process may use, whose keys it can tell from noise.
    :param allow_private: public bottles may advertise addresses that are not public.
    """

    network_id: bytes
    schemes: Mapping[str, IdentityScheme]
    now_s: float
    skew_s: float = CLOCK_SKEW_S
    suites: Mapping[str, CipherSuite] = field(default_factory=dict)
    allow_private: bool = False


@dataclass(frozen=True)
class Known:
    """What is known of a node beside its bottle.

    :param now_s: Unix time, seconds.
    :param name_holder: fingerprint of the node that holds the bottle's PortName once this bottle's claim has
        been counted too; None if nobody does.
    :param allow_private: public bottles may advertise addresses that are not public; True also where nobody
        knows.
    :param unreachable: why the node is not where the bottle says, as found by dialling; empty if nothing
        speaks against it.
    """

    now_s: float = 0.0
    name_holder: bytes | None = None
    unreachable: str = ""
    allow_private: bool = True


NOTHING_KNOWN: Final = Known()
"""Of a bottle that is looked at by itself, as a command does."""


class Validators(Protocol):
    """All bottle validators together."""

    def verify_bottle(self, bottle: Bottle, terms: Terms) -> Verdict:
        """Is it what it claims to be?"""

    def judge_bottle(self, bottle: Bottle, known: Known = NOTHING_KNOWN) -> Verdict:
        """What is to become of it?"""
