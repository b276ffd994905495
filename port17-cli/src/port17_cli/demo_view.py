"""The demonstration on a terminal: route, layers, timings and bytes, redrawn while it runs."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from port17_cli import output
from port17_cli.demo import Story, summary

FRAMES_PER_S = 12
LAYER_COLOURS = ("magenta", "cyan", "yellow", "blue", "red")
"""One per hop, from the entry on; as many as the longest circuit has hops."""
ROLES = {0: "entry: knows you, not where you go", 1: "middle: knows neither"}
EXIT_ROLE = "exit: knows where, not who"


def live(story: Story) -> Live:
    """A context that draws a story as it changes, and leaves its last state on the screen."""
    spinner = Spinner("dots")
    return Live(get_renderable=lambda: draw(story, spinner), refresh_per_second=FRAMES_PER_S)


def draw(story: Story, spinner: Spinner) -> RenderableType:
    """One frame."""
    stage: RenderableType = Text(story.stage, style="bold green" if story.true else "bold")
    if story.fetched is None:
        spinner.update(text=Text(story.stage, style="bold"))
        stage = spinner
    parts: list[RenderableType] = [stage]
    if story.route:
        parts += [Text(), _route(story)]
    elif story.pids:
        parts += [
            Text(),
            Text("running: " + ", ".join(f"{name} ({pid})" for name, pid in story.pids.items())),
        ]
    if story.received:
        parts += [Text(), _bytes(story)]
    if story.fetched is not None:
        parts += [Text(), *(Text(line) for line in summary(story))]
    return Panel(
        Group(*parts), title="Port17", subtitle="three hops, every byte in a layer per hop", padding=(1, 2)
    )


def _route(story: Story) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for head in ("", "process", "layers on what it sends on", ""):
        table.add_column(head)
    hops = len(story.route)
    table.add_row("client", _pid(story, "client"), _layers(0, hops), "wraps every byte once per hop")
    for place, name in enumerate(story.route):
        role = EXIT_ROLE if place == hops - 1 else ROLES[min(place, 1)]
        table.add_row(name, _pid(story, name), _layers(place + 1, hops), role)
    table.add_row("destination", "", Text("TLS, end to end", style="green"), "sees the exit alone")
    return table


def _pid(story: Story, name: str) -> str:
    return str(story.pids.get(name, ""))


def _layers(taken: int, hops: int) -> Text:
    """The layers that are still on, each in its hop's colour, around the TLS that stays."""
    text = Text()
    for hop in range(taken, hops):
        text.append("[", style=LAYER_COLOURS[hop % len(LAYER_COLOURS)])
    text.append(" TLS ", style="green")
    for hop in reversed(range(taken, hops)):
        text.append("]", style=LAYER_COLOURS[hop % len(LAYER_COLOURS)])
    return text


def _bytes(story: Story) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(
        ProgressBar(total=story.total, completed=story.received, width=40),
        f"{output.size(story.received)} of {output.size(story.total)}",
    )
    return table
