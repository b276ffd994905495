"""``port17 route chart``: the map that routes are searched on, as a file for others to judge by."""

from __future__ import annotations

import argparse
from pathlib import Path

from port17_cli import output


def chart(args: argparse.Namespace) -> int:
    """``port17 route chart``."""
    from port17.navigator import chart_file
    from port17.records.whole_file import write_whole
    from port17_cli import situations
    from port17_cli.charter import refuse_existing

    path = Path(args.out)
    if not args.force:
        refuse_existing(path)
    with situations.network(args.config) as (_, network, _):
        found = network.chart()
    data = chart_file.encode(found)
    write_whole(path, data)
    made = {
        "file": str(path.absolute()),
        "nodes": len(found),
        "left_out": len(found.left_out),
        "lanes": sum(len(node.lanes) for node in found) // 2,
        "bytes": len(data),
    }
    if args.json:
        print(output.document("port17.route.chart/1", made))
        return 0
    print(f"Chart: {path}")
    print(f"  {made['nodes']} nodes with {made['lanes']} lanes; {made['left_out']} known nodes are left out")
    print(f"  judge policies by it with `port17 route judge --chart {path}`")
    return 0
