"""What can be typed to judge policies and networks: ``port17 route judge`` and ``port17 promise``."""

from __future__ import annotations

from port17_cli.grammar import Groups, Parser, add_command, level, policies


def judge(groups: Groups) -> None:
    """``port17 route judge``, below ``port17 route``."""
    parser = add_command(
        groups,
        "judge",
        "judge:judge",
        "Show what policies do to routes: how well they hide, who sees both ends, how quick they are.",
    )
    _surroundings(parser)
    parser.add_argument(
        "--against",
        action="append",
        metavar="NAME",
        help="compare with this policy instead; repeat; `none` for those alone that are always on",
    )
    parser.add_argument(
        "--against-level", choices=["fast", "normal", "high"], help="compare with this security level"
    )
    parser.add_argument(
        "--coalition",
        nargs="+",
        action="append",
        default=[],
        metavar="SELECTOR",
        help="whose nodes work together, e.g. country:DE as:3320; repeat for another coalition",
    )
    parser.add_argument("--clients", type=int, metavar="N", help="clients with guards of their own (200)")
    to = parser.add_mutually_exclusive_group()
    to.add_argument("--destinations", type=int, metavar="N", help="usual destinations (20)")
    to.add_argument("--to", action="append", metavar="DEST", help="a destination; repeat")
    parser.add_argument("--svg", metavar="FILE", help="draw the map with the routes")


def promise(groups: Groups) -> None:
    """``port17 promise``."""
    parser = add_command(
        groups,
        "promise",
        "promise:promise",
        "Show what an attack on the network would cost, against what its charter promises.",
    )
    _surroundings(parser)
    parser.add_argument("--prices", metavar="FILE", help="an own price list (TOML)")
    parser.add_argument("--show-prices", action="store_true", help="print the price list and end")
    parser.add_argument("--limit", type=float, metavar="EUR", help="what an attack must cost (the charter's)")
    parser.add_argument("--months", type=int, default=12, metavar="N", help="longest attack, months (12)")
    parser.add_argument(
        "--chance",
        type=float,
        default=0.5,
        metavar="P",
        help="chance of hitting a client that counts as success (0.5)",
    )


def _surroundings(parser: Parser) -> None:
    """Which chart, and by whose rules."""
    parser.add_argument("--config", metavar="FILE", help="a client's configuration")
    parser.add_argument(
        "--chart",
        metavar="FILE",
        help="judge by this chart instead of the client's; simulated:N makes one of N nodes",
    )
    policies(parser)
    level(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is left to chance (0)")
