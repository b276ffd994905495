"""What becomes of installed suites under a charter: which are used, in what order, and why others are not."""

from __future__ import annotations

from typing import cast

import pytest

from port17.navigator.agreement import agree
from port17.plugins.loader import Registry
from port17.plugins.own_suites import OwnSuites
from port17.records.revision import Revision
from port17.wire.suite import CipherSuite, Status

from .wire_suites import ToySuite


class Siv(ToySuite):
    name = "p17-0-toy-siv"
    stream_cipher = False


class Aged(ToySuite):
    name = "p17-0-toy-aged"
    status = Status.DEPRECATED


class Broken(ToySuite):
    name = "p17-0-toy-broken"
    status = Status.BROKEN


class Installed:
    """As much of a registry as is asked here."""

    def __init__(self, *suites: type[CipherSuite]) -> None:
        self._suites = {suite.name: suite for suite in suites}

    def names(self, group: str) -> list[str]:
        return list(self._suites)

    def make(self, group: str, name: str) -> CipherSuite:
        return self._suites[name]()


def own(*suites: type[CipherSuite]) -> OwnSuites:
    return OwnSuites(cast("Registry", Installed(*suites)))


def revision(*suites: type[CipherSuite], deprecated: tuple[type[CipherSuite], ...] = ()) -> Revision:
    return Revision.made(
        not_before=0,
        suites=[suite.name for suite in suites],
        schemes=["test"],
        deprecated=[suite.name for suite in deprecated],
    )


@pytest.mark.parametrize(("unusable", "why"), [(Siv, "no stream cipher"), (Broken, "its status is broken")])
def test_what_no_circuit_can_use_is_refused_and_says_why(unusable: type[CipherSuite], why: str) -> None:
    terms = revision(unusable, ToySuite)
    choice = own(unusable, ToySuite).under(terms)
    assert list(choice.suites) == [ToySuite.name]
    assert why in choice.refused[unusable.name]
    assert agree(terms, [unusable.name, ToySuite.name], choice.suites).suite == ToySuite.name


def test_a_suite_that_its_author_deprecates_is_for_want_of_any_other() -> None:
    both = own(Aged, ToySuite).under(revision(Aged, ToySuite))
    assert list(both.suites) == [ToySuite.name, Aged.name], "best first"
    assert agree(both.terms, [Aged.name, ToySuite.name], both.suites).suite == ToySuite.name
    agreed = agree(both.terms, [Aged.name], both.suites)
    assert agreed.suite == Aged.name
    assert "deprecated" in agreed.verdicts[-1].reason
    alone = own(Aged).under(revision(Aged, ToySuite))
    assert list(alone.suites) == [Aged.name]


def test_charter_and_author_deprecate_alike() -> None:
    terms = revision(Aged, ToySuite, deprecated=(ToySuite,))
    choice = own(Aged, ToySuite).under(terms)
    assert set(choice.terms.deprecated) == {Aged.name, ToySuite.name}
    assert list(choice.suites) == [Aged.name, ToySuite.name], "the charter's order decides between the two"
    assert own(ToySuite).under(terms).terms == terms
