"""What can be typed: commands, flags and their help. What each does is in the module that its handler names.

A handler is named by a string and imported when it is chosen.
"""

from __future__ import annotations

import argparse
from typing import NoReturn

from port17_cli import judge_parser, record_parser
from port17_cli.grammar import (
    Groups,
    Parser,
    add_command,
    add_group,
    config_file,
    control,
    force,
    level,
    lock,
    passphrase,
    policies,
    settings,
    sources,
    suites,
    surroundings,
)

CODES = """\
exit codes: 0 ok, 1 failure, 2 usage, 3 configuration, 4 plugin, 5 network
"""


class _Version(argparse.Action):
    """``--version``; asks the installed metadata, which is slow to import, only when it must."""

    def __call__(self, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"port17 {version('port17-cli')}")
        raise SystemExit(0)


def build() -> argparse.ArgumentParser:
    """The whole command line.

    :returns: a parser whose result has ``handler`` ("module:function", or None where a command is
        missing), ``debug`` and the command's own values.
    """
    parser = Parser(
        prog="port17",
        description="An overlay network for people who don't want the network to know whom they talk to.",
        epilog=CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    parser.set_defaults(handler=None, parser=parser)
    groups = parser.add_subparsers(title="commands", metavar="COMMAND")
    _demo(groups)
    _testnet(groups)
    record_parser.charter(groups)
    record_parser.moderate(groups)
    record_parser.identity(groups)
    record_parser.bottle(groups)
    _node(groups)
    _client(groups)
    _route(groups)
    judge_parser.promise(groups)
    _config(groups)
    _geo(groups)
    _plugins(groups)
    _suites_group(groups)
    return parser


def _demo(groups: Groups) -> None:
    parser = add_command(
        groups,
        "demo",
        "demo:demo",
        "Show a network of five nodes on this machine and a fetch through three of them.",
    )
    parser.add_argument("--size", type=int, default=16, metavar="MIB", help="what to fetch, MiB (16)")


def _testnet(groups: Groups) -> None:
    group = add_group(groups, "testnet", "Networks for tests, on this machine alone.")
    parser = add_command(
        group, "up", "testnet:up", "Run a network of real processes in the foreground.", json=False
    )
    parser.add_argument("--dir", required=True, metavar="DIR", help="where its files and logs go")
    parser.add_argument("--nodes", required=True, type=int, metavar="N", help="how many nodes (3 or more)")
    parser.add_argument(
        "--lanes",
        type=int,
        default=None,
        metavar="K",
        help="lanes that each node sees to (as many as its size asks for)",
    )
    parser.add_argument("--socks", metavar="HOST:PORT", help="where the client listens (a free port)")
    suites(parser)
    parser.add_argument("--identity", metavar="SCHEME", help="the network's identity scheme")
    parser.add_argument(
        "--countries", metavar="CODES", help="countries that the nodes are said to be in, e.g. DE,FR,US"
    )


def _node(groups: Groups) -> None:
    group = add_group(groups, "node", "Nodes: carry the traffic of others.")
    parser = add_command(
        group, "init", "node:init", "Make a node: its keys, its bottle and its configuration file."
    )
    config_file(parser)
    parser.add_argument("--charter", required=True, metavar="FILE", help="the network's charter")
    parser.add_argument("--name", required=True, help="the node's name, unique in the network")
    parser.add_argument("--group", help="whose node it is; routes never use two of one group (the name)")
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="where it listens, by tcp (nowhere: it only calls others)"
    )
    parser.add_argument("--advertise", metavar="HOST:PORT", help="where others reach it (what it listens on)")
    parser.add_argument("--exit", action="store_true", help="open connections for others: legal weight")
    parser.add_argument(
        "--allow", action="append", metavar="RULE", help="exit rule, in order, e.g. 'accept *:443'; repeat"
    )
    parser.add_argument(
        "--allow-private", action="store_true", help="let the exit reach private addresses (tests only)"
    )
    parser.add_argument("--bottles", metavar="DIR", help="where the network's bottles are (bottles)")
    sources(parser)
    surroundings(parser)
    parser.add_argument(
        "--local", action="store_true", help="be known on the local network alone; implies --local-network"
    )
    parser.add_argument("--lane", action="append", default=[], metavar="ID", help="keep a lane; repeat")
    suites(parser)
    parser.add_argument("--identity", metavar="SCHEME", help="identity scheme (the charter's first)")
    parser.add_argument("--days", type=int, default=7, metavar="N", help="days its prekeys last (7)")
    lock(parser)
    parser.add_argument(
        "--passphrase-file", metavar="FILE", help="holds the passphrase; noted in the configuration"
    )
    passphrase(parser)
    force(parser)
    parser = add_command(
        group, "bottle", "node:bottle", "Sign a fresh bottle: after new lanes, addresses or exit rules."
    )
    config_file(parser)
    settings(parser)
    parser.add_argument("--lane", action="append", default=[], metavar="ID", help="keep a lane too; repeat")
    parser.add_argument("--days", type=int, default=7, metavar="N", help="days its prekeys last (7)")
    passphrase(parser)
    parser = add_command(group, "run", "node:run", "Run a node until SIGINT or SIGTERM.")
    config_file(parser)
    settings(parser)
    passphrase(parser)
    parser.add_argument("--while-stdin", action="store_true", help=argparse.SUPPRESS)
    parser = add_command(group, "status", "status:status", "Ask a running node how it is.")
    control(parser)


