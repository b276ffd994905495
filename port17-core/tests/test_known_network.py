"""What a process knows of its network while charter, clock and bottles change under it."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17 import renewals
from port17.bottles.gossip_events import Forgotten
from port17.bottles.rack import Racked
from port17.errors import ConfigError, PluginError
from port17.navigator.agreement import Standing, standing
from port17.network import GRACE_CAP_S, KnownNetwork
from port17.records.revision import Revision
from port17.watching import Watch
from port17.wire.suite import Status
from port17_crypto.suites import X25519ChaCha20Poly1305Blake2s

from .amended_network import BEGUN, X25519, XWING, Amended

WATCH_S = 20.0
"""How long what takes some looks may take, seconds."""


@pytest.fixture
def net(tmp_path: Path) -> Amended:
    return Amended(tmp_path)


def look(known: KnownNetwork) -> None:
    anyio.run(known.look_again)


def seqs(known: KnownNetwork) -> tuple[int, ...]:
    return known.transcript().revisions


def test_a_new_revision_holds_without_a_restart(net: Amended) -> None:
    known = net.known()
    before = known.version
    assert (list(known.suites), seqs(known)) == ([X25519], (0,))
    look(known)
    assert known.version == before, "nothing has changed"
    net.amend(suites=[XWING, X25519])
    look(known)
    assert known.version != before
    assert (list(known.suites), seqs(known)) == ([XWING, X25519], (1, 0))


def test_who_goes_by_the_hundred_is_thought_over_together(
    net: Amended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewals, "FREE_S", -1.0)
    monkeypatch.setattr(renewals, "SHARE", 1e-9)
    known = net.known()
    before = known.version
    known._told(Forgotten(bytes(32)))
    assert known.version == before + 1, "at once"
    for number in range(200):
        known._told(Forgotten(number.to_bytes(32, "big")))
        assert known.revision
    assert known.version - before <= renewals.AT_ONCE_BURST + 1


def test_a_coming_revision_holds_by_the_clock_alone(net: Amended) -> None:
    known = net.known()
    net.amend(suites=[XWING], not_before=int(net.now) + 1000, overlap_s=300)
    look(known)
    assert (list(known.suites), list(known.served), seqs(known)) == ([X25519], [X25519], (0,))
    assert set(known.prepared) == {X25519, XWING}, "prekeys are made ahead"
    assert known.until_change_s() == 1000
    net.file.unlink()
    net.now += 880
    assert (list(known.suites), seqs(known)) == ([X25519], (0, 1)), "a peer's clock may be ahead"
    assert set(known.served) == {X25519, XWING}
    before = known.version
    net.now += 120
    assert known.version != before
    assert (list(known.suites), seqs(known)) == ([XWING], (1, 0))
    assert set(known.served) == {X25519, XWING}, "peers that are late"
    assert known.until_change_s() == 300
    net.now += 300
    assert (list(known.served), seqs(known)) == ([XWING], (1,))


def test_two_amendments_within_an_overlap_cut_nobody_off(net: Amended) -> None:
    net.amend(suites=[XWING, X25519])
    net.now += 20
    net.amend(deprecated=[X25519], not_before=int(net.now) + 10)
    net.now += 20
    known = net.known()
    assert seqs(known) == (2, 1, 0), "who missed the first amendment is as late as its overlap allows"
    assert known.until_change_s() == 3600 - 40
    net.now += 3600 - 40
    assert seqs(known) == (2, 1)
    assert known.until_change_s() == 30


def test_a_clock_that_is_set_back_takes_nothing_back(net: Amended) -> None:
    known = net.known()
    net.amend(suites=[XWING])
    look(known)
    assert seqs(known) == (1, 0)
    net.now -= 4000
    assert net.now > BEGUN
    assert (known.revision.seq, list(known.suites)) == (1, [XWING])


def test_a_wrong_file_is_logged_and_changes_nothing(net: Amended, caplog: pytest.LogCaptureFixture) -> None:
    older = net.charter
    net.amend(suites=[XWING, X25519])
    known = net.known()
    before = known.version
    with caplog.at_level(logging.ERROR):
        older.dump(net.file)
        look(known)
        look(known)
        net.file.write_bytes(b"nonsense")
        look(known)
    assert known.version == before
    assert (list(known.suites), known.revision.seq) == ([XWING, X25519], 1)
    first, second = (record.getMessage() for record in caplog.records)
    assert "revision 1 was seen already; revision 1 stays" in first
    assert "revision 1 stays" in second
    older.dump(net.file)
    assert net.known().revision.seq == 1, "nor does a restart"


def test_bottles_come_and_go(net: Amended, caplog: pytest.LogCaptureFixture) -> None:
    known = net.known()
    _, bottle = net.node()
    look(known)
    assert [node.name for node in known.chart()] == ["ash"]
    file = net.bottles / f"{bottle.node_id}.bottle"
    file.write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING):
        look(known)
        look(known)
    assert len(caplog.records) == 1
    assert file.name in caplog.text
    assert [node.name for node in known.chart()] == ["ash"]
    file.unlink()
    before = known.version
    look(known)
    assert known.version != before
    assert not known.chart().nodes
    net.bottles.rmdir()
    look(known)
    look(known)
    assert caplog.text.count("can't be read") == 1


def test_the_standing_of_what_is_in_use(net: Amended) -> None:
    _, bottle = net.node()
    known = net.known()
    assert known.standing(bottle.fingerprint, X25519) is Standing.GOOD
    assert known.standing(bytes(32), X25519) is Standing.FORBIDDEN, "nobody knows that node"
    net.amend(suites=[XWING, X25519])
    look(known)
    assert known.standing(bottle.fingerprint, X25519) is Standing.GOOD, "the node has nothing better yet"
    net.amend(suites=[XWING])
    look(known)
    assert known.standing(bottle.fingerprint, X25519) is Standing.FORBIDDEN
    (left_out,) = known.chart().left_out
    assert left_out.reason == "serves no cipher suite that the charter allows"


NAMES = ["a", "b", "c"]
SOME = st.lists(st.sampled_from(NAMES), unique=True)


@given(SOME.filter(bool), SOME, st.none() | SOME, SOME, st.sampled_from(NAMES))
@settings(max_examples=150)
def test_standing_by_its_rule(
    allowed: list[str], deprecated: list[str], served: list[str] | None, own: list[str], used: str
) -> None:
    deprecated = [name for name in deprecated if name in allowed]
    terms = Revision.made(not_before=0, suites=allowed, deprecated=deprecated, schemes=["x"])
    found = standing(terms, served, own, used)
    common = [name for name in allowed if name in (served or ()) and name in own]
    best = next(iter([name for name in common if name not in deprecated] + common), None)
    if served is None or used not in allowed or used not in own:
        assert found is Standing.FORBIDDEN
    else:
        assert found is (Standing.GOOD if used == best else Standing.SUPERSEDED)


def test_the_grace_is_the_overlap_within_bounds(net: Amended) -> None:
    known = net.known()
    assert known.grace_s == GRACE_CAP_S
    net.amend(overlap_s=20)
    look(known)
    assert known.grace_s == 20


def test_a_responder_has_the_agreed_suite_or_none(net: Amended) -> None:
    net.amend(suites=[XWING, X25519])
    net.node()
    known = net.known()
    (node,) = known.chart()
    assert (node.suite, node.suites) == (XWING, (XWING, X25519))
    to = known.responder(node)
    assert to is not None
    assert to.suite.name == XWING
    bottle = known.rack.get(node.fingerprint)
    assert bottle is not None
    known.rack.write([Racked(replace(bottle, bundle=[one for one in bottle.bundle if one.suite == X25519]))])
    assert known.responder(node) is None
    narrowed = net.known(net.client(suites=[X25519]))
    (node,) = narrowed.chart()
    to = narrowed.responder(node)
    assert to is not None
    assert to.suite.name == X25519


def test_a_configured_suite_that_is_not_allowed_any_more(
    net: Amended, caplog: pytest.LogCaptureFixture
) -> None:
    net.amend(suites=[XWING, X25519])
    config = net.client(suites=[X25519, XWING])
    known = net.known(config)
    assert list(known.suites) == [XWING, X25519], "the order is the charter's"
    net.amend(suites=[XWING])
    look(known)
    assert list(known.suites) == [XWING]
    with caplog.at_level(logging.WARNING):
        assert list(net.known(config).suites) == [XWING]
    assert f"does not allow the cipher suite {X25519}" in caplog.text
    lone = net.client(suites=[X25519])
    with pytest.raises(ConfigError, match=f"does not allow the cipher suite {X25519}") as refused:
        net.known(lone)
    assert f"the charter allows {XWING}" in refused.value.cure


def test_a_process_that_is_left_without_a_suite_goes_on(
    net: Amended, caplog: pytest.LogCaptureFixture
) -> None:
    net.node()
    known = net.known(net.client(suites=[X25519]))
    net.amend(suites=[XWING])
    with caplog.at_level(logging.ERROR):
        look(known)
        look(known)
    assert not known.suites
    assert caplog.text.count("nothing can be begun") == 1
    net.amend(suites=[XWING, X25519])
    look(known)
    assert [node.suite for node in known.chart()] == [X25519]


def test_what_is_not_installed_or_too_weak_is_refused_with_the_reason(net: Amended) -> None:
    net.amend(suites=["p17-1-nobody-has", X25519, XWING], quantum_category=1)
    known = net.known()
    assert list(known.suites) == [XWING]
    net.amend(suites=["p17-1-nobody-has"])
    with pytest.raises(ConfigError, match="p17-1-nobody-has: it is not installed here") as refused:
        net.known()
    assert "Install" in refused.value.cure
    net.amend(suites=[X25519], quantum_category=1)
    with pytest.raises(ConfigError, match="below the least level"):
        net.known()


def test_a_scheme_that_is_forbidden_takes_its_bottles_along(net: Amended) -> None:
    _, bottle = net.node()
    known = net.known()
    net.amend(schemes=["ed25519-mldsa65"])
    look(known)
    look(known)
    assert known.rack.get(bottle.fingerprint) is None
    net.amend(schemes=["ed25519-mldsa65", "ed25519"])
    look(known)
    assert known.rack.get(bottle.fingerprint) is not None, "the same file counts again"


def test_watching_tells_of_files_and_of_the_clock(net: Amended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("port17.watching.LOOK_S", 0.01)
    known = net.known()

    async def watch() -> None:
        told, tell = anyio.create_memory_object_stream[int](100)
        async with anyio.create_task_group() as tasks, told, tell:
            watched = Watch(known)
            watched.tell(lambda: told.send_nowait(known.revision.seq))
            watched.start(tasks)
            await anyio.sleep(0.1)
            assert not tell.statistics().current_buffer_used
            net.amend(not_before=int(net.now) + 1000)
            assert await tell.receive() == 0, "there is a revision, and it does not hold yet"
            net.now += 1000
            assert await tell.receive() == 1
            net.file.write_bytes(b"damaged")
            _, bottle = net.node("late")
            assert await tell.receive() == 1
            assert known.rack.get(bottle.fingerprint) is not None
            tasks.cancel_scope.cancel()

    async def in_time() -> None:
        with anyio.fail_after(WATCH_S):
            await watch()

    anyio.run(in_time)


def test_the_rack_is_kept_where_the_configuration_says(net: Amended) -> None:
    net.amend(suites=[X25519])
    _, ash = net.node("ash")
    _, elm = net.node("elm")
    config = net.client(rack={"store": "sqlite", "options": {"path": "others/rack"}})
    with closing(net.known(config)) as known:
        assert {bottle.label.name for bottle in known.rack} == {"ash", "elm"}
        assert {node.name for node in known.chart()} == {"ash", "elm"}
        file = net.folder / "client-state" / "others" / "rack"
        assert file.exists()
        with pytest.raises(ConfigError, match="another process has the rack"):
            net.known(config)
    # What was learned stays known, whoever takes the file away while nobody looks.
    (net.bottles / f"{elm.node_id}.bottle").unlink()
    with closing(net.known(config)) as known:
        assert {bottle.fingerprint for bottle in known.rack} == {ash.fingerprint, elm.fingerprint}
        assert known.handed == {one.hash for one in ash.bundle}
    assert {found.name for found in file.parent.iterdir()} == {"rack"}, "it was closed"


def test_a_rack_that_cannot_be_used_keeps_the_process_from_starting(net: Amended) -> None:
    with pytest.raises(PluginError, match="sqlight"):
        net.known(net.client(rack={"store": "sqlight"}))
    with pytest.raises(ConfigError, match="paht"):
        net.known(net.client(rack={"store": "sqlite", "options": {"paht": "x"}}))
    config = net.client(rack={"store": "sqlite"})
    with pytest.raises(ConfigError, match="folder of bottles"):
        net.known(config.model_copy(update={"bottles": net.folder / "none"}))
    net.known(config).close()


def test_a_suite_that_its_author_deprecates_is_chosen_last(
    net: Amended, monkeypatch: pytest.MonkeyPatch
) -> None:
    net.amend(suites=[X25519, XWING])
    net.node()
    (node,) = net.known().chart()
    assert node.suite == X25519
    monkeypatch.setattr(X25519ChaCha20Poly1305Blake2s, "status", Status.DEPRECATED)
    known = net.known()
    (node,) = known.chart()
    responder = known.responder(node)
    assert responder is not None
    assert (node.suite, responder.suite.name) == (XWING, XWING)
    assert known.standing(node.fingerprint, X25519) is Standing.SUPERSEDED
    assert not known.revision.deprecated, "the charter says nothing of the kind"
