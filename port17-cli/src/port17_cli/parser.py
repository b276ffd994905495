"""What can be typed: commands, flags and their help. What each does is in the module that its handler names.

A handler is named by a string and imported when it is chosen.
"""

from __future__ import annotations

import argparse
from typing import NoReturn

CODES = """\
exit codes: 0 ok, 1 failure, 2 usage, 3 configuration, 4 plugin, 5 network
"""


HOLDS_IN_S = 10
"""Seconds until a new revision holds where nothing is said: all that share the file have read it by then."""


class BadUsage(Exception):
    """The command line cannot be understood."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadUsage(f"{message}\n  See `{self.prog} --help`.")


class _Version(argparse.Action):
    """``--version``; asks the installed metadata, which is slow to import, only when it must."""

    def __call__(self, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"port17 {version('port17-cli')}")
        raise SystemExit(0)


_Group = argparse._SubParsersAction  # what add_subparsers returns has no public name


def build() -> argparse.ArgumentParser:
    """The whole command line.

    :returns: a parser whose result has ``handler`` ("module:function", or None where a command is
        missing), ``debug`` and the command's own values.
    """
    parser = _Parser(
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
    _charter(groups)
    _moderate(groups)
    _identity(groups)
    _bottle(groups)
    _node(groups)
    _client(groups)
    _route(groups)
    _config(groups)
    _plugins(groups)
    _suites_group(groups)
    return parser


def _group(groups: _Group[_Parser], name: str, text: str) -> _Group[_Parser]:
    parser = groups.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(handler=None, parser=parser)
    return parser.add_subparsers(title="commands", metavar="COMMAND")


def _command(groups: _Group[_Parser], name: str, handler: str, text: str, *, json: bool = True) -> _Parser:
    parser = groups.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(handler=f"port17_cli.{handler}", parser=parser)
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    if json:
        parser.add_argument("--json", action="store_true", help="print one JSON object with a schema field")
    return parser


def _seconds(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("seconds are not negative")
    return value


def _suites(parser: _Parser) -> None:
    parser.add_argument("--suite", action="append", metavar="NAME", help="cipher suite; repeat, best first")


def _schemes(parser: _Parser) -> None:
    parser.add_argument(
        "--identity", action="append", metavar="SCHEME", help="identity scheme; repeat, best first"
    )


def _file(parser: _Parser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", help="the configuration file (TOML)")


def _set(parser: _Parser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a value of the configuration, e.g. log.level=debug; repeat",
    )


def _passphrase(parser: _Parser) -> None:
    parser.add_argument(
        "--passphrase-fd",
        type=int,
        metavar="N",
        help="read the key's passphrase from this descriptor, e.g. 3 with 3<FILE (asked at the terminal)",
    )


def _new_passphrase(parser: _Parser) -> None:
    parser.add_argument(
        "--new-passphrase-fd", type=int, metavar="N", help="read the new passphrase from this descriptor"
    )
    _lock_suite(parser)


def _lock_suite(parser: _Parser) -> None:
    parser.add_argument("--suite", metavar="NAME", help="cipher suite whose AEAD locks the key")


def _lock(parser: _Parser) -> None:
    parser.add_argument("--lock", action="store_true", help="lock new keys with a passphrase")


def _control(parser: _Parser) -> None:
    parser.add_argument("--control", metavar="PATH", help="the control socket of the running process")
    parser.add_argument("--config", metavar="FILE", help="take the control socket from this file")


def _force(parser: _Parser) -> None:
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def _demo(groups: _Group[_Parser]) -> None:
    parser = _command(
        groups,
        "demo",
        "demo:demo",
        "Show a network of five nodes on this machine and a fetch through three of them.",
    )
    parser.add_argument("--size", type=int, default=16, metavar="MIB", help="what to fetch, MiB (16)")


def _testnet(groups: _Group[_Parser]) -> None:
    group = _group(groups, "testnet", "Networks for tests, on this machine alone.")
    parser = _command(
        group, "up", "testnet:up", "Run a network of real processes in the foreground.", json=False
    )
    parser.add_argument("--dir", required=True, metavar="DIR", help="where its files and logs go")
    parser.add_argument("--nodes", required=True, type=int, metavar="N", help="how many nodes (3 or more)")
    parser.add_argument("--lanes", type=int, default=None, metavar="K", help="lanes per node, at least (4)")
    parser.add_argument("--socks", metavar="HOST:PORT", help="where the client listens (a free port)")
    _suites(parser)
    parser.add_argument("--identity", metavar="SCHEME", help="the network's identity scheme")


def _charter(groups: _Group[_Parser]) -> None:
    group = _group(groups, "charter", "The signed parameters of a network.")
    parser = _command(group, "init", "charter:init", "Make a charter and its update keys: a new network.")
    parser.add_argument("--dir", default=".", metavar="DIR", help="where the files go (%(default)s)")
    parser.add_argument("--name", default="port17", help="the network's name, for people (%(default)s)")
    _suites(parser)
    _schemes(parser)
    parser.add_argument("--update-keys", type=int, default=1, metavar="N", help="how many update keys (1)")
    parser.add_argument("--threshold", type=int, default=None, metavar="K", help="how many must sign (N)")
    parser.add_argument(
        "--plain-text-exit",
        action="append",
        default=[],
        metavar="FINGERPRINT",
        help="trust this exit with unencrypted connections; repeat",
    )
    _moderators(parser)
    _lock(parser)
    _passphrase(parser)
    _force(parser)
    parser = _command(
        group, "amend", "charter:amend", "Sign a new revision of a charter; what is not given stays as it is."
    )
    parser.add_argument("--charter", required=True, metavar="FILE", help="the charter's file, which grows")
    parser.add_argument(
        "--key",
        action="append",
        metavar="DIR",
        help="an update key's directory; repeat (those that `charter init` put beside the charter)",
    )
    _suites(parser)
    _schemes(parser)
    parser.add_argument(
        "--plain-text-exit",
        action="append",
        default=[],
        metavar="FINGERPRINT",
        help="trust this exit too with unencrypted connections; repeat",
    )
    parser.add_argument(
        "--distrust-exit", action="append", default=[], metavar="FINGERPRINT", help="no longer; repeat"
    )
    parser.add_argument(
        "--deprecate",
        action="append",
        default=[],
        metavar="NAME",
        help="use this suite only where two ends have no other; repeat",
    )
    parser.add_argument(
        "--reinstate", action="append", default=[], metavar="NAME", help="deprecate it no longer; repeat"
    )
    _moderators(parser)
    parser.add_argument(
        "--dismiss", action="append", default=[], metavar="ID", help="a moderator no longer; repeat"
    )
    parser.add_argument(
        "--in",
        dest="holds_in",
        type=_seconds,
        default=HOLDS_IN_S,
        metavar="SECONDS",
        help="when it begins to hold: nodes must have it by then (%(default)s)",
    )
    parser.add_argument(
        "--overlap",
        type=_seconds,
        metavar="SECONDS",
        help="how long peers may go by the revision before, and circuits under its suites last",
    )
    _passphrase(parser)


def _moderators(parser: _Parser) -> None:
    parser.add_argument(
        "--moderator",
        action="append",
        default=[],
        metavar="FILE",
        help="what `identity export` wrote for one who may block nodes; repeat",
    )
    parser.add_argument(
        "--moderators-threshold", type=int, metavar="K", help="how many moderators must agree (all)"
    )


def _moderate(groups: _Group[_Parser]) -> None:
    group = _group(groups, "moderate", "What moderators say of a network's nodes: signed lists.")
    parser = _command(group, "sign", "moderate:sign", "Make a moderators' list, or change one, and sign it.")
    parser.add_argument("file", metavar="FILE", help="the list to write, e.g. bottles/network.moderation")
    _moderators_keys(parser)
    parser.add_argument("--from", dest="from_file", metavar="FILE", help="go on from this list's entries")
    for flag, text in (
        ("--block", "no route and no lane uses this node; repeat"),
        ("--distrust", "no route uses this node; repeat"),
        ("--trusted-exit", "this exit may have unencrypted connections; repeat"),
        ("--drop", "take away what the list says of this node; repeat"),
    ):
        parser.add_argument(flag, action="append", default=[], metavar="NODE", help=text)
    parser.add_argument(
        "--owner",
        action="append",
        default=[],
        metavar="NAME=NODE",
        help="the PortName is this node's; repeat",
    )
    parser.add_argument("--reason", metavar="TEXT", help="why, of all new entries; a line for people")
    parser.add_argument("--days", type=int, default=90, metavar="N", help="days they hold (%(default)s)")
    parser.add_argument("--bottles", metavar="DIR", help="where nodes given by id or name are looked up")
    parser = _command(group, "cosign", "moderate:cosign", "Sign a list that another moderator has made.")
    parser.add_argument("file", metavar="FILE", help="the list, which gets one signature more")
    _moderators_keys(parser)
    for name, text, needed in (
        ("show", "Show a list; with a charter, also who has signed it.", False),
        ("verify", "Check that enough of the charter's moderators have signed a list.", True),
    ):
        parser = _command(group, name, f"moderate:{name}", text)
        parser.add_argument("file", metavar="FILE", help="the list")
        parser.add_argument("--charter", required=needed, metavar="FILE", help="the network's charter")


def _moderators_keys(parser: _Parser) -> None:
    parser.add_argument("--charter", required=True, metavar="FILE", help="the network's charter")
    parser.add_argument(
        "--key", action="append", required=True, metavar="DIR", help="a moderator's directory; repeat"
    )
    _passphrase(parser)


def _bottle(groups: _Group[_Parser]) -> None:
    group = _group(groups, "bottle", "Bottles: what nodes say of themselves, and whether it is so.")
    for name, text, needed in (
        ("show", "Show a bottle; with a charter, also what of it is valid.", False),
        ("verify", "Check a bottle as whoever takes it in does.", True),
    ):
        parser = _command(group, name, f"bottle:{name}", text)
        parser.add_argument(
            "bottle", metavar="FILE|ID|-", help="a file, a node's id or name, or standard input"
        )
        against = parser.add_mutually_exclusive_group(required=needed)
        against.add_argument("--charter", metavar="FILE", help="check against this charter")
        against.add_argument("--config", metavar="FILE", help="check against a node's or client's charter")
        parser.add_argument("--bottles", metavar="DIR", help="where a node is looked up (as configured)")


def _identity(groups: _Group[_Parser]) -> None:
    group = _group(groups, "identity", "Identities: the keys that nodes and charters are signed with.")
    parser = _command(group, "new", "identity:new", "Make an identity, or restore one from a backup.")
    parser.add_argument("--dir", required=True, metavar="DIR", help="where it goes; a node's state directory")
    parser.add_argument("--identity", metavar="SCHEME", help="identity scheme (ed25519)")
    parser.add_argument(
        "--from", dest="from_file", metavar="FILE", help="what `identity export --private` wrote"
    )
    parser.add_argument(
        "--unused", action="store_true", help="no node has ever run under the backup's identity"
    )
    _lock(parser)
    _lock_suite(parser)
    _passphrase(parser)
    parser = _command(group, "show", "identity:show", "Show an identity; needs no passphrase.")
    _whose(parser)
    parser.add_argument("--file", metavar="FILE", help="what `identity export` wrote")
    parser = _command(
        group, "export", "identity:export", "Write the public half, or a backup that a passphrase locks."
    )
    _whose(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write")
    parser.add_argument("--private", action="store_true", help="the private key too")
    _passphrase(parser)
    _new_passphrase(parser)
    parser = _command(
        group, "passphrase", "identity:passphrase", "Lock an identity, change its passphrase or take it away."
    )
    _whose(parser)
    parser.add_argument("--remove", action="store_true", help="leave the key to its file's permissions")
    _passphrase(parser)
    _new_passphrase(parser)
    parser = _command(
        group, "rotate", "identity:rotate", "Give a node a new identity, which its old one hands over to."
    )
    _file(parser)
    _set(parser)
    parser.add_argument("--identity", metavar="SCHEME", help="identity scheme (as now)")
    parser.add_argument("--days", type=int, default=7, metavar="N", help="days its prekeys last (7)")
    _passphrase(parser)


def _whose(parser: _Parser) -> None:
    parser.add_argument("--dir", metavar="DIR", help="the directory that holds it")
    parser.add_argument("--config", metavar="FILE", help="a node's configuration that names the directory")


def _node(groups: _Group[_Parser]) -> None:
    group = _group(groups, "node", "Nodes: carry the traffic of others.")
    parser = _command(
        group, "init", "node:init", "Make a node: its keys, its bottle and its configuration file."
    )
    _file(parser)
    parser.add_argument("--charter", required=True, metavar="FILE", help="the network's charter")
    parser.add_argument("--name", required=True, help="the node's name, unique in the network")
    parser.add_argument("--group", help="whose node it is; routes never use two of one group (the name)")
    parser.add_argument("--listen", required=True, metavar="HOST:PORT", help="where it listens, by tcp")
    parser.add_argument("--advertise", metavar="HOST:PORT", help="where others reach it (what it listens on)")
    parser.add_argument("--exit", action="store_true", help="open connections for others: legal weight")
    parser.add_argument(
        "--allow", action="append", metavar="RULE", help="exit rule, in order, e.g. 'accept *:443'; repeat"
    )
    parser.add_argument(
        "--allow-private", action="store_true", help="let the exit reach private addresses (tests only)"
    )
    parser.add_argument("--bottles", metavar="DIR", help="where the network's bottles are (bottles)")
    parser.add_argument("--lane", action="append", default=[], metavar="ID", help="keep a lane; repeat")
    _suites(parser)
    parser.add_argument("--identity", metavar="SCHEME", help="identity scheme (the charter's first)")
    parser.add_argument("--days", type=int, default=7, metavar="N", help="days its prekeys last (7)")
    _lock(parser)
    parser.add_argument(
        "--passphrase-file", metavar="FILE", help="holds the passphrase; noted in the configuration"
    )
    _passphrase(parser)
    _force(parser)
    parser = _command(
        group, "bottle", "node:bottle", "Sign a fresh bottle: after new lanes, addresses or exit rules."
    )
    _file(parser)
    _set(parser)
    parser.add_argument("--lane", action="append", default=[], metavar="ID", help="keep a lane too; repeat")
    parser.add_argument("--days", type=int, default=7, metavar="N", help="days its prekeys last (7)")
    _passphrase(parser)
    parser = _command(group, "run", "node:run", "Run a node until SIGINT or SIGTERM.")
    _file(parser)
    _set(parser)
    _passphrase(parser)
    parser.add_argument("--while-stdin", action="store_true", help=argparse.SUPPRESS)
    parser = _command(group, "status", "status:status", "Ask a running node how it is.")
    _control(parser)


def _client(groups: _Group[_Parser]) -> None:
    group = _group(groups, "client", "Clients: take the connections of this machine's programs.")
    parser = _command(group, "init", "client:init", "Make a client's configuration file.")
    _file(parser)
    parser.add_argument("--charter", required=True, metavar="FILE", help="the network's charter")
    parser.add_argument("--bottles", metavar="DIR", help="where the network's bottles are (bottles)")
    parser.add_argument(
        "--socks",
        default="127.0.0.1:1080",
        metavar="HOST:PORT",
        help="where programs find SOCKS5 (%(default)s)",
    )
    _suites(parser)
    parser.add_argument("--policy", action="append", default=[], metavar="NAME", help="route policy; repeat")
    _force(parser)
    parser = _command(group, "run", "client:run", "Run a client until SIGINT or SIGTERM.")
    _file(parser)
    _set(parser)
    parser.add_argument("--while-stdin", action="store_true", help=argparse.SUPPRESS)


def _route(groups: _Group[_Parser]) -> None:
    group = _group(groups, "route", "Routes through the network.")
    parser = _command(group, "show", "route:show", "Show the circuits that a running client has open.")
    _control(parser)
    parser.add_argument(
        "--hops", action="store_true", help="show also each hop's suite, and how often its keys have turned"
    )


def _config(groups: _Group[_Parser]) -> None:
    group = _group(groups, "config", "Configuration: file, PORT17_* variables and flags.")
    parser = _command(
        group, "show", "settings:show", "Show the configuration that a node or client would use."
    )
    _file(parser)
    _set(parser)
    parser.add_argument("--origin", action="store_true", help="say where each value comes from")
    parser.add_argument(
        "--kind", choices=["node", "client"], help="what the file is for (seen from its keys)"
    )


def _plugins(groups: _Group[_Parser]) -> None:
    group = _group(groups, "plugins", "Plugins: suites, schemes, transports, policies, operations.")
    parser = _command(group, "list", "plugins:list_plugins", "List what is installed, and whether it works.")
    parser.add_argument("--no-import", action="store_true", help="only read metadata; load nothing")


def _suites_group(groups: _Group[_Parser]) -> None:
    group = _group(groups, "suites", "Cipher suites and identity schemes, and what each promises.")
    parser = _command(group, "list", "suites:list_suites", "List what is installed, with levels and status.")
    allowed = parser.add_mutually_exclusive_group()
    allowed.add_argument("--charter", metavar="FILE", help="say also what this charter allows")
    allowed.add_argument("--config", metavar="FILE", help="say also what this configuration allows")
    parser = _command(group, "show", "suites:show", "Show everything about one suite or scheme.")
    parser.add_argument("name", metavar="NAME", help="its name, as `port17 suites list` has it")
    parser = _command(
        group, "explain", "agreed:explain", "Show which suite would be used with a node, and why no other."
    )
    _file(parser)
    parser.add_argument("node", nargs="?", metavar="NODE", help="name or id of a node (all nodes)")
