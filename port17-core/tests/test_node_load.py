"""What a node says of its load."""

from __future__ import annotations

from port17.node.load import Load, ProcessorShare


def test_the_scarcest_counts_on_average_and_coarsely() -> None:
    shares = [0.1, 0.6, 0.3]
    load = Load([lambda at=at: shares[at] for at in range(3)])  # type: ignore[misc]
    said = [load.look() for _ in range(40)]
    assert said[0] == 100
    assert said == sorted(said)
    assert said[-1] == 600
    assert all(one % 50 == 0 for one in said)
    shares[:] = [0.0, 0.0, 0.0]
    assert [load.look() for _ in range(40)][-1] == 0


def test_more_than_all_is_all() -> None:
    load = Load([lambda: 7.0])
    assert max(load.look() for _ in range(60)) == 1000


def test_the_share_of_a_processor_is_since_it_was_last_asked() -> None:
    clock, used = iter([0.0, 10.0, 20.0, 20.0, 30.0]), iter([0.0, 5.0, 5.0, 5.0, 25.0])
    share = ProcessorShare(lambda: next(clock), lambda: next(used))
    assert [share() for _ in range(4)] == [0.5, 0.0, 0.0, 1.0]
