"""Which suite two ends use: checked against what the rule says, over every small case and many large ones."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import RecordError
from port17.navigator.agreement import agree, preference
from port17.records.revision import Revision

NAMES = [f"s{number}" for number in range(6)]
some = st.lists(st.sampled_from(NAMES), unique=True)


def revision(suites: list[str], deprecated: list[str]) -> Revision:
    return Revision.made(not_before=0, suites=suites, schemes=["test"], deprecated=deprecated)


@st.composite
def revisions(draw: st.DrawFn) -> Revision:
    suites = draw(some.filter(bool))
    return revision(suites, draw(st.lists(st.sampled_from(suites), unique=True)))


@given(revisions(), some, st.frozensets(st.sampled_from(NAMES)))
@settings(max_examples=300)
def test_it_is_the_best_that_all_three_allow(terms: Revision, served: list[str], own: frozenset[str]) -> None:
    agreement = agree(terms, served, own)
    common = [name for name in terms.suites if name in served and name in own]
    lasting = [name for name in common if name not in terms.deprecated]
    assert agreement.suite == next(iter([*lasting, *common]), None)
    taken = [verdict.name for verdict in agreement.verdicts if verdict.taken]
    assert taken == ([] if agreement.suite is None else [agreement.suite])
    names = [verdict.name for verdict in agreement.verdicts]
    assert names[: len(terms.suites)] == list(preference(terms))
    assert sorted(names) == sorted({*terms.suites, *served, *own}), "each once, and none left out"
    assert all(verdict.reason for verdict in agreement.verdicts)
    # Neither end's order says anything, and asking again gives the same.
    assert agree(terms, sorted(served), sorted(own)).suite == agreement.suite
    assert agree(terms, served[::-1], sorted(own, reverse=True)).suite == agreement.suite


@given(revisions(), some, st.frozensets(st.sampled_from(NAMES)), st.sampled_from(NAMES))
@settings(max_examples=200)
def test_what_is_taken_away_never_brings_anything_better(
    terms: Revision, served: list[str], own: frozenset[str], gone: str
) -> None:
    """And what is taken away leaves the choice alone unless it was the choice."""
    before = agree(terms, served, own).suite
    order = preference(terms)
    for after in (
        agree(terms, [name for name in served if name != gone], own).suite,
        agree(terms, served, own - {gone}).suite,
    ):
        if before != gone:
            assert after == before
        elif after is not None:
            assert order.index(after) > order.index(gone)


def test_a_deprecated_suite_is_for_want_of_any_other() -> None:
    terms = revision(["a", "b", "c"], ["a"])
    assert preference(terms) == ("b", "c", "a")
    for served in itertools.permutations("abc"):
        assert agree(terms, served, {"a", "c"}).suite == "c"
    agreement = agree(terms, ["a"], {"a", "b"})
    assert agreement.suite == "a"
    assert [(verdict.name, verdict.reason) for verdict in agreement.verdicts] == [
        ("b", "the node does not serve it"),
        ("c", "the node does not serve it"),
        ("a", "the best that charter, node and configuration allow, though it is deprecated"),
    ]


def test_the_reasons_say_who_narrowed() -> None:
    agreement = agree(
        revision(["a", "b", "c", "d"], ["d"]),
        ["a", "b", "c", "d", "x"],
        {"b", "c", "d", "y"},
        why_not_own={"a": "it is not installed here"},
    )
    assert {verdict.name: verdict.reason for verdict in agreement.verdicts} == {
        "a": "it is not installed here",
        "b": "the best that charter, node and configuration allow",
        "c": "the charter prefers b",
        "d": "it is deprecated, and there is b",
        "x": "the charter does not allow it",
        "y": "the charter does not allow it",
    }


def test_only_what_is_allowed_can_be_deprecated() -> None:
    with pytest.raises(RecordError, match="deprecated that is not allowed"):
        revision(["a"], ["b"])
    with pytest.raises(RecordError, match="twice"):
        revision(["a"], ["a", "a"])
