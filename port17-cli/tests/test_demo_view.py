"""The demonstration's picture at every stage: nothing missing, nothing that a narrow terminal breaks."""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.spinner import Spinner

from port17_cli.demo import Story
from port17_cli.demo_view import draw
from port17_cli.fetch import Fetched

PIDS = {"n1": 11, "n2": 12, "n3": 13, "client": 14}


def picture(story: Story, width: int = 100) -> str:
    console = Console(width=width, record=True, file=None, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(draw(story, Spinner("dots")))
    return captured.get()


@pytest.mark.parametrize("width", [40, 100])
def test_before_anything_is_known(width: int) -> None:
    assert "Making" in picture(Story(total=10, stage="Making"), width)


def test_the_layers_come_off_one_by_one() -> None:
    story = Story(total=100, stage="Fetching", route=["n3", "n1", "n2"], pids=PIDS, received=50)
    lines = picture(story).splitlines()
    layers = [
        next(line for line in lines if line.strip("│ ").startswith(name)).count("[")
        for name in ("client", "n3", "n1", "n2", "destination")
    ]
    assert layers == [3, 2, 1, 0, 0]
    assert any("50 B of 100 B" in line for line in lines)
    assert any("n1" in line and "11" in line and "middle" in line for line in lines)


@pytest.mark.parametrize(
    ("arrived", "said"), [("ab" * 32, "is what was sent"), ("cd" * 32, "IS NOT WHAT WAS SENT")]
)
def test_the_verdict(arrived: str, said: str) -> None:
    fetched = Fetched(arrived, 100, 0.001, 0.002, 0.003, 0.004)
    story = Story(total=100, route=["n3", "n1", "n2"], received=100, sent_digest="ab" * 32, fetched=fetched)
    assert said in picture(story)
    assert story.true is (said == "is what was sent")
