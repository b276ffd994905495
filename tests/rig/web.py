"""An HTTPS server under an authority of the test's own; what it answers, also what no honest server would, is
the test's to say."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
ENDS_S = 10.0
"""How long the server's threads may take to end, seconds."""
LIFE = datetime.timedelta(days=1)

Answer = Callable[[ssl.SSLSocket], None]
"""Says something to whoever has asked."""


class Authority:
    """Vouches for servers.

    :param folder: where its certificate and its servers' are put.
    :param name: of its files.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        """Its certificate, PEM."""
        made = self._sign(self._name, self._key.public_key(), authority=True)
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def server(self, name: str, *, host: str = HOST, age: datetime.timedelta = LIFE / 2) -> Path:
        """A server's certificate and key in one PEM file.

        :param host: the address that the certificate is for.
        :param age: since when it has held; it holds for a day.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._sign(subject, key.public_key(), host=host, age=age)
        file = self._folder / f"{name}.pem"
        file.write_bytes(
            made.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return file

    def _sign(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        *,
        authority: bool = False,
        host: str = HOST,
        age: datetime.timedelta = LIFE / 2,
    ) -> x509.Certificate:
        begun = datetime.datetime.now(datetime.UTC) - age
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begun)
            .not_valid_after(begun + LIFE)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if authority:
            builder = builder.add_extension(_usage(), critical=True)
        else:
            names = [x509.IPAddress(ipaddress.ip_address(host))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _usage() -> x509.KeyUsage:
    fields = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **fields)


class Web:
    """A server; it runs while the context is open.

    :param certificate: as :meth:`Authority.server` makes it.
    """

    def __init__(self, certificate: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.answers: dict[str, Answer] = {}
        """What is said to whoever asks for a path."""
        self.asked: list[bytes] = []
        """Every request's head."""
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._listen, daemon=True)]

    def url(self, path: str) -> str:
        """Where a path is."""
        return f"https://{HOST}:{self.port}{path}"

    def page(self, path: str, body: bytes, *, status: str = "200 OK", more: str = "") -> str:
        """Answer a path in order; its address."""
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{more}\r\n"
        self.answers[path] = lambda stream: stream.sendall(head.encode() + body)
        return self.url(path)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for stream in list(self._open):
            try:
                stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has ended by itself
        for thread in self._threads:
            thread.join(ENDS_S)

    def _listen(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(plain,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        self._open.add(plain)
        try:
            with self._context.wrap_socket(plain, server_side=True) as stream:
                self._open.add(stream)
                try:
                    head = b""
                    while b"\r\n\r\n" not in head and (data := stream.recv(4096)):
                        head += data
                    self.asked.append(head)
                    path = head.split(b" ")[1].decode() if head else ""
                    self.answers.get(path, _missing)(stream)
                finally:
                    self._open.discard(stream)
        except OSError:
            return  # whoever asked has gone, or believes no word of us
        finally:
            self._open.discard(plain)
            plain.close()


def _missing(stream: ssl.SSLSocket) -> None:
    stream.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
