"""Commands about what is signed: charters, moderators' lists, identities and bottles."""

from __future__ import annotations

from port17_cli.grammar import (
    Groups,
    Parser,
    add_command,
    add_group,
    config_file,
    force,
    lock,
    lock_suite,
    new_passphrase,
    passphrase,
    schemes,
    seconds,
    settings,
    suites,
)

HOLDS_IN_S = 10
"""Seconds until a new revision holds where nothing is said: all that share the file have read it by then."""


def charter(groups: Groups) -> None:
    """``port17 charter``."""
    group = add_group(groups, "charter", "The signed parameters of a network.")
    parser = add_command(group, "init", "charter:init", "Make a charter and its update keys: a new network.")
    parser.add_argument("--dir", default=".", metavar="DIR", help="where the files go (%(default)s)")
    parser.add_argument("--name", default="port17", help="the network's name, for people (%(default)s)")
    suites(parser)
    schemes(parser)
    parser.add_argument("--update-keys", type=int, default=1, metavar="N", help="how many update keys (1)")
    parser.add_argument("--threshold", type=int, default=None, metavar="K", help="how many must sign (N)")
    parser.add_argument(
        "--plain-text-exit",
        action="append",
        default=[],
        metavar="FINGERPRINT",
        help="trust this exit with unencrypted connections; repeat",
    )
    _numbers(parser, "how long a prekey is good after its slot (3600)")
    parser.add_argument(
        "--flight-blocks",
        type=int,
        metavar="N",
        help="blocks of 4 KiB in a handshake's flight, 2 to 8, for good (2)",
    )
    _moderators(parser)
    _publishers(parser)
    lock(parser)
    passphrase(parser)
    force(parser)
    parser = add_command(
        group, "amend", "charter:amend", "Sign a new revision of a charter; what is not given stays as it is."
    )
    parser.add_argument("--charter", required=True, metavar="FILE", help="the charter's file, which grows")
    parser.add_argument(
        "--key",
        action="append",
        metavar="DIR",
        help="an update key's directory; repeat (those that `charter init` put beside the charter)",
    )
    suites(parser)
    schemes(parser)
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
    _publishers(parser)
    parser.add_argument(
        "--dismiss-publisher", action="append", default=[], metavar="ID", help="a publisher no longer; repeat"
    )
    parser.add_argument(
        "--in",
        dest="holds_in",
        type=seconds,
        default=HOLDS_IN_S,
        metavar="SECONDS",
        help="when it begins to hold: nodes must have it by then (%(default)s)",
    )
    _numbers(parser, "how long peers may go by the revision before, and circuits under its suites last")
    passphrase(parser)
    _bootstrap(group)


def _numbers(parser: Parser, overlap: str) -> None:
    parser.add_argument(
        "--prekey-lifetime",
        type=seconds,
        metavar="SECONDS",
        help="how long a node's prekey is used before the next one's turn: what was sent before can't be read"
        " any more then (86400)",
    )
    parser.add_argument("--overlap", type=seconds, metavar="SECONDS", help=overlap)
    parser.add_argument(
        "--least-hops", type=int, metavar="N", help="how many nodes every route has at least, 3 to 5 (3)"
    )


def _bootstrap(group: Groups) -> None:
    parser = add_command(
        group,
        "bootstrap",
        "bootstrap:publish",
        "Sign a list of some nodes' bottles, from which others start; or add a signature to one.",
    )
    parser.add_argument("file", metavar="FILE", help="the list to write, e.g. bootstrap-nodes.json")
    parser.add_argument("--charter", required=True, metavar="FILE", help="the network's charter")
    parser.add_argument(
        "--key",
        action="append",
        metavar="DIR",
        help="a publisher's key, or an update key; repeat (the update keys beside the charter)",
    )
    parser.add_argument("--bottles", metavar="DIR", help="where the nodes' bottles are (bottles)")
    parser.add_argument(
        "--node",
        action="append",
        default=[],
        metavar="NODE",
        help="list this node, by id, fingerprint or name; repeat (those that can be called)",
    )
    parser.add_argument("--days", type=float, default=3, metavar="N", help="how long it holds (%(default)s)")
    parser.add_argument(
        "--cosign", action="store_true", help="add signatures to FILE as it is, instead of a new list"
    )
    passphrase(parser)
    parser = add_command(
        group, "bootstrap-show", "bootstrap:show", "Show a bootstrap list, and whether it can be used now."
    )
    parser.add_argument("file", metavar="FILE", help="the list")
    parser.add_argument("--charter", required=True, metavar="FILE", help="the network's charter")


def _publishers(parser: Parser) -> None:
    parser.add_argument(
        "--publisher",
        action="append",
        default=[],
        metavar="FILE",
        help="what `identity export` wrote for who signs bootstrap lists from now on; repeat",
    )
    parser.add_argument(
        "--publishers-threshold", type=int, metavar="K", help="how many publishers must sign (all)"
    )


def _moderators(parser: Parser) -> None:
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


