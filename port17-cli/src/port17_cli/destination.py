"""What a demonstration fetches: its own HTTPS server on loopback, with a certificate made on the spot."""

from __future__ import annotations

import datetime
import hashlib
import http.server
import ipaddress
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
CERTIFICATE_LIFE = datetime.timedelta(hours=1)
"""Longer than any demonstration; the key is never used again."""
CLOCK_SLACK = datetime.timedelta(minutes=5)
"""The certificate is valid from a little before it was made, for clocks that differ."""
PIECE = 256 * 1024
"""Bytes that the server writes at once."""


@dataclass(frozen=True)
class Destination:
    """A server that answers every GET with the same body.

    :param port: on :data:`HOST`.
    :param body: what it sends.
    :param certificate: PEM file by which a client can trust it; None without TLS.
    """

    port: int
    body: bytes
    certificate: Path | None

    @property
    def digest(self) -> str:
        """SHA-256 of the body, hex."""
        return hashlib.sha256(self.body).hexdigest()


@contextmanager
def serve(body: bytes, directory: Path | None = None) -> Iterator[Destination]:
    """Serve a body while the context is open.

    :param directory: where a fresh key and certificate are put; None serves plain HTTP.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30  # seconds; a connection that says nothing is let go

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            for start in range(0, len(body), PIECE):
                self.wfile.write(body[start : start + PIECE])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Says nothing: the terminal is the demonstration's."""

    server = _Server((HOST, 0), Handler)
    certificate = None
    if directory is not None:
        certificate, key = _certificate(directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # The handshake is done by the connection's own thread, or one client could hold up the rest.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="destination", daemon=True)
    thread.start()
    try:
        yield Destination(server.server_address[1], body, certificate)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: a connection that broke shows at who fetched."""


def _certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for :data:`HOST` and its key, as PEM files."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Port17 demonstration")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + CERTIFICATE_LIFE)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = directory / "destination.crt", directory / "destination.key"
    certificate_path.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    descriptor = os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return certificate_path, key_path
