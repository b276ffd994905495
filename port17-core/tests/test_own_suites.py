"""What becomes of installed suites under a charter: which are used, in what order, and why others are not."""

from __future__ import annotations

import hashlib
from typing import cast

import anyio
import pytest

from port17.errors import ConfigError
from port17.links.spare_keys import SpareKeys
from port17.navigator.agreement import agree
from port17.plugins.loader import Registry
from port17.plugins.own_suites import OwnSuites
from port17.records.framing import BytesLike
from port17.records.revision import Revision
from port17.wire.suite import CipherSuite, KemKey, Status

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


class Mute(ToySuite):
    name = "p17-0-toy-mute"

    def generate(self) -> KemKey:
        raise OSError("the card was pulled out")


class Deaf(ToySuite):
    name = "p17-0-toy-deaf"

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        return b"some other secret of 32 bytes..."


class Wide(ToySuite):
    name = "p17-0-toy-sha512"

    def hash(self, data: BytesLike) -> bytes:
        return hashlib.sha512(data).digest()


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


@pytest.mark.parametrize(
    ("faulty", "why"), [(Mute, "no keys (OSError)"), (Deaf, "differ"), (Wide, "32 bytes")]
)
def test_what_makes_no_keys_is_refused_before_anybody_needs_one(faulty: type[CipherSuite], why: str) -> None:
    choice = own(faulty, ToySuite).under(revision(faulty, ToySuite))
    assert list(choice.suites) == [ToySuite.name]
    assert why in choice.refused[faulty.name]
    with pytest.raises(ConfigError, match="can be used here") as refused:
        own(faulty).check(revision(faulty))
    assert why in refused.value.message
    assert "card" not in refused.value.message


def test_a_suite_that_fails_later_costs_nobody_else_a_key(caplog: pytest.LogCaptureFixture) -> None:
    mute, good = Mute(), ToySuite()

    async def run() -> None:
        keys = SpareKeys([mute, good])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keys.restock)
            await anyio.wait_all_tasks_blocked()
            assert keys.take(good).public
            with pytest.raises(OSError, match="pulled out"):
                keys.take(mute)
            tasks.cancel_scope.cancel()

    anyio.run(run)
    assert f"{Mute.name} makes no keys: OSError" in caplog.text
    assert "card" not in caplog.text


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
