"""A file from the web: over HTTPS alone, and bounded in size, time and redirects.

It goes over the open network, beside the tunnel. What the file means, and whether to believe it, is for
whoever asked for it.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

import anyio

from port17.errors import ConfigError, NetworkError

if TYPE_CHECKING:
    import httpx

SCHEME: Final = "https"
REDIRECTS_CAP: Final = 3
"""Most redirects that are followed: to another name, to another place, and one to spare."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # what is not compressed cannot swell
    "User-Agent": "port17",
}


def is_address(text: str) -> bool:
    """Whether this is for :func:`fetch`, not the name of a file."""
    return text.startswith(f"{SCHEME}://")


def context(authority: Path | None) -> ssl.SSLContext:
    """Which servers are believed.

    :param authority: PEM file of the only certificates that vouch for a server: an authority's, or the
        server's own. None takes the authorities that the machine trusts.
    :raises ConfigError: the file can't be used.
    """
    try:
        made = ssl.create_default_context(cafile=str(authority) if authority is not None else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificates {authority} can't be used: {error.strerror or 'not a PEM file'}",
            cure="Name a PEM file in [bootstrap] as pin: an authority's certificate, or the server's own.",
        ) from error
    if authority is not None:
        made.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # a server's own ends a chain, too
    return made


async def fetch(url: str, servers: ssl.SSLContext, *, cap: int, timeout_s: float) -> bytes:
    """The bytes at an address.

    :param servers: as :func:`context` makes it.
    :param cap: most bytes that are read.
    :param timeout_s: for all of it together, redirects too: a server that trickles gains nothing.
    :raises NetworkError: there are none, or too many, or the server is not who it should be.
    """
    import httpx  # here: it takes 100 ms, which who reads a file or asks for help does not wait for

    try:
        with anyio.fail_after(timeout_s) as scope:
            # No proxy and no netrc of the environment's: whom we ask is said in the configuration alone.
            async with httpx.AsyncClient(verify=servers, trust_env=False, headers=_HEADERS) as client:
                for _ in range(REDIRECTS_CAP + 1):
                    _check(url)
                    # Who is cancelled while he shakes hands leaves his socket open: connecting and the
                    # handshake, each with a limit of their own, end before that.
                    left_s = max(scope.deadline - anyio.current_time(), 0.0)
                    client.timeout = httpx.Timeout(timeout_s, connect=left_s / 3)
                    body, url = await _get(client, url, cap)
                    if body is not None:
                        return body
        raise NetworkError(f"it redirects more than {REDIRECTS_CAP} times")
    except (TimeoutError, httpx.TimeoutException):
        raise NetworkError(f"it takes longer than a source may, which is {timeout_s:g} s in all") from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError, OSError) as error:
        raise NetworkError(_words(error)) from error


def _check(url: str) -> None:
    """Raises NetworkError, or ValueError for what is no address at all."""
    parts = urlsplit(url)
    if not (parts.scheme == SCHEME and parts.hostname and parts.port != 0):
        raise NetworkError("it leads to an address that is not https://")


async def _get(client: httpx.AsyncClient, url: str, cap: int) -> tuple[bytes | None, str]:
    """The body of one answer, or None and where else it is."""
    async with client.stream("GET", url) as answer:
        if answer.status_code in _REDIRECTS and "location" in answer.headers:
            return None, urljoin(url, answer.headers["location"])
        if answer.status_code != 200:
            raise NetworkError(f"the server answers {answer.status_code}")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise NetworkError("the server sends it compressed")
        body = bytearray()
        async for piece in answer.aiter_raw():
            body += piece
            if len(body) > cap:
                raise NetworkError(f"it is longer than {cap} bytes")
        return bytes(body), url


def _words(error: BaseException) -> str:
    """What went wrong, for people; of a certificate what OpenSSL says."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, ssl.SSLCertVerificationError):
            return f"the server's certificate is refused: {link.verify_message}"
        link = link.__cause__ or link.__context__
    return f"the server can't be reached: {str(error) or type(error).__name__}"
