"""The product has the vectors' hashes, and its suites and schemes are the vectors'."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from reference import framing, generate, records, signatures
from reference.recorded import FROZEN
from reference.suites import SUITES
from scripted_suite import product_suite

from port17.plugins.loader import Registry
from port17.records import scheme as schemes
from port17.records.envelope import signed_bytes
from port17.records.framing import digest, framed
from port17.records.genesis import network_id
from port17.records.identity import Identity
from port17.records.prekey import PrekeyRecord
from port17.records.revision import Revision, SignedRevision
from port17.records.scheme import IdentityScheme
from port17.records.succession import hand_over
from port17.wire.suite import nonce

VECTORS = generate.read()
FRAMING, SUITE_CASES, IDENTITIES = VECTORS["framing"], VECTORS["suites"], VECTORS["signatures"]
ROOT = Path(__file__).resolve().parent.parent
LABEL = re.compile(r"""\b(?:framed|digest)\(\s*f?"([^"]+)\"""")
LOCAL = {"envelope:{kind}"}
"""Labels of what never leaves the process."""
FEW = settings(max_examples=15, deadline=None, phases=[Phase.generate])
"""Whatever differs differs in the smallest example, too: looking for that one says nothing."""


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def identity_scheme(name: str) -> IdentityScheme:
    scheme = Registry().make("port17.identity_schemes", name, None)
    assert isinstance(scheme, IdentityScheme)
    return scheme


# -- hashes -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("case", FRAMING["framed"], ids=lambda case: case["label"])
def test_framed_and_h(case: dict[str, Any]) -> None:
    parts = [unhex(part) for part in case["parts"]]
    assert framed(case["label"], *parts).hex() == case["framed"]
    assert digest(case["label"], *parts).hex() == case["h"]


@FEW
@given(label=st.text("abcz -", min_size=0, max_size=9), parts=st.lists(st.binary(max_size=70), max_size=4))
def test_framed_of_anything(label: str, parts: list[bytes]) -> None:
    assert framed(label, *parts) == framing.framed(label, *parts)
    assert digest(label, *parts) == framing.h(label, *parts)


def test_network_id() -> None:
    case = FRAMING["network_id"]
    assert network_id(unhex(case["genesis"])).hex() == case["is"]


@pytest.mark.parametrize("case", FRAMING["fingerprint"], ids=lambda case: str(len(case["components"])))
def test_fingerprint(case: dict[str, Any]) -> None:
    public = tuple((algorithm, unhex(key)) for algorithm, key in case["components"])
    assert schemes.fingerprint(public).hex() == case["is"]


def test_revision_hash() -> None:
    case = FRAMING["revision_hash"]
    terms = Revision.made(not_before=0, suites=("p17-1-a-b",), schemes=("ed25519",))
    assert SignedRevision(terms, unhex(case["payload"]), ()).hash.hex() == case["is"]


def test_prekey_hash() -> None:
    case = dict(FRAMING["prekey_hash"])
    expected = case.pop("is")
    for name in ("network_id", "fingerprint", "public"):
        case[name] = unhex(case[name])
    assert PrekeyRecord.made(**case).hash.hex() == expected


def test_signed_bytes() -> None:
    case = FRAMING["signed"]
    message = signed_bytes(case["kind"], unhex(case["network_id"]), case["scheme"], unhex(case["payload"]))
    assert message.hex() == case["is"]


def test_every_label_of_the_product_is_in_the_document() -> None:
    folders = ("port17-core/src/port17/records", "port17-core/src/port17/wire", "port17-crypto/src")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    labels = {label for path in sources for label in LABEL.findall(path.read_text())} - LOCAL
    assert labels >= {"genesis", "link early", "chain step", "composite signature"}
    document = (ROOT / "docs" / "protocol.md").read_text()
    for label in labels:
        assert f'"{label}"' in document, label


# -- suites -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", FROZEN)
def test_suites_have_the_vectors_parts(name: str) -> None:
    case, suite = SUITE_CASES[name], product_suite(name)
    (kem,) = case["kem"].values()
    key = suite.load_private(unhex(kem["seed"]))
    assert key.public.hex() == case["public"]
    assert suite.decapsulate(key.private, unhex(kem["ciphertext"])).hex() == kem["secret"]
    extract, expand = case["extract"], case["expand"]
    assert suite.extract(unhex(extract["salt"]), unhex(extract["secret"])).hex() == extract["is"]
    for length in (32, 100):
        stream = suite.expand(unhex(expand["key"]), unhex(expand["info"]), length)
        assert stream.hex() == expand[f"is_{length}"]
    for cell in case["aead"]:
        assert nonce(cell["counter"]).hex() == cell["nonce"]
        sealed = bytearray(unhex(cell["plaintext"]) + bytes(16))
        suite.aead(unhex(cell["key"])).encrypt_into(
            unhex(cell["nonce"]), unhex(cell["plaintext"]), unhex(cell["associated"]), sealed
        )
        assert sealed.hex() == cell["sealed"]
        stream = suite.keystreams(unhex(cell["key"]), cell["counter"], 1, 100)
        assert stream.hex() == cell["keystream_100"]


@pytest.mark.parametrize("first", [0, 2**32 - 3])
@pytest.mark.parametrize("name", SUITES)
def test_keystreams_of_many_cells(name: str, first: int) -> None:
    """A suite may work out many at once in another way than one by one."""
    key, many = bytes(range(32)), 40
    for length in (17, 68):
        streams = [SUITES[name].aead.keystream(key, nonce(first + at), length) for at in range(many)]
        assert product_suite(name).keystreams(key, first, many, length) == b"".join(streams)


@pytest.mark.parametrize("name", SUITES)
def test_either_encapsulates_to_the_other(name: str) -> None:
    ours, theirs = SUITES[name], product_suite(name)
    key = theirs.generate()
    seed = theirs.private_bytes(key.private)
    assert ours.kem.public(seed) == key.public
    secret, ciphertext = ours.kem.encapsulate(key.public)
    assert theirs.decapsulate(key.private, ciphertext) == secret
    secret, ciphertext = theirs.encapsulate(key.public)
    assert ours.kem.decapsulate(seed, ciphertext) == secret


# -- identities -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", signatures.SCHEMES)
def test_schemes_are_the_vectors(name: str) -> None:
    case, scheme = IDENTITIES[name], identity_scheme(name)
    key = scheme.load_private(unhex(case["seed"]))
    assert [[algorithm, public.hex()] for algorithm, public in key.public] == case["public"]
    assert schemes.fingerprint(key.public).hex() == case["fingerprint"]
    message, signature = unhex(case["message"]), unhex(case["signature"])
    assert len(signature) == scheme.signature_size
    assert scheme.verify(key.public, message, signature)
    assert not scheme.verify(key.public, message + b"\0", signature)
    if len(key.public) > 1:
        each = records.composite_signed(name, list(key.public), message)
        assert hashlib.sha256(each).hexdigest() == case["each_signs_sha256"]


@pytest.mark.parametrize("name", signatures.SCHEMES)
def test_an_identity_hands_over_as_the_reference_reads_it(name: str) -> None:
    scheme, network = identity_scheme(name), bytes(range(32))
    old, new = scheme.generate(), scheme.generate()
    successor = Identity.made(scheme=name, public=new.public)
    word = hand_over(network, scheme, old, successor)
    message = records.handed_over(
        network, name, records.fingerprint(list(old.public)), records.fingerprint(list(new.public))
    )
    assert signatures.verify(name, list(old.public), message, word.signature)


@pytest.mark.parametrize("name", signatures.SCHEMES)
def test_either_verifies_the_other(name: str) -> None:
    scheme = identity_scheme(name)
    key = scheme.generate()
    message = b"a message"
    assert signatures.verify(name, list(key.public), message, scheme.sign(key, message))
    seed = scheme.private_bytes(key)
    assert signatures.public(name, seed) == list(key.public)
    assert scheme.verify(key.public, message, signatures.sign(name, seed, message))
