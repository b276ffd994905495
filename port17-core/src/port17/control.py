"""The control socket: how a ``port17`` command asks a running node or client of the same user something.

JSON lines over a unix socket that only its owner can open. What can be asked is the process's business;
this carries verb and answer.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream

from port17.errors import ConfigError, NetworkError, PluginError, Port17Error, UsageError

MODE = 0o600
"""The owner alone: whoever can ask can learn circuits."""
PATH_CAP = 100
"""Longest socket path, bytes: Linux takes 107, macOS and the BSDs 103."""
REQUEST_CAP = 64 * 1024
"""Longest request, bytes: a verb and a few small arguments."""
ANSWER_CAP = 64 * 1024 * 1024
"""Longest answer, bytes: the circuits of a very busy client, and still a bound."""
CONNECTIONS = 32
"""Connections served at once; more wait. The owner's own scripts are all that can connect."""
ASK_TIMEOUT_S = 10.0
"""How long :func:`ask` waits by default, seconds: far beyond any local answer."""

Verb: TypeAlias = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

_log = logging.getLogger(__name__)
_BY_EXIT_CODE = {1: Port17Error, 2: UsageError, 3: ConfigError, 4: PluginError, 5: NetworkError}


async def serve(
    path: Path,
    verbs: Mapping[str, Verb],
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on the socket until cancelled; the socket file is then removed.

    A verb that raises answers with the error and harms nothing else.

    :param path: where the socket is made; what a dead process left there is replaced.
    :param verbs: by name; each gets the arguments and returns what goes back, both plain JSON.
    :raises ConfigError: the path is too long, is no socket, or another process answers there.
    """
    _clear(path)
    try:
        listener = await anyio.create_unix_listener(path, mode=MODE)
    except OSError as error:
        raise ConfigError(
            f"The control socket {path} cannot be made: {error}.",
            cure="Set control to a path in a directory that exists and is yours.",
        ) from error
    made = _inode(path)
    places = anyio.CapacityLimiter(CONNECTIONS)

    async def converse(stream: anyio.abc.SocketStream) -> None:
        async with places, stream:
            await _converse(stream, verbs)

    try:
        async with listener:
            task_status.started()
            await listener.serve(converse)
    finally:
        _remove(path, made)


async def ask(
    path: Path,
    verb: str,
    args: Mapping[str, Any] | None = None,
    timeout: float = ASK_TIMEOUT_S,
) -> dict[str, Any]:
    """Ask the process behind a control socket.

    :param timeout: seconds for the whole exchange.
    :raises NetworkError: nobody listens there, or no answer came in time.
    :raises Port17Error: what the process answered, of the class with its exit code.
    """
    cure = "Is it running? Give its control socket with --control PATH."
    try:
        with anyio.fail_after(timeout):
            async with await anyio.connect_unix(path) as stream:
                await stream.send(_line({"verb": verb, "args": dict(args or {})}))
                answer = json.loads(await BufferedByteReceiveStream(stream).receive_until(b"\n", ANSWER_CAP))
    except FileNotFoundError:
        raise NetworkError(f"There is no control socket {path}.", cure=cure) from None
    except ConnectionRefusedError:
        raise NetworkError(f"Nobody listens at the control socket {path}.", cure=cure) from None
    except TimeoutError:
        raise NetworkError(
            f"No answer at the control socket {path} within {timeout:g} s.",
            cure="The process may be busy or stopped; try again, or end it.",
        ) from None
    except (OSError, anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError) as error:
        raise NetworkError(f"The control socket {path} failed: {error}.", cure=cure) from error
    except (ValueError, anyio.DelimiterNotFound) as error:
        raise NetworkError(f"What answers at {path} does not speak Port17's control language.") from error
    if "error" in answer:
        refusal = answer["error"]
        raise _BY_EXIT_CODE.get(refusal.get("exit_code"), Port17Error)(
            str(refusal.get("message")), cure=str(refusal.get("cure", ""))
        )
    result: dict[str, Any] = answer["ok"]
    return result


def _inode(path: Path) -> int | None:
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None


def _remove(path: Path, inode: int | None) -> None:
    """Remove the socket, unless another process has put its own there since."""
    if _inode(path) == inode:
        path.unlink(missing_ok=True)


def _clear(path: Path) -> None:
    """Remove what a dead process left at the path.

    :raises ConfigError: it is not ours to remove.
    """
    if len(os.fsencode(path)) > PATH_CAP:
        raise ConfigError(
            f"The path of the control socket is longer than {PATH_CAP} bytes: {path}.",
            cure="Set control to a shorter path.",
        )
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(
            f"{path} exists and is no socket.", cure="Set control to another path, or move that file away."
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise ConfigError(
                f"{path} is in use, or not ours: {error}.", cure="Set control to another path."
            ) from error
    raise ConfigError(
        f"Another process answers at {path}.", cure="End that process, or set control to another path."
    )


async def _converse(stream: anyio.abc.SocketStream, verbs: Mapping[str, Verb]) -> None:
    lines = BufferedByteReceiveStream(stream)
    try:
        while True:
            answer = await _answer(await lines.receive_until(b"\n", REQUEST_CAP), verbs)
            await stream.send(_line(answer))
    except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
        return  # the asker left, which is how every conversation ends
    except anyio.DelimiterNotFound:
        _log.warning("a control request was longer than %d bytes", REQUEST_CAP)


async def _answer(line: bytes, verbs: Mapping[str, Verb]) -> dict[str, Any]:
    try:
        request = json.loads(line)
        verb, args = request["verb"], request.get("args", {})
        if not isinstance(verb, str) or not isinstance(args, dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _refusal(UsageError("The request is no object with a verb and args."))
    if verb not in verbs:
        return _refusal(
            UsageError(f"There is no verb {verb!r}.", cure="It answers to " + ", ".join(sorted(verbs)) + ".")
        )
    try:
        return {"ok": await verbs[verb](args)}
    except Port17Error as error:
        return _refusal(error)
    except Exception as error:  # noqa: BLE001 - one failed question must not end the process asked
        # The message of an unexpected exception may name a destination: only debug shows it.
        _log.error("the control verb %s failed: %s", verb, type(error).__name__)
        _log.debug("traceback", exc_info=error)
        return _refusal(Port17Error(f"The process failed at {verb}: {type(error).__name__}."))


def _refusal(error: Port17Error) -> dict[str, Any]:
    return {
        "error": {
            "kind": type(error).__name__,
            "exit_code": error.exit_code,
            "message": error.message,
            "cure": error.cure,
        }
    }


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
