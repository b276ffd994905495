"""How commands are declared, and the flags that several of them share."""

from __future__ import annotations

import argparse
from typing import NoReturn, TypeAlias


class BadUsage(Exception):
    """The command line cannot be understood."""


class Parser(argparse.ArgumentParser):
    """Raises where argparse would end the process."""

    def error(self, message: str) -> NoReturn:
        raise BadUsage(f"{message}\n  See `{self.prog} --help`.")


Groups: TypeAlias = "argparse._SubParsersAction[Parser]"
"""Where commands are added; what add_subparsers returns has no public name."""


def add_group(groups: Groups, name: str, text: str) -> Groups:
    """A word with commands below it."""
    parser = groups.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(handler=None, parser=parser)
    return parser.add_subparsers(title="commands", metavar="COMMAND")


def add_command(groups: Groups, name: str, handler: str, text: str, *, json: bool = True) -> Parser:
    """A command, carried out by ``handler``, a function of ``port17_cli`` as "module:function"."""
    parser = groups.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(handler=f"port17_cli.{handler}", parser=parser)
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    if json:
        parser.add_argument("--json", action="store_true", help="print one JSON object with a schema field")
    return parser


def seconds(text: str) -> int:
    """A flag's number of seconds, not negative."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("seconds are not negative")
    return value


def suites(parser: Parser) -> None:
    """``--suite``, repeated."""
    parser.add_argument("--suite", action="append", metavar="NAME", help="cipher suite; repeat, best first")


def schemes(parser: Parser) -> None:
    """``--identity``, repeated."""
    parser.add_argument(
        "--identity", action="append", metavar="SCHEME", help="identity scheme; repeat, best first"
    )


def sources(parser: Parser) -> None:
    """``--bootstrap``, repeated."""
    parser.add_argument(
        "--bootstrap",
        action="append",
        default=[],
        metavar="SOURCE",
        help="where a bootstrap list is, an https:// address or a file; repeat, in the order to ask",
    )


def surroundings(parser: Parser) -> None:
    """``--private-addresses`` and ``--local-network``."""
    parser.add_argument(
        "--private-addresses",
        action="store_true",
        help="call nodes at private addresses, too: networks for tests, or within one building",
    )
    parser.add_argument(
        "--local-network",
        action="store_true",
        help="find nodes of the same local network by multicast (needs port17-lan)",
    )


def config_file(parser: Parser) -> None:
    """``--config``, required."""
    parser.add_argument("--config", required=True, metavar="FILE", help="the configuration file (TOML)")


def settings(parser: Parser) -> None:
    """``--set``, repeated."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a value of the configuration, e.g. log.level=debug; repeat",
    )


def passphrase(parser: Parser) -> None:
    """``--passphrase-fd``."""
    parser.add_argument(
        "--passphrase-fd",
        type=int,
        metavar="N",
        help="read the key's passphrase from this descriptor, e.g. 3 with 3<FILE (asked at the terminal)",
    )


def new_passphrase(parser: Parser) -> None:
    """``--new-passphrase-fd`` and what locks the key."""
    parser.add_argument(
        "--new-passphrase-fd", type=int, metavar="N", help="read the new passphrase from this descriptor"
    )
    lock_suite(parser)


def lock_suite(parser: Parser) -> None:
    """``--suite`` of a locked key."""
    parser.add_argument("--suite", metavar="NAME", help="cipher suite whose AEAD locks the key")


def lock(parser: Parser) -> None:
    """``--lock``."""
    parser.add_argument("--lock", action="store_true", help="lock new keys with a passphrase")


def control(parser: Parser) -> None:
    """Where the running process is found."""
    parser.add_argument("--control", metavar="PATH", help="the control socket of the running process")
    parser.add_argument("--config", metavar="FILE", help="take the control socket from this file")


def policies(parser: Parser) -> None:
    """``--policy`` of what routes are looked for by."""
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="NAME",
        help="go by this policy instead of the configuration's; repeat",
    )


def level(parser: Parser) -> None:
    """``--level``."""
    parser.add_argument(
        "--level", choices=["fast", "normal", "high"], help="security level (the configuration's)"
    )


def force(parser: Parser) -> None:
    """``--force``."""
    parser.add_argument("--force", action="store_true", help="replace files that exist")
