"""Which addresses an exit connects to: its rules, and before them the refusal of whatever is not public.

Decides on resolved addresses, since a name says nothing about where it leads; resolving is the exit's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from port17.records.exit_rules import ExitRules
from port17.records.ip_space import Address, embedded_ipv4, is_public


@dataclass(frozen=True, slots=True)
class ExitPolicy:
    """What an exit lets out.

    :param rules: the first match wins; what none matches is refused.
    :param allow_private: True leaves everything to the rules, addresses that are not public included.
    """

    rules: ExitRules
    allow_private: bool = False

    @classmethod
    def parse(cls, lines: Iterable[str], *, allow_private: bool = False) -> ExitPolicy:
        """The policy of a configuration's list of rules.

        :raises RecordError: a line is no rule.
        """
        return cls(ExitRules.parse(lines), allow_private)

    def allows(self, host: str, port: int, address: Address) -> bool:
        """Whether the exit may connect to an address that a host resolved to.

        An address that stands for an IPv4 one is judged as both, and both must be allowed: a rule about
        IPv4 cannot be walked around through a translator or a tunnel.

        :param host: as the client asked; for the rules about names alone.
        """
        meant = [address, *embedded_ipv4(address)]
        if not self.allow_private and not all(is_public(form) for form in meant):
            return False
        return all(self.rules.allows(host, port, form) for form in meant)
