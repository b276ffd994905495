"""Bootstrap lists: who must sign, what a reader refuses, and that no two files mean the same."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import RecordError
from port17.records.bootstrap import (
    FILE_CAP,
    NODES_CAP,
    PAYLOAD_CAP,
    TERM_CAP_S,
    BootstrapList,
    SignedBootstrap,
)
from port17.records.charter import Charter, Genesis, Revision
from port17.records.level import Status
from port17.records.revision import Signer
from port17_crypto.schemes import Ed25519

from .bottle_maker import NOW, SCHEME, TERMS, Maker

SCHEMES = TERMS.schemes
ANNE, BEN, CLEO, STRANGER = Maker(), Maker(), Maker(), Maker()
NODE = Maker().bottle().encode()


def signers(*who: Maker) -> list[Signer]:
    return [(SCHEME, one.key) for one in who]


def charter(publishers: Sequence[Maker] = (), threshold: int = 2, name: str = "net") -> Charter:
    """Anne, Ben and Cleo hold the update keys, of which two must sign."""
    terms = Revision.made(
        not_before=0,
        suites=["p17-1-test"],
        schemes=["ed25519"],
        publishers=[one.identity.to_value() for one in publishers],
        publishers_threshold=threshold if publishers else 0,
    )
    genesis = Genesis.made(
        name=name,
        created=0,
        update_keys=[one.identity.to_value() for one in (ANNE, BEN, CLEO)],
        threshold=2,
    )
    return Charter.found(genesis, terms, signers(ANNE, BEN))


NET = charter()


def listed(
    *by: Maker, net: Charter = NET, seq: int = NOW, term_s: int = 1000, bottles: Sequence[bytes] = (NODE,)
) -> SignedBootstrap:
    held = BootstrapList.made(network_id=net.network_id, seq=seq, expiry=seq + term_s, bottles=list(bottles))
    return SignedBootstrap.of(held).signed(net, net.current(NOW), signers(*by))


def verify(one: SignedBootstrap, net: Charter = NET, now: float = NOW, **schemes: Any) -> None:
    SignedBootstrap.parse(one.encode()).verify(net, net.current(NOW), schemes or SCHEMES, now)


def altered(one: SignedBootstrap, **changes: Any) -> bytes:
    return json.dumps({**json.loads(one.encode()), **changes}).encode()


# -- who must sign -----------------------------------------------------------------------------------------
def test_enough_update_keys_hold_and_too_few_do_not() -> None:
    verify(listed(ANNE, CLEO))
    verify(listed(ANNE, BEN, CLEO))
    for by in ((), (ANNE,), (ANNE, ANNE)):
        with pytest.raises(RecordError, match=f"{len(set(by))} of 2"):
            verify(listed(*by))
    with pytest.raises(RecordError, match="not an update key"):
        listed(ANNE, STRANGER)


def test_signatures_come_together_in_any_order() -> None:
    terms = NET.current(NOW)
    alone = SignedBootstrap.parse(listed(CLEO).encode())
    both = alone.signed(NET, terms, signers(ANNE))
    verify(both)
    assert both.encode() == listed(ANNE, CLEO).encode()


def test_publishers_take_the_place_of_update_keys() -> None:
    dora, emil = Maker(), Maker()
    named = charter([dora, emil], threshold=1)
    verify(listed(dora, net=named), named)
    verify(listed(emil, net=named), named)
    with pytest.raises(RecordError, match="not a publisher"):
        listed(ANNE, net=named)
    by_update_keys = SignedBootstrap(listed(net=named).held, listed(net=named).payload)
    forged = NET.current(NOW)  # of the same genesis, before publishers were named
    signed = by_update_keys.signed(named, forged, signers(ANNE, BEN))
    with pytest.raises(RecordError, match="0 of 1"):
        verify(signed, named)


def test_a_charter_names_publishers_once_and_within_reach() -> None:
    for who, threshold in (([ANNE, ANNE], 1), ([ANNE], 2), ([ANNE], 0), ([], 1)):
        with pytest.raises(RecordError, match="threshold"):
            Revision.made(
                not_before=0,
                suites=["p17-1-test"],
                schemes=["ed25519"],
                publishers=[one.identity.to_value() for one in who],
                publishers_threshold=threshold,
            )


def test_a_broken_scheme_signs_nothing() -> None:
    class Broken(Ed25519):
        status = Status.BROKEN

    with pytest.raises(RecordError, match="0 of 2"):
        verify(listed(ANNE, BEN), ed25519=Broken())
    with pytest.raises(RecordError, match="not installed"):
        verify(listed(ANNE, BEN), other=SCHEME)


# -- what is refused ---------------------------------------------------------------------------------------
def test_a_list_of_another_network_is_refused() -> None:
    other = charter(name="other")
    with pytest.raises(RecordError, match=r"of the network .*, not of net"):
        verify(listed(ANNE, BEN, net=other))
    # The same keys: a signature for one network is worth nothing in the other.
    stolen = listed(ANNE, BEN, net=other)
    held = listed().held
    with pytest.raises(RecordError, match="is not valid"):
        verify(SignedBootstrap(held, held.to_cbor(), stolen.signatures))
    with pytest.raises(RecordError, match="another network than was signed"):
        SignedBootstrap.parse(altered(listed(ANNE, BEN), network=other.network_id.hex()))


def test_a_list_holds_for_its_time() -> None:
    skew = NET.current(NOW).clock_skew_s
    verify(listed(ANNE, BEN), now=NOW + 999)
    with pytest.raises(RecordError, match="expired 0 s ago"):
        verify(listed(ANNE, BEN), now=NOW + 1000)
    verify(listed(ANNE, BEN, seq=NOW + skew))
    with pytest.raises(RecordError, match="future"):
        verify(listed(ANNE, BEN, seq=NOW + skew + 1))
    for term_s in (0, -1, TERM_CAP_S + 1):
        with pytest.raises(RecordError, match="at most"):
            listed(ANNE, BEN, term_s=term_s)
    verify(listed(ANNE, BEN, term_s=TERM_CAP_S))


def test_any_altered_byte_is_noticed() -> None:
    whole = listed(ANNE, BEN)

    @settings(max_examples=150, deadline=None)
    @given(st.integers(0, len(whole.payload) - 1), st.integers(1, 255))
    def check(at: int, change: int) -> None:
        payload = bytearray(whole.payload)
        payload[at] ^= change
        with pytest.raises(RecordError):
            one = SignedBootstrap.parse(altered(whole, payload=base64.b64encode(payload).decode()))
            one.verify(NET, NET.current(NOW), SCHEMES, NOW)

    check()


def test_signatures_are_in_order_and_each_once() -> None:
    rows = json.loads(listed(ANNE, BEN).encode())["signatures"]
    for wrong in (
        rows[::-1],
        [rows[0], rows[0]],
        rows * 20,
        {"by": 1},
        [[]],
        [{"by": "00", "signature": ""}],
    ):
        with pytest.raises(RecordError, match="not a bootstrap list"):
            SignedBootstrap.parse(altered(listed(ANNE, BEN), signatures=wrong))


def test_a_file_of_many_values_is_not_even_read() -> None:
    tracemalloc.start()
    try:
        for text in (b"[" + b"[]," * (FILE_CAP // 4) + b"1]", b"[" + b'"",' * (FILE_CAP // 4) + b"1]"):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            with pytest.raises(RecordError, match="not a bootstrap list"):
                SignedBootstrap.parse(text)
            assert tracemalloc.get_traced_memory()[1] - before < FILE_CAP
    finally:
        tracemalloc.stop()


def test_what_is_too_much_is_refused() -> None:
    with pytest.raises(RecordError, match=f"more than {FILE_CAP}"):
        SignedBootstrap.parse(b" " * (FILE_CAP + 1))
    for bottles in ([], [NODE] * (NODES_CAP + 1)):
        with pytest.raises(RecordError, match="bottles"):
            listed(ANNE, BEN, bottles=bottles)
    with pytest.raises(RecordError, match=f"at most {PAYLOAD_CAP}"):
        listed(ANNE, BEN, bottles=[bytes(200_000)] * 40)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 100_000,
        b"<html>404</html>",
    ],
    ids=["empty", "null", "list", "object", "bytes", "deep", "deeper", "number", "page"],
)
def test_what_is_no_list_is_one_error(text: bytes) -> None:
    with pytest.raises(RecordError, match="not a bootstrap list"):
        SignedBootstrap.parse(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "port17-bootstrap/2"},
        {"format": None},
        {"network": 5},
        {"network": "zz"},
        {"payload": "####"},
        {"payload": None},
        {"payload": "é"},
        {"more": 1},
    ],
    ids=str,
)
def test_every_field_must_be_right(changes: dict[str, Any]) -> None:
    with pytest.raises(RecordError):
        SignedBootstrap.parse(altered(listed(ANNE, BEN), **changes))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_end_a_reader(data: bytes) -> None:
    with pytest.raises(RecordError):
        SignedBootstrap.parse(data)
    with pytest.raises(RecordError):
        SignedBootstrap.parse(altered(listed(ANNE, BEN), payload=base64.b64encode(data).decode()))
