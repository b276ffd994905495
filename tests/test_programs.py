"""Programs as people use them, unchanged, through a tunnel of real processes."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rig.destination import HOST, Check, Destination, content, order, receive_all, receive_exactly
from rig.program import connect, read_to_end
from rig.testnet import Testnet

MIB = 1024 * 1024
LARGE = 48 * MIB + 4321
"""Bytes of a large transfer: many times every window and queue on its way."""
PROGRAM_S = 60.0
"""How long a program may take, seconds."""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Nothing."""


@contextmanager
def web(folder: Path) -> Iterator[int]:
    """The port of a web server for a folder."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer((HOST, 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def run(*command: str, feed: bytes | None = None, **environment: str) -> bytes:
    """What a program prints, which has to end well; of our environment it gets the search path alone."""
    clean = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
    done = subprocess.run(command, input=feed, capture_output=True, env=clean, timeout=PROGRAM_S)
    assert done.returncode == 0, (done.returncode, done.stdout[-500:], done.stderr[-500:])
    return done.stdout


@pytest.mark.parametrize(
    ("option", "host"), [("--socks5-hostname", "localhost"), ("--socks5-hostname", HOST), ("--socks5", HOST)]
)
def test_curl_fetches(testnet: Testnet, tmp_path: Path, option: str, host: str) -> None:
    page = b"".join(content(b"page", 3 * MIB + 5))
    (tmp_path / "page.bin").write_bytes(page)
    with web(tmp_path) as port:
        proxy = f"{testnet.socks[0]}:{testnet.socks[1]}"
        got = run("curl", "-q", "--silent", "--fail", option, proxy, f"http://{host}:{port}/page.bin")
    assert hashlib.sha256(got).digest() == hashlib.sha256(page).digest()


def test_curl_keeps_a_connection_and_says_what_failed(testnet: Testnet, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one ")
    (tmp_path / "b").write_text("two")
    proxy = f"socks5h://{testnet.socks[0]}:{testnet.socks[1]}"
    with web(tmp_path) as port:
        urls = [f"http://{HOST}:{port}/{name}" for name in "ab"]
        report = ("-w", "[%{num_connects}]")
        assert run("curl", "-q", "-s", "-x", proxy, *urls, *report) == b"one [1]two[0]"
        with pytest.raises(AssertionError, match="404"):
            run("curl", "-q", "-sS", "--fail", "-x", proxy, f"http://{HOST}:{port}/none")


def test_ncat_talks_both_ways(testnet: Testnet, destination: Destination) -> None:
    proxy = f"{testnet.socks[0]}:{testnet.socks[1]}"
    said = order(b"H") + b"what ncat was fed with, and its end"
    got = run(*("ncat", "--proxy", proxy, "--proxy-type", "socks5", HOST, str(destination.port)), feed=said)
    assert got == hashlib.sha256(said[len(order(b"H")) :]).digest()


def test_git_clones_over_http(testnet: Testnet, tmp_path: Path) -> None:
    work, bare, clone = tmp_path / "work", tmp_path / "web" / "house.git", tmp_path / "clone"
    git = functools.partial(
        run, "git", "-c", "user.name=n", "-c", "user.email=e@example", "-c", "init.defaultBranch=main"
    )
    git("init", "--quiet", str(work))
    for number in range(20):
        (work / f"file{number}").write_bytes(next(content(b"git", 40_000 + number)))
        git("-C", str(work), "add", ".")
        git("-C", str(work), "commit", "--quiet", "-m", f"commit {number}")
    git("clone", "--quiet", "--bare", str(work), str(bare))
    git("-C", str(bare), "update-server-info")
    with web(tmp_path / "web") as port:
        git(
            *("-c", f"http.proxy=socks5h://{testnet.socks[0]}:{testnet.socks[1]}"),
            *("clone", "--quiet", f"http://localhost:{port}/house.git", str(clone)),
        )
    assert git("-C", str(clone), "rev-parse", "HEAD") == git("-C", str(work), "rev-parse", "HEAD")
    git("-C", str(clone), "fsck", "--full")


def test_what_is_sent_is_what_arrives_both_ways_at_once(testnet: Testnet, destination: Destination) -> None:
    with (
        connect(testnet.socks, destination.port) as down,
        connect(testnet.socks, destination.port, host="localhost") as up,
    ):
        check, ended = Check(b"both"), []

        def fetch() -> None:
            down.sendall(order(b"D", b"both", LARGE))
            ended.append(read_to_end(down, check).how)

        reader = threading.Thread(target=fetch)
        reader.start()
        up.sendall(order(b"U", b"other", LARGE))
        for piece in content(b"other", LARGE):
            up.sendall(piece)
        answer = receive_all(up)
        reader.join()
    assert answer == b"right"
    assert (check.right, check.got, ended) == (True, LARGE, ["in order"])


def test_a_direction_ends_alone(testnet: Testnet, destination: Destination) -> None:
    """The program ends its own first; the destination then still answers, and the other way round."""
    body = b"".join(content(b"half", 2 * MIB))
    with connect(testnet.socks, destination.port) as program:
        program.sendall(order(b"H") + body)
        program.shutdown(1)
        assert receive_all(program) == hashlib.sha256(body).digest()
    with connect(testnet.socks, destination.port) as program:
        program.sendall(order(b"D", b"first", MIB))
        check = Check(b"first")
        assert read_to_end(program, check).how == "in order"
        assert (check.right, check.got) == (True, MIB)
        assert "ended" not in destination.became_of(b"first")  # it still reads: our direction has not ended
        program.sendall(b"still there")
    _wait_until_ended(destination, b"first", "in order")


def test_many_small_connections(testnet: Testnet, destination: Destination) -> None:
    for number in range(60):
        with connect(testnet.socks, destination.port) as program:
            program.sendall(order(b"E") + b"%d" % number)
            assert receive_exactly(program, len(b"%d" % number)) == b"%d" % number


def test_an_echo_gets_through_while_others_download(testnet: Testnet, destination: Destination) -> None:
    with (
        connect(testnet.socks, destination.port) as busy,
        connect(testnet.socks, destination.port) as quiet,
    ):
        check = Check(b"busy")
        busy.sendall(order(b"D", b"busy", LARGE))
        reader = threading.Thread(target=read_to_end, args=(busy, check))
        reader.start()
        quiet.sendall(order(b"E"))
        for _ in range(20):
            quiet.sendall(b"x")
            assert receive_exactly(quiet, 1) == b"x"
        reader.join()
    assert (check.right, check.got) == (True, LARGE)


def _wait_until_ended(destination: Destination, tag: bytes, how: str) -> None:
    for _ in range(100):
        if (ended := destination.became_of(tag).get("ended")) is not None:
            assert ended == how
            return
        threading.Event().wait(0.05)
    pytest.fail("the destination never heard of the end")
