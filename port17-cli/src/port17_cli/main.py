"""The entrance: reads the command line, runs one command, and makes every error a message and an exit code.

Imports next to nothing before the command is known, since help, version and completion are felt.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from port17_cli.grammar import BadUsage
from port17_cli.parser import build

if TYPE_CHECKING:
    import argparse

OK = 0
FAILURE = 1
USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    :param argv: arguments without the program's name; None takes the process's.
    :returns: the exit code: 0 ok, 1 failure, 2 usage, 3 config, 4 plugin, 5 network.
    """
    parser = build()
    try:
        args = parser.parse_args(argv)
        if args.handler is None:
            args.parser.print_help(sys.stderr)
            return USAGE
    except BadUsage as error:
        print(f"port17: {error}", file=sys.stderr)
        return USAGE
    except SystemExit as end:  # --help and --version, which argparse ends by itself
        return int(end.code or OK)
    return _run(args)


def _run(args: argparse.Namespace) -> int:
    try:
        code = _handler(args.handler)(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read our output has enough. Python would complain once more when it closes stdout.
        sys.stdout = None
        return FAILURE
    except KeyboardInterrupt:
        print("port17: interrupted", file=sys.stderr)
        return FAILURE
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        return _report(error, debug=args.debug)
    return code


def _handler(place: str) -> Callable[[argparse.Namespace], int]:
    import importlib

    module, _, name = place.partition(":")
    handler: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(module), name)
    return handler


def _report(error: BaseException, *, debug: bool) -> int:
    from port17.errors import Port17Error

    if debug:
        import traceback

        traceback.print_exception(error)
    expected = [leaf for leaf in _causes(error) if isinstance(leaf, Port17Error)]
    if expected:
        print(f"port17: {expected[0]}", file=sys.stderr)
        return expected[0].exit_code
    first = next(_causes(error))
    if isinstance(first, KeyboardInterrupt):
        print("port17: interrupted", file=sys.stderr)
        return FAILURE
    detail = f"{type(first).__name__}: {first}".removesuffix(": ")
    print(f"port17: unexpected failure: {detail}", file=sys.stderr)
    if not debug:
        print("  Run it again with --debug to see where; please report it.", file=sys.stderr)
    return FAILURE


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What really went wrong: the leaves of the groups that task groups raise."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    else:
        yield error
