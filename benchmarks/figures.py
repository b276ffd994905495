"""What is measured, what must hold of it, and the table that says whether it does."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

OURS, TUNED, SHIPPED = "port17", "tor-tuned", "tor"
"""The peers by name."""
IDLE_MIB = 70.0
"""Most resident memory of an idle node, MiB."""
GROWTH_MIB = 4.0
"""Most that a process's memory may differ by at a soak's end, MiB: an allocator's arenas come and go by 1 MiB
each; a leak of one byte in a thousand carried would be ten of these over 10 GiB."""


@dataclass(frozen=True)
class Figure:
    """One row.

    :param key: its name in a repeat.
    :param more: more is better.
    :param floors: by peer, the ratio to it that must be reached.
    :param goals: by peer, the ratio that is wished for.
    """

    key: str
    title: str
    unit: str
    more: bool = False
    floors: dict[str, float] = field(default_factory=dict)
    goals: dict[str, float] = field(default_factory=dict)

    def met(self, ratio: float, floor: float) -> bool:
        """Whether a ratio reaches a floor."""
        return ratio >= floor if self.more else ratio <= floor


FIGURES = (
    Figure("down_mb_s", "download, one stream", "MB/s", True, {TUNED: 2.0}, {TUNED: 4.0}),
    Figure("par_mb_s", "download, eight streams", "MB/s", True, {TUNED: 2.0}, {TUNED: 4.0}),
    Figure("par_iso_mb_s", "download, eight circuits", "MB/s", True),
    Figure("up_mb_s", "upload, one stream", "MB/s", True, {TUNED: 2.0}, {TUNED: 4.0}),
    Figure("cpu_s_gib", "CPU, client and route", "s/GiB", False, {TUNED: 0.6}, {TUNED: 1 / 3}),
    Figure("all_cpu_s_gib", "CPU, all five nodes", "s/GiB"),
    Figure("ping_p50_ms", "echo of one byte, p50", "ms", False, {TUNED: 4.0, SHIPPED: 0.3}),
    Figure("ping_p95_ms", "echo of one byte, p95", "ms"),
    Figure("load_ping_p50_ms", "echo in a download, p50", "ms"),
    Figure("open_p50_ms", "open to first byte, p50", "ms", False, {TUNED: 1.5}),
    Figure("build_p50_ms", "fresh circuit, p50", "ms", False, {TUNED: 1.0}),
    Figure("whole_p50_ms", "  with the client's work", "ms"),
)


@dataclass(frozen=True)
class Report:
    """All that one run measured.

    :param rows: by peer, each repeat's figures.
    :param idle_mib: resident memory by process before any load, MiB.
    :param soaked: memory by process along the soak, if there was one.
    """

    rows: dict[str, list[dict[str, float]]]
    idle_mib: dict[str, float]
    soaked: list[dict[str, float]]

    def median(self, peer: str, key: str) -> float:
        """Over the repeats that have the figure; not a number if none has."""
        return _median(row[key] for row in self.rows[peer] if key in row)

    def ratio(self, peer: str, key: str) -> float:
        """Ours to a peer's: the median of the repeats' own ratios."""
        pairs = zip(self.rows[OURS], self.rows[peer], strict=True)
        return _median(ours[key] / theirs[key] for ours, theirs in pairs if key in ours and key in theirs)

    def lines(self) -> Iterator[str]:
        """The table, for people."""
        yield f"{'':26}{'unit':>6}{OURS:>10}{TUNED:>11}{SHIPPED:>9}   to {TUNED:<25}to {SHIPPED}"
        for figure in FIGURES:
            cells = [f"{self.median(peer, figure.key):.4g}" for peer in (OURS, TUNED, SHIPPED)]
            yield (
                f"{figure.title:26}{figure.unit:>6}{cells[0]:>10}{cells[1]:>11}{cells[2]:>9}"
                f"   {self._verdict(figure, TUNED):<28}{self._verdict(figure, SHIPPED)}"
            ).rstrip()
        split = ", ".join(
            f"{part} {self.median(OURS, f'{part}_cpu_s_gib'):.3g}"
            for part in ("client", "entry", "middle", "exit")
        )
        yield f"CPU s/GiB by process: {split}"
        others = [row["down_other_cores"] for rows in self.rows.values() for row in rows]
        yield f"cores busy with something else during the downloads: {statistics.median(others):.2f} (p50)"
        nodes = [mib for name, mib in self.idle_mib.items() if name != "client"]
        yield (
            f"resident memory per idle node: {max(nodes):.1f} MiB at most (floor {IDLE_MIB:g}:"
            f" {_met(max(nodes) <= IDLE_MIB)}); client {self.idle_mib['client']:.1f} MiB"
        )
        if self.soaked:
            first, last = self.soaked[0], self.soaked[-1]
            growth = {name: round(last[name] - first[name], 1) for name in first if name != "mib"}
            yield (
                f"growth over {last['mib'] / 1024:g} GiB, MiB: {growth}"
                f" (floor {GROWTH_MIB:g}: {_met(max(growth.values()) <= GROWTH_MIB)})"
            )

    def _verdict(self, figure: Figure, peer: str) -> str:
        ratio = self.ratio(peer, figure.key)
        floor = figure.floors.get(peer)
        if floor is None:
            return f"{ratio:.2f}x"
        return f"{ratio:.2f}x (floor {floor:g}: {_met(figure.met(ratio, floor))})"

    def document(self) -> dict[str, Any]:
        """Everything, for programs."""
        ratios = {
            figure.key: {
                peer: {
                    "ratio": self.ratio(peer, figure.key),
                    "floor": figure.floors.get(peer),
                    "goal": figure.goals.get(peer),
                    "met": figure.met(self.ratio(peer, figure.key), figure.floors[peer])
                    if peer in figure.floors
                    else None,
                }
                for peer in (TUNED, SHIPPED)
            }
            for figure in FIGURES
        }
        return {"ratios": ratios, "rows": self.rows, "idle_mib": self.idle_mib, "soak": self.soaked}


def _median(values: Iterable[float]) -> float:
    found = list(values)
    return statistics.median(found) if found else math.nan


def _met(met: bool) -> str:
    return "met" if met else "MISSED"
