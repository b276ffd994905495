"""docs/suites.md says of every installed suite and scheme what it says of itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from port17.plugins.loader import Registry
from port17.records.level import Level, Status
from port17_cli import catalogue, drivers

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "suites.md"
ROW = re.compile(r"^\| `([a-z0-9-]+)`( \(default\))? \| (.+) \|$", re.MULTILINE)
SUITES, SCHEMES = "port17.cipher_suites", "port17.identity_schemes"

registry = Registry()


def table(first: str) -> dict[str, list[str]]:
    """The rows of the table whose first column is called so: name to the other cells."""
    text = DOCUMENT.read_text()
    body = text[text.index(f"| {first} | status |") :].split("\n\n", 1)[0]
    rows = {match[1]: match[3].split(" | ") for match in ROW.finditer(body)}
    assert len(rows) == len(body.splitlines()) - 2, "a row that is not understood, or there twice"
    return rows


def level(claimed: Level) -> list[str]:
    return [f"{claimed.classical} bits", f"category {claimed.quantum}" if claimed.quantum else "none"]


def test_every_suite_is_there_as_it_is() -> None:
    rows = table("cipher suite")
    assert sorted(rows) == sorted(registry.names(SUITES))
    for name, cells in rows.items():
        suite = registry.make(SUITES, name)
        assert cells == [
            str(suite.status),
            *level(suite.confidentiality),
            str(suite.public_size),
            str(suite.ciphertext_size),
            "yes" if suite.stream_cipher else "no",
            catalogue.entry(registry, SUITES, name).dist,
        ], name


def test_every_scheme_is_there_as_it_is() -> None:
    rows = table("identity scheme")
    assert sorted(rows) == sorted(registry.names(SCHEMES))
    for name, cells in rows.items():
        scheme = registry.make(SCHEMES, name)
        assert cells == [
            str(scheme.status),
            *level(scheme.authentication),
            str(sum(len(key) for _, key in scheme.generate().public)),
            str(scheme.signature_size),
            catalogue.entry(registry, SCHEMES, name).dist,
        ], name


def test_the_defaults_are_what_the_commands_take() -> None:
    defaults = [match[1] for match in ROW.finditer(DOCUMENT.read_text()) if match[2]]
    assert defaults == [drivers.USUAL_SUITE, drivers.USUAL_SCHEME]


@pytest.mark.parametrize("name", registry.names(SUITES))
def test_every_part_of_a_name_is_explained(name: str) -> None:
    text = DOCUMENT.read_text()
    for part in catalogue.parts(name).values():
        assert re.search(rf"^\|[^|]*`{part}`", text, re.MULTILINE), part


def test_every_status_is_explained() -> None:
    text = DOCUMENT.read_text()
    for status in Status:
        assert f"\n| {status} | " in text
