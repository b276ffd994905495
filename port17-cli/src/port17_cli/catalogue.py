"""Every installed cipher suite and identity scheme, and what each says of itself.

A broken one is an entry too. What a charter or a configuration makes of them is for others to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from port17.errors import Port17Error
from port17.plugins.families import CIPHER_SUITES, FAMILIES, IDENTITY_SCHEMES

if TYPE_CHECKING:
    from port17.plugins.loader import Registry
    from port17.records.scheme import IdentityScheme
    from port17.wire.suite import CipherSuite, Level

NAME_PARTS = 5
"""Parts of a suite's name that keeps to the rule: p17, version, KEM, AEAD, hash."""


@dataclass(frozen=True)
class Entry:
    """One suite or scheme.

    :param group: its entry-point group.
    :param dist: the distributions that offer it: one, unless it is there twice.
    :param claims: what it says of itself, for ``--json``; empty if it is broken.
    :param problem: what is wrong with it; empty if nothing.
    :param cure: what to do about it.
    """

    group: str
    name: str
    dist: str
    version: str
    claims: dict[str, Any]
    problem: str = ""
    cure: str = ""

    @property
    def noun(self) -> str:
        """What kind of thing it is, for people."""
        return FAMILIES[self.group].noun

    @property
    def works(self) -> bool:
        """Whether it can be used here."""
        return not self.problem

    def document(self) -> dict[str, Any]:
        """All of it, for ``--json``."""
        return {
            "name": self.name,
            **self.claims,
            "dist": self.dist,
            "version": self.version,
            "problem": self.problem,
            "cure": self.cure,
        }


def entries(registry: Registry, group: str) -> list[Entry]:
    """All that are installed of one group, by name; nothing that is wrong with one of them is raised."""
    return [entry(registry, group, name) for name in sorted(registry.names(group))]


def entry(registry: Registry, group: str, name: str) -> Entry:
    """One that is installed, whether it works or not."""
    offers = [found for found in registry.found(group) if found.name == name]
    dist = ", ".join(found.dist for found in offers)
    version = ", ".join(found.version for found in offers)
    try:
        driver = registry.make(group, name)
        claims = _suite(driver) if group == CIPHER_SUITES else _scheme(driver)
    except Port17Error as error:
        return Entry(group, name, dist, version, {}, error.message, error.cure)
    except Exception as error:  # noqa: BLE001 - a stranger's class: whatever it lacks is its row's problem
        problem = f"it does not say all that its contract asks for: {type(error).__name__}: {error}"
        return Entry(group, name, dist, version, {}, problem, f"Ask who made {dist} to mend it.")
    return Entry(group, name, dist, version, claims)


def find(registry: Registry, name: str) -> list[Entry]:
    """The suite, the scheme, or both, of a name."""
    return [
        entry(registry, group, name)
        for group in (CIPHER_SUITES, IDENTITY_SCHEMES)
        if name in registry.names(group)
    ]


def _suite(suite: CipherSuite) -> dict[str, Any]:
    return {
        "status": str(suite.status),
        "parts": parts(suite.name),
        "confidentiality": _level(suite.confidentiality),
        "public_key_size": suite.public_size,
        "ciphertext_size": suite.ciphertext_size,
        "stream_cipher": suite.stream_cipher,
        "source": suite.source,
    }


def _scheme(scheme: IdentityScheme) -> dict[str, Any]:
    return {
        "status": str(scheme.status),
        "parts": list(scheme.algorithms),
        "authentication": _level(scheme.authentication),
        "public_key_size": sum(len(key) for _, key in scheme.generate().public),
        "signature_size": scheme.signature_size,
        "source": scheme.source,
    }


def _level(level: Level) -> dict[str, int]:
    return {"classical": level.classical, "quantum": level.quantum}


def parts(name: str) -> dict[str, str]:
    """KEM, AEAD and hash of a suite, by its name; empty if the name does not keep to the rule."""
    words = name.split("-")
    return dict(zip(("kem", "aead", "hash"), words[2:], strict=True)) if len(words) == NAME_PARTS else {}
