"""Bootstrap lists over HTTPS: from the right server alone, and never more of it than is wanted."""

from __future__ import annotations

import datetime
import gzip
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from rig.web import HOST, Authority, Web

from port17.errors import NetworkError
from port17.links import https

CAP = 100_000
TIME_S = 10.0
SHORT_S = 1.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder, "authority")


@pytest.fixture(scope="module")
def web(authority: Authority) -> Iterator[Web]:
    with Web(authority.server("server")) as server:
        yield server


def get(url: str, pin: Path | None, timeout_s: float = TIME_S, backend: str = "asyncio") -> bytes:
    servers = https.context(pin)

    async def run() -> bytes:
        return await https.fetch(url, servers, cap=CAP, timeout_s=timeout_s)

    return anyio.run(run, backend=backend)


def refused(url: str, pin: Path | None, match: str, timeout_s: float = TIME_S) -> None:
    begun = time.monotonic()
    with pytest.raises(NetworkError, match=match):
        get(url, pin, timeout_s)
    assert time.monotonic() - begun < timeout_s + 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_file_comes_whole(web: Web, authority: Authority, backend: str) -> None:
    body = bytes(range(256)) * 390
    url = web.page("/list", body)
    web.asked.clear()
    assert get(url, authority.file, backend=backend) == body
    (head,) = web.asked
    assert head.startswith(b"GET /list HTTP/1.1\r\n")
    assert b"user-agent: port17\r\n" in head.lower()
    assert b"python" not in head.lower()
    assert b"httpx" not in head.lower()


# -- who is believed -----------------------------------------------------------------------------------------
def test_without_a_pin_the_machine_s_authorities_decide(web: Web) -> None:
    refused(web.page("/list", b"x"), None, "certificate is refused")


def test_another_authority_is_not_believed(web: Web, folder: Path) -> None:
    web.asked.clear()
    refused(web.page("/list", b"x"), Authority(folder, "other").file, "certificate is refused")
    assert not web.asked, "nothing is asked of a stranger"


def test_the_server_s_own_certificate_is_a_pin(authority: Authority, folder: Path) -> None:
    with Web(authority.server("one")) as one, Web(authority.server("two")) as two:
        assert get(one.page("/", b"1"), folder / "one.pem") == b"1"
        refused(two.page("/", b"2"), folder / "one.pem", "certificate is refused")


@pytest.mark.parametrize(
    ("host", "days", "word"),
    [("127.0.0.2", 0.5, "IP address mismatch"), (HOST, 2, "expired"), (HOST, -1, "not yet valid")],
    ids=["name", "expired", "coming"],
)
def test_a_certificate_must_be_in_order(authority: Authority, host: str, days: float, word: str) -> None:
    with Web(authority.server("wrong", host=host, age=datetime.timedelta(days=days))) as server:
        refused(server.page("/", b"x"), authority.file, word)


def test_a_proxy_of_the_environment_is_not_asked(
    web: Web, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert get(web.page("/list", b"x"), authority.file) == b"x"


# -- how much, how long --------------------------------------------------------------------------------------
def test_a_body_that_is_too_long_is_not_read(web: Web, authority: Authority) -> None:
    assert len(get(web.page("/most", bytes(CAP)), authority.file)) == CAP
    refused(web.page("/more", bytes(CAP + 1)), authority.file, f"longer than {CAP}")
    sent = 0

    def flood(stream: ssl.SSLSocket) -> None:
        nonlocal sent
        stream.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            stream.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
            sent += 65536

    web.answers["/flood"] = flood
    refused(web.url("/flood"), authority.file, f"longer than {CAP}")
    assert sent < CAP + 32 * 1024 * 1024, "what sockets hold on their way, and no more"


def test_a_body_that_swells_is_not_read(web: Web, authority: Authority) -> None:
    url = web.page("/bomb", gzip.compress(bytes(50_000_000)), more="Content-Encoding: gzip\r\n")
    refused(url, authority.file, "compressed")


def test_heads_without_an_end_are_not_read(web: Web, authority: Authority) -> None:
    def flood(stream: ssl.SSLSocket) -> None:
        stream.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            stream.sendall(b"X: " + b"x" * 10_000 + b"\r\n")

    web.answers["/heads"] = flood
    refused(web.url("/heads"), authority.file, "can't be reached")


@pytest.mark.parametrize("what", ["head", "body", "handshake", "silence"])
def test_a_server_that_trickles_gains_nothing(web: Web, authority: Authority, what: str) -> None:
    def trickle(stream: ssl.SSLSocket) -> None:
        if what == "body":
            stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(200):
            if what != "silence":
                stream.sendall(b"H" if what == "head" else b"x")
            time.sleep(0.05)

    web.answers["/slow"] = trickle
    url = web.url("/slow")
    if what == "handshake":
        with socket.create_server((HOST, 0)) as mute:
            refused(f"https://{HOST}:{mute.getsockname()[1]}/", authority.file, "takes longer", SHORT_S)
        return
    refused(url, authority.file, "takes longer", SHORT_S)


def test_a_body_that_is_cut_short_is_none(web: Web, authority: Authority) -> None:
    web.answers["/cut"] = lambda stream: stream.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\nhalf"
    )
    refused(web.url("/cut"), authority.file, "can't be reached")


# -- where it leads ------------------------------------------------------------------------------------------
def redirect(web: Web, path: str, location: str, status: str = "302 Found") -> str:
    return web.page(path, b"", status=status, more=f"Location: {location}\r\n")


def test_a_few_redirects_are_followed(web: Web, authority: Authority) -> None:
    web.page("/there", b"found")
    redirect(web, "/c", "/there", "308 Permanent Redirect")
    redirect(web, "/b", web.url("/c"))
    assert get(redirect(web, "/a", "b", "301 Moved Permanently"), authority.file) == b"found"
    refused(redirect(web, "/0", "/a"), authority.file, "more than 3 times")
    refused(redirect(web, "/loop", "/loop"), authority.file, "more than 3 times")


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/there",
        "HTTP://127.0.0.1/",
        "file:///etc/passwd",
        "ftp://x/",
        "https://",
        "//",
    ],
)
def test_no_redirect_leads_out_of_https(web: Web, authority: Authority, location: str) -> None:
    web.page("/there", b"found")
    refused(
        redirect(web, "/away", location.format(port=web.port)),
        authority.file,
        "not https://|more than 3 times",
    )


def test_a_redirect_to_another_server_is_checked_too(web: Web, authority: Authority, folder: Path) -> None:
    with Web(Authority(folder, "foreign").server("elsewhere")) as other:
        refused(redirect(web, "/to", other.page("/", b"x")), authority.file, "certificate is refused")
        assert not other.asked


def test_plain_http_is_never_asked(authority: Authority) -> None:
    refused("http://127.0.0.1:9/list", authority.file, "not https://")


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content", "304 Not Modified"])
def test_another_status_is_no_file(web: Web, authority: Authority, status: str) -> None:
    refused(web.page("/status", b"", status=status), authority.file, f"answers {status[:3]}")


@pytest.mark.parametrize(
    "url", ["https://", "https://[", "https://a b/", "https://127.0.0.1:99999/", "https://\0/"]
)
def test_an_address_that_is_none_is_one_error(url: str) -> None:
    refused(url, None, "not https://|can't be reached")


def test_nobody_there_is_one_error(authority: Authority) -> None:
    with Web(authority.server("gone")) as gone:
        url = gone.url("/")
    refused(url, authority.file, "can't be reached")
