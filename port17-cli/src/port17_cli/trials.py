"""Which chart is judged by, and by whose rules: what ``port17 route judge`` and ``port17 promise`` have in
common."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from port17.config import ClientConfig
from port17.errors import ConfigError, UsageError
from port17_cli import situations

if TYPE_CHECKING:
    from collections.abc import Collection

    from port17.navigator.chart import Chart
    from port17.navigator.policy import Policies, SecurityLevel
    from port17.records.charter import Charter

SIMULATED: Final = "simulated:"
"""What a chart's name begins with that nobody has made."""
NONE: Final = "none"
"""Instead of a policy's name: only those that are always on."""
HOSTILE: Final = "hostile"
"""The name of the coalition of a simulated network's hostile nodes."""


@dataclass(frozen=True)
class Ground:
    """What is judged by.

    :param source: what the chart is called, for people.
    :param placed: somebody says where its nodes are.
    :param config: the client's; None if there is none.
    :param charter: its network's.
    """

    chart: Chart
    source: str
    placed: bool
    config: ClientConfig | None = None
    charter: Charter | None = None
    _options: dict[str, Any] = field(default_factory=dict)

    @property
    def specs(self) -> list[str]:
        """The policies of the configuration."""
        return [] if self.config is None else list(self.config.policies)

    @property
    def level(self) -> SecurityLevel:
        """The configuration's, or the usual one."""
        return "normal" if self.config is None else self.config.level

    @property
    def transports(self) -> Collection[str] | None:
        """Those that the client has; None where nobody says."""
        return None if self.config is None else sorted({"tcp", *self.config.transports})

    @property
    def hops(self) -> tuple[int, int]:
        """Nodes of a route, at least and at most, by the charter."""
        from port17.navigator.route import HOPS_CAP, HOPS_LEAST

        if self.charter is None:
            return HOPS_LEAST, HOPS_CAP
        return self.charter.current(time.time()).least_hops, self.charter.genesis.max_hops

    def policies(self, specs: Sequence[str]) -> Policies:
        """All policies together, made anew.

        :param specs: as the configuration has them, beside those that are always on.
        :raises ConfigError: one refuses its options.
        :raises PluginError: one is missing or broken.
        """
        from port17.plugins.families import ALWAYS_ON
        from port17.plugins.loader import Registry

        given = {} if self.config is None else self.config.policy_options
        options = {name: table for name, table in given.items() if name in specs or name in ALWAYS_ON}
        folder = Path.cwd() if self.config is None else self.config.folder
        return Registry().policies(list(specs), options, folder=folder, placed=self.placed)


@contextmanager
def ground(args: argparse.Namespace) -> Iterator[Ground]:
    """What a command's ``--config`` and ``--chart`` mean.

    :raises UsageError: neither is given, or they make no sense.
    :raises ConfigError: a file is missing or wrong.
    """
    if args.config is None:
        if args.chart is None:
            raise UsageError(
                "By which chart is not said.",
                cure="Give --config FILE, or --chart FILE, or --chart simulated:1000.",
            )
        chart = _named(args.chart, args.seed)
        yield Ground(chart, args.chart, _placed(chart))
        return
    with situations.network(args.config) as (config, network, _):
        if not isinstance(config, ClientConfig):
            raise ConfigError(
                f"{args.config} is a node's configuration, and policies are a client's.",
                cure="Give a client's.",
            )
        named = args.chart is not None
        chart = _named(args.chart, args.seed) if named else network.chart()
        placed = _placed(chart) if named else not network.atlas.is_empty
        yield Ground(chart, args.chart or args.config, placed, config, network.charter)


def chosen(names: Sequence[str]) -> list[str]:
    """Policies as they were named on the command line.

    :raises UsageError: some are, and none as well.
    """
    if NONE in names and len(names) > 1:
        raise UsageError(f"`{NONE}` and a policy contradict each other.", cure="Give either.")
    return [name for name in names if name != NONE]


def _placed(chart: Chart) -> bool:
    return any(node.places for node in chart)


def _named(name: str, seed: int) -> Chart:
    from port17.navigator import chart_file
    from port17.records.regular_file import read_regular

    if name.startswith(SIMULATED):
        return _simulated(name, seed)
    path = Path(name)
    try:
        data = read_regular(path, chart_file.FILE_CAP)
    except OSError as error:
        raise ConfigError(
            f"The chart {path} can't be read: {error.strerror}.",
            cure="Make one with `port17 route chart --out FILE`, or take --chart simulated:1000.",
        ) from error
    return chart_file.decode(data)


def _simulated(name: str, seed: int) -> Chart:
    """``simulated:NODES``, ``simulated:NODES:SHARE`` with so many percent hostile nodes, and
    ``simulated:NODES:SHARE:GROUP`` where these name a group."""
    from port17.navigator.simulated import Hostile, simulated_chart

    count, _, rest = name.removeprefix(SIMULATED).partition(":")
    share, _, group = rest.partition(":")
    try:
        nodes, percent = int(count), float(share or 0)
    except ValueError:
        nodes, percent = 0, -1.0
    if nodes < 1 or not 0.0 <= percent <= 100.0:
        raise UsageError(
            f"{name!r} is no simulated chart.",
            cure="Write simulated:1000, or simulated:1000:30 for 30 percent of hostile nodes.",
        )
    hostile = Hostile(percent / 100, group) if percent else None
    return simulated_chart(nodes, seed=seed, hostile=hostile)