def _client(groups: Groups) -> None:
    group = add_group(groups, "client", "Clients: take the connections of this machine's programs.")
    parser = add_command(group, "init", "client:init", "Make a client's configuration file.")
    config_file(parser)
    parser.add_argument("--charter", required=True, metavar="FILE", help="the network's charter")
    parser.add_argument("--bottles", metavar="DIR", help="where the network's bottles are (bottles)")
    sources(parser)
    surroundings(parser)
    parser.add_argument(
        "--socks",
        default="127.0.0.1:1080",
        metavar="HOST:PORT",
        help="where programs find SOCKS5 (%(default)s)",
    )
    suites(parser)
    parser.add_argument("--policy", action="append", default=[], metavar="NAME", help="route policy; repeat")
    force(parser)
    parser = add_command(group, "run", "client:run", "Run a client until SIGINT or SIGTERM.")
    config_file(parser)
    settings(parser)
    parser.add_argument("--while-stdin", action="store_true", help=argparse.SUPPRESS)
    parser = add_command(group, "status", "status:client", "Ask a running client how it is.")
    control(parser)


def _route(groups: Groups) -> None:
    group = add_group(groups, "route", "Routes through the network.")
    parser = add_command(group, "show", "route:show", "Show the circuits that a running client has open.")
    control(parser)
    parser.add_argument(
        "--hops", action="store_true", help="show also each hop's suite, and how often its keys have turned"
    )
    parser = add_command(
        group,
        "explain",
        "route_explain:explain",
        "Show which route a connection would get and why, or why it gets none.",
    )
    parser.add_argument(
        "destination", metavar="DEST", help="a name, an address or a URL, with a port or without (443)"
    )
    parser.add_argument("--config", metavar="FILE", help="the client's configuration")
    parser.add_argument("--control", metavar="PATH", help="ask the client behind this control socket")
    policies(parser)
    level(parser)
    parser.add_argument("--program", default="", metavar="PATH", help="as if this program asked")
    parser = add_command(
        group, "new", "route_new:new", "Let new connections of a running client take new routes."
    )
    control(parser)
    parser.add_argument("--end", action="store_true", help="end what is open as well")
    parser = add_command(
        group, "chart", "route_chart:chart", "Write the map that routes are searched on to a file."
    )
    config_file(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="where it goes (JSON)")
    force(parser)
    judge_parser.judge(group)


def _config(groups: Groups) -> None:
    group = add_group(groups, "config", "Configuration: file, PORT17_* variables and flags.")
    parser = add_command(
        group, "show", "settings:show", "Show the configuration that a node or client would use."
    )
    config_file(parser)
    settings(parser)
    parser.add_argument("--origin", action="store_true", help="say where each value comes from")
    parser.add_argument(
        "--kind", choices=["node", "client"], help="what the file is for (seen from its keys)"
    )


def _geo(groups: Groups) -> None:
    group = add_group(groups, "geo", "Where addresses are, by the user's own geo source.")
    parser = add_command(group, "lookup", "geo:lookup", "Show what the geo source says of addresses.")
    config_file(parser)
    settings(parser)
    parser.add_argument("address", nargs="+", metavar="ADDRESS", help="a number; names are not resolved")


def _plugins(groups: Groups) -> None:
    group = add_group(groups, "plugins", "Plugins: suites, schemes, transports, policies, operations.")
    parser = add_command(
        group, "list", "plugins:list_plugins", "List what is installed, and whether it works."
    )
    parser.add_argument("--no-import", action="store_true", help="only read metadata; load nothing")


def _suites_group(groups: Groups) -> None:
    group = add_group(groups, "suites", "Cipher suites and identity schemes, and what each promises.")
    parser = add_command(
        group, "list", "suites:list_suites", "List what is installed, with levels and status."
    )
    allowed = parser.add_mutually_exclusive_group()
    allowed.add_argument("--charter", metavar="FILE", help="say also what this charter allows")
    allowed.add_argument("--config", metavar="FILE", help="say also what this configuration allows")
    parser = add_command(group, "show", "suites:show", "Show everything about one suite or scheme.")
    parser.add_argument("name", metavar="NAME", help="its name, as `port17 suites list` has it")
    parser = add_command(
        group, "explain", "agreed:explain", "Show which suite would be used with a node, and why no other."
    )
    config_file(parser)
    parser.add_argument("node", nargs="?", metavar="NODE", help="name or id of a node (all nodes)")
