"""Which program is at the other end of a local connection, as the system tells it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from port17.client.ingress.programs import Programs

LINUX = sys.platform.startswith("linux")
OWN = os.path.realpath(sys.executable) if LINUX else ""
CALL = "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2]))); sys.stdin.read()"


@pytest.mark.parametrize(
    ("host", "listen"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("127.0.0.1", "::")]
)
def test_a_program_is_found_by_its_connection(host: str, listen: str) -> None:
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.socket(family) as listener:
        if listen == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((listen, 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        with subprocess.Popen([sys.executable, "-c", CALL, host, port], stdin=subprocess.PIPE) as caller:
            accepted, _ = listener.accept()
            with accepted:
                programs = Programs()
                assert programs.of(accepted) == OWN
                assert list(programs._found) == ([str(caller.pid)] if LINUX else [])
                assert programs.of(accepted) == OWN
            assert caller.stdin is not None
            caller.stdin.close()


def test_what_cannot_be_told_is_empty(tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    assert programs.of_pair(("127.0.0.1", 1), ("127.0.0.1", 2)) == ""
    (tmp_path / "net").mkdir()
    row = "0: 0100007F:0001 0100007F:0002 01 0:0 0:0 0 1000 0 4711 1"
    (tmp_path / "net" / "tcp").write_text(f"head\nno row\n{row}\n")
    assert programs.of_pair(("127.0.0.1", 1), ("127.0.0.1", 2)) == "", "no process has it"
    descriptors = tmp_path / "12" / "fd"
    descriptors.mkdir(parents=True)
    (descriptors / "3").symlink_to("socket:[4711]")
    (tmp_path / "12" / "exe").symlink_to("/usr/bin/curl (deleted)")
    found = programs.of_pair(("127.0.0.1", 1), ("127.0.0.1", 2))
    assert found == ("/usr/bin/curl" if sys.byteorder == "little" else "")
    assert programs.of_pair(("127.0.0.1", 2), ("127.0.0.1", 1)) == "", "the other way round it is another's"
    with socket.socket() as unconnected:
        assert Programs().of(unconnected) == ""
