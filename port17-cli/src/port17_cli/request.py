"""What DEST means: a name, an address, either with a port, or a URL; as a program would ask for it."""

from __future__ import annotations

from urllib.parse import urlsplit

from port17.errors import UsageError
from port17.records.exit_rules import LAST_PORT, NAME_CAP, literal

USUAL_PORT = 443
"""Where nothing is said: what browsers ask for nearly always."""
PORTS = {
    "ftp": 21,
    "ftps": 990,
    "git": 9418,
    "http": 80,
    "https": 443,
    "imap": 143,
    "imaps": 993,
    "irc": 6667,
    "ircs": 6697,
    "ldap": 389,
    "ldaps": 636,
    "mqtt": 1883,
    "mqtts": 8883,
    "pop3": 110,
    "pop3s": 995,
    "rsync": 873,
    "rtsp": 554,
    "sftp": 22,
    "smtp": 25,
    "smtps": 465,
    "ssh": 22,
    "ws": 80,
    "wss": 443,
    "xmpp": 5222,
}
"""By URL scheme, as IANA lists them."""
_FORMS = "Write HOST, HOST:PORT, an address, [IPV6]:PORT or a URL."


def destination(text: str) -> tuple[str, int]:
    """The host and port that a program would ask for.

    :raises UsageError: it is no destination.
    """
    host, port = _of_url(text) if "://" in text else _of_words(text)
    if not host or len(host) > NAME_CAP or not host.isprintable() or set(host) & set(" /@?#[]\\"):
        raise _bad(text)
    if ":" in host and literal(host) is None:
        raise UsageError(f"{text!r} is no destination.", cure="Write an IPv6 address as [IPV6]:PORT.")
    return host, port


def _of_url(text: str) -> tuple[str, int]:
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError:
        raise _bad(text) from None
    if port is None:
        port = PORTS.get(url.scheme.lower())
    if port is None:
        raise UsageError(
            f"What port {url.scheme}:// means is not known.", cure="Give one, as in SCHEME://HOST:PORT."
        )
    return host, _port(str(port), text)


def _of_words(text: str) -> tuple[str, int]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or literal(host) is None or (rest and not rest.startswith(":")):
            raise _bad(text)
        return host, _port(rest[1:], text) if rest else USUAL_PORT
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, _port(port, text)
    return text, USUAL_PORT


def _port(digits: str, text: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and 0 < int(digits) <= LAST_PORT):
        raise UsageError(f"{text!r} has no port from 1 to {LAST_PORT}.", cure=_FORMS)
    return int(digits)


def _bad(text: str) -> UsageError:
    return UsageError(f"{text!r} is no destination.", cure=_FORMS)