def moderate(groups: Groups) -> None:
    """``port17 moderate``."""
    group = add_group(groups, "moderate", "What moderators say of a network's nodes: signed lists.")
    parser = add_command(
        group, "sign", "moderate:sign", "Make a moderators' list, or change one, and sign it."
    )
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
    parser.add_argument(
        "--same-owner",
        action="append",
        default=[],
        metavar="NAME=NODE",
        help="this node and the others with the same NAME are run by one owner: no route has two; repeat",
    )
    parser.add_argument("--reason", metavar="TEXT", help="why, of all new entries; a line for people")
    parser.add_argument("--days", type=int, default=90, metavar="N", help="days they hold (%(default)s)")
    parser.add_argument("--bottles", metavar="DIR", help="where nodes given by id or name are looked up")
    force(parser)
    parser = add_command(group, "cosign", "moderate:cosign", "Sign a list that another moderator has made.")
    parser.add_argument("file", metavar="FILE", help="the list, which gets one signature more")
    _moderators_keys(parser)
    for name, text, needed in (
        ("show", "Show a list; with a charter, also who has signed it.", False),
        ("verify", "Check that enough of the charter's moderators have signed a list.", True),
    ):
        parser = add_command(group, name, f"moderate:{name}", text)
        parser.add_argument("file", metavar="FILE", help="the list")
        parser.add_argument("--charter", required=needed, metavar="FILE", help="the network's charter")


def _moderators_keys(parser: Parser) -> None:
    parser.add_argument("--charter", required=True, metavar="FILE", help="the network's charter")
    parser.add_argument(
        "--key", action="append", required=True, metavar="DIR", help="a moderator's directory; repeat"
    )
    passphrase(parser)


def bottle(groups: Groups) -> None:
    """``port17 bottle``."""
    group = add_group(groups, "bottle", "Bottles: what nodes say of themselves, and whether it is so.")
    for name, text, needed in (
        ("show", "Show a bottle; with a charter, also what of it is valid.", False),
        ("verify", "Check a bottle as whoever takes it in does.", True),
    ):
        parser = add_command(group, name, f"bottle:{name}", text)
        parser.add_argument(
            "bottle", metavar="FILE|ID|-", help="a file, a node's id or name, or standard input"
        )
        against = parser.add_mutually_exclusive_group(required=needed)
        against.add_argument("--charter", metavar="FILE", help="check against this charter")
        against.add_argument("--config", metavar="FILE", help="check against a node's or client's charter")
        parser.add_argument("--bottles", metavar="DIR", help="where a node is looked up (all that is known)")
    parser = add_command(group, "list", "bottles:list_all", "List the nodes that a node or client knows.")
    config_file(parser)
    parser = add_command(
        group, "export", "bottles:export", "Write the bottles that a node or client knows into a folder."
    )
    config_file(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder")
    parser.add_argument("node", nargs="*", metavar="NODE", help="ids or names (all)")


def identity(groups: Groups) -> None:
    """``port17 identity``."""
    group = add_group(groups, "identity", "Identities: the keys that nodes and charters are signed with.")
    parser = add_command(group, "new", "identity:new", "Make an identity, or restore one from a backup.")
    parser.add_argument("--dir", required=True, metavar="DIR", help="where it goes; a node's state directory")
    parser.add_argument("--identity", metavar="SCHEME", help="identity scheme (ed25519)")
    parser.add_argument(
        "--from", dest="from_file", metavar="FILE", help="what `identity export --private` wrote"
    )
    parser.add_argument(
        "--unused", action="store_true", help="no node has ever run under the backup's identity"
    )
    lock(parser)
    lock_suite(parser)
    passphrase(parser)
    parser = add_command(group, "show", "identity:show", "Show an identity; needs no passphrase.")
    _whose(parser)
    parser.add_argument("--file", metavar="FILE", help="what `identity export` wrote")
    parser = add_command(
        group, "export", "identity:export", "Write the public half, or a backup that a passphrase locks."
    )
    _whose(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write")
    parser.add_argument("--private", action="store_true", help="the private key too")
    passphrase(parser)
    new_passphrase(parser)
    parser = add_command(
        group, "passphrase", "identity:passphrase", "Lock an identity, change its passphrase or take it away."
    )
    _whose(parser)
    parser.add_argument("--remove", action="store_true", help="leave the key to its file's permissions")
    passphrase(parser)
    new_passphrase(parser)
    parser = add_command(
        group, "rotate", "identity:rotate", "Give a node a new identity, which its old one hands over to."
    )
    config_file(parser)
    settings(parser)
    parser.add_argument("--identity", metavar="SCHEME", help="identity scheme (as now)")
    parser.add_argument("--days", type=int, default=7, metavar="N", help="days its prekeys last (7)")
    passphrase(parser)


def _whose(parser: Parser) -> None:
    parser.add_argument("--dir", metavar="DIR", help="the directory that holds it")
    parser.add_argument("--config", metavar="FILE", help="a node's configuration that names the directory")
