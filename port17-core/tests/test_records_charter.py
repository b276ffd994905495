"""The charter: the chain of revisions, who may sign, what holds when, and its file."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from port17.errors import ConfigError, RecordError
from port17.records import cbor, genesis
from port17.records.charter import (
    PREDECESSORS_CAP,
    REVISIONS_CAP,
    Charter,
    Genesis,
    Revision,
    SignedRevision,
)
from port17.records.envelope import signed_bytes
from port17.records.framing import digest
from port17.records.identity import Identity
from port17.records.scheme import SigningKey
from port17_crypto.schemes import Ed25519

SCHEME = Ed25519()
SCHEMES = {"ed25519": SCHEME}
KEYS = [SCHEME.generate() for _ in range(3)]
IDENTITIES = tuple(Identity.made(scheme="ed25519", public=key.public) for key in KEYS)
SUITE = "p17-1-test"
ARMOUR_SIZE = 4_000_000
"""Bytes, of the 8 MiB that a file may have."""
ARMOUR_S = 3.0
"""Seconds of a processor for them: a hundred times what they take, and a millionth of what a search takes
that begins anew at every line."""


def founded(threshold: int = 2, keys: tuple[Identity, ...] = IDENTITIES) -> Genesis:
    return Genesis.made(name="testnet", created=50, update_keys=keys, threshold=threshold)


def terms(**changed: Any) -> Revision:
    return Revision.made(**{"not_before": 100, "suites": [SUITE], "schemes": ["ed25519"], **changed})


def signers(*keys: SigningKey) -> list[tuple[Ed25519, SigningKey]]:
    return [(SCHEME, key) for key in keys]


CHARTER = Charter.found(founded(), terms(), signers(KEYS[2], KEYS[0]))
AMENDED = CHARTER.amended(terms(not_before=1000, overlap_s=50, suites=["p17-2-test", SUITE]), signers(*KEYS))
DATA = AMENDED.encode()


def forged(*revisions: SignedRevision, charter: Charter = CHARTER) -> Charter:
    return Charter(charter.genesis, charter.genesis_payload, revisions)


def refuses(charter: Charter, why: str) -> None:
    with pytest.raises(RecordError, match=why):
        charter.verify(SCHEMES)
    with pytest.raises(RecordError, match=why):
        Charter.parse(charter.encode(), SCHEMES)


def test_the_network_id_is_the_hash_of_the_genesis() -> None:
    assert CHARTER.network_id == digest("genesis", CHARTER.genesis_payload)
    assert AMENDED.network_id == CHARTER.network_id
    other = Charter.found(
        Genesis.made(name="testnet", created=51, update_keys=IDENTITIES, threshold=2), terms(), signers(*KEYS)
    )
    assert other.network_id != CHARTER.network_id


def test_a_charter_travels() -> None:
    read = Charter.parse(DATA, SCHEMES)
    assert read == AMENDED
    assert read.encode() == DATA
    assert Charter.from_armour(AMENDED.to_armour().encode(), SCHEMES) == AMENDED


def test_the_chain() -> None:
    first, second = AMENDED.revisions
    assert first.revision.previous == CHARTER.network_id
    assert second.revision.previous == first.hash
    assert [signed.revision.seq for signed in AMENDED.revisions] == [0, 1]


def test_which_revision_holds() -> None:
    with pytest.raises(RecordError, match="begins in the future"):
        AMENDED.current(99)
    first, second = (signed.revision for signed in AMENDED.revisions)
    assert AMENDED.current(100) == AMENDED.current(999.9) == first
    assert AMENDED.accepted(500) == (first,)
    assert AMENDED.accepted(1000) == AMENDED.accepted(1049) == (second, first)
    assert AMENDED.accepted(1050) == (second,)
    assert AMENDED.current(1000) == second


def numbers(charter: Charter, now: float) -> list[int]:
    return [revision.seq for revision in charter.accepted(now)]


def amended(*steps: tuple[int, int]) -> Charter:
    """A charter with a revision more per (not_before, overlap_s)."""
    charter = CHARTER
    for not_before, overlap_s in steps:
        charter = charter.amended(terms(not_before=not_before, overlap_s=overlap_s), signers(*KEYS))
    return charter


def test_revisions_in_quick_succession_are_each_accepted_for_their_overlap() -> None:
    charter = amended((1000, 300), (1100, 300), (1200, 300))
    assert numbers(charter, 1250) == [3, 2, 1, 0]
    assert numbers(charter, 1299) == [3, 2, 1, 0]
    assert numbers(charter, 1300) == [3, 2, 1]
    assert numbers(charter, 1400) == [3, 2]
    assert numbers(charter, 1500) == [3]
    assert [charter.accepted_until(seq, 3) for seq in range(3)] == [1300, 1400, 1500]


def test_a_shorter_overlap_ends_all_before_it_and_a_longer_one_brings_none_back() -> None:
    assert numbers(amended((1000, 300), (1100, 20)), 1119) == [2, 1, 0]
    assert numbers(amended((1000, 300), (1100, 20)), 1120) == [2]
    assert numbers(amended((1000, 20), (1100, 300)), 1110) == [2, 1], "what is over is over"


def test_only_so_many_revisions_are_accepted_at_a_time() -> None:
    charter = amended(*[(1000 + seq, 300) for seq in range(PREDECESSORS_CAP + 3)])
    newest = charter.revisions[-1].revision.seq
    assert numbers(charter, 1100) == list(range(newest, newest - PREDECESSORS_CAP - 1, -1))


@pytest.mark.parametrize("keys", [(0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_any_k_of_n_may_sign(keys: tuple[int, ...]) -> None:
    charter = Charter.found(founded(), terms(), signers(*(KEYS[index] for index in keys)))
    Charter.parse(charter.encode(), SCHEMES)


def test_too_few_or_wrong_signers_are_refused_when_signing() -> None:
    with pytest.raises(RecordError, match="1 of 2"):
        Charter.found(founded(), terms(), signers(KEYS[0]))
    with pytest.raises(RecordError, match="1 of 2"):
        Charter.found(founded(), terms(), signers(KEYS[0], KEYS[0]))
    with pytest.raises(RecordError, match="not an update key"):
        Charter.found(founded(), terms(), signers(KEYS[0], SCHEME.generate()))


def test_too_few_or_wrong_signatures_are_refused_when_reading() -> None:
    (signed,) = CHARTER.revisions
    (low, first), (high, second) = signed.signatures
    assert (low, high) == (0, 2)
    for signatures, why in (
        (((0, first),), "1 of 2"),
        (((0, first), (0, first)), "not in order"),
        (((2, second), (0, first)), "not in order"),
        (((0, first), (1, second)), "update key 1 is not valid"),
        (((0, first), (2, first)), "update key 2 is not valid"),
        (((0, first), (1, b""), (2, second)), "update key 1 is not valid"),
        (((0, first), (2, second), (3, second)), "doesn't have"),
    ):
        refuses(forged(SignedRevision(signed.revision, signed.payload, signatures)), why)


def test_signatures_bind_the_network_and_the_terms() -> None:
    elsewhere = Charter.found(founded(threshold=1), terms(), signers(*KEYS))
    moved = SignedRevision.sign(
        Revision.made(**{**terms().to_value(), "previous": CHARTER.network_id}),
        elsewhere.network_id,
        elsewhere.genesis,
        signers(*KEYS),
    )
    refuses(forged(moved), "is not valid")
    (signed,) = CHARTER.revisions
    other = Revision.made(**{**signed.revision.to_value(), "clock_skew_s": 3600})
    refuses(forged(SignedRevision(other, other.to_cbor(), signed.signatures)), "is not valid")
    with pytest.raises(RecordError, match="ed25519 is not installed"):
        CHARTER.verify({})


def _signed(**changed: Any) -> SignedRevision:
    first = CHARTER.revisions[0]
    fields = {"seq": 1, "previous": first.hash, "not_before": 100}
    return SignedRevision.sign(
        terms(**{**fields, **changed}), CHARTER.network_id, CHARTER.genesis, signers(*KEYS)
    )


@pytest.mark.parametrize("changed", [{"seq": 2}, {"seq": 0}, {"previous": bytes(32)}, {"not_before": 99}])
def test_a_broken_chain_is_refused(changed: dict[str, Any]) -> None:
    first = CHARTER.revisions[0]
    Charter.parse(forged(first, _signed()).encode(), SCHEMES)
    refuses(forged(first, _signed(**changed)), "does not follow")
    refuses(forged(_signed()), "does not follow")


def test_a_revision_from_before_its_predecessor_is_refused_when_made() -> None:
    with pytest.raises(RecordError, match="predecessor"):
        CHARTER.amended(terms(not_before=99), signers(*KEYS))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"cell_size": 512}, "blocks of 4096 bytes only, not 512"),
        ({"max_hops": 3}, "up to 5 hops only, not 3"),
        ({"flight_blocks": 1}, "flight_blocks"),
        ({"flight_blocks": genesis.FLIGHT_BLOCKS_CAP + 1}, "flight_blocks"),
        ({"format": 2}, "format"),
        ({"update_keys": []}, "update_keys"),
        ({"update_keys": IDENTITIES[:1] * 2}, "twice"),
        ({"threshold": 0}, "threshold"),
        ({"threshold": 4}, "above the number"),
        ({"name": "a b"}, "name"),
        ({"created": -1}, "created"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_geneses_that_version_1_does_not_know(changed: dict[str, Any], why: str) -> None:
    fields = {**founded().to_value(), **changed}
    with pytest.raises(RecordError, match=why):
        Genesis.made(**fields)
    with pytest.raises(RecordError, match=why) as raised:
        genesis.read_genesis(
            cbor.encode(
                {
                    **fields,
                    "update_keys": [
                        key.to_value() if isinstance(key, Identity) else key for key in fields["update_keys"]
                    ],
                }
            )
        )
    assert "newer Port17" in raised.value.cure


@pytest.mark.parametrize(
    "changed",
    [
        {"suites": []},
        {"suites": [SUITE, SUITE]},
        {"suites": [f"s{number}" for number in range(33)]},
        {"schemes": []},
        {"previous": bytes(20)},
        {"prekey_lifetime_s": 2},
        {"prekey_lifetime_s": 31 * 86400},
        {"overlap_s": -1},
        {"clock_skew_s": 0},
        {"clock_skew_s": 3601},
        {"plain_text_exits": [bytes(31)]},
        {"plain_text_exits": [bytes(32)] * 2},
        {"plain_text_exits": [number.to_bytes(32, "big") for number in range(1025)]},
        {"moderators_threshold": 1},
        {"quantum_category": 6},
        {"least_hops": 2},
        {"least_hops": 6},
        {"attack_budget_eur": -1},
        {"unknown": 1},
    ],
)
def test_revisions_over_a_cap_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match="not a valid Revision"):
        terms(**changed)


def test_the_largest_list_of_exits_fits() -> None:
    exits = [number.to_bytes(32, "big") for number in range(1024)]
    charter = Charter.found(founded(), terms(plain_text_exits=exits), signers(*KEYS))
    assert Charter.parse(charter.encode(), SCHEMES).current(100).plain_text_exits == tuple(exits)


# -- hostile bytes --------------------------------------------------------------------------------
@given(at=st.integers(0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused_or_another_network(at: int, bit: int) -> None:
    data = bytearray(DATA)
    data[at % len(data)] ^= 1 << bit
    try:
        read = Charter.parse(bytes(data), SCHEMES)
    except RecordError:
        return
    pytest.fail(f"accepted network {read.network_id.hex()}")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_charter_or_an_error(data: bytes) -> None:
    for attempt in (data, cbor.encode({"genesis": data, "revisions": [data]}), DATA[:-1] + data):
        if attempt == DATA:
            continue
        with pytest.raises(RecordError):
            Charter.parse(attempt, SCHEMES)
    with pytest.raises(RecordError):
        Charter.from_armour(data, SCHEMES)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"genesis": b""},
        {"genesis": b"", "revisions": [], "more": 1},
        {"genesis": "", "revisions": [{}]},
        {"genesis": b"", "revisions": {}},
        {"genesis": CHARTER.genesis_payload, "revisions": []},
        {"genesis": CHARTER.genesis_payload, "revisions": [{"payload": b"", "signatures": [[0, b""]]}]},
        {
            "genesis": CHARTER.genesis_payload,
            "revisions": [{"payload": CHARTER.revisions[0].payload, "signatures": []}],
        },
    ],
)
def test_malformed_charters_are_refused(value: object) -> None:
    with pytest.raises(RecordError):
        Charter.parse(cbor.encode(value), SCHEMES)


def test_too_many_revisions_are_refused_before_they_are_read() -> None:
    value = {"genesis": CHARTER.genesis_payload, "revisions": [None] * (REVISIONS_CAP + 1)}
    with pytest.raises(RecordError, match="1 to 1024 revisions"):
        Charter.parse(cbor.encode(value), SCHEMES)


def test_what_a_revision_signs_is_the_payload_as_received() -> None:
    payload = cbor.encode({**CHARTER.revisions[0].revision.to_value(), "_note": "x"})
    message = signed_bytes("revision", CHARTER.network_id, "ed25519", payload)
    signatures = tuple((index, SCHEME.sign(KEYS[index], message)) for index in (0, 1))
    charter = forged(SignedRevision(CHARTER.revisions[0].revision, payload, signatures))
    read = Charter.parse(charter.encode(), SCHEMES)
    assert read.revisions[0].payload == payload
    assert read.current(100) == CHARTER.current(100)


# -- the file -------------------------------------------------------------------------------------
def test_the_file_reads_back_and_shows_its_network(tmp_path: Path) -> None:
    file = tmp_path / "test.charter"
    AMENDED.dump(file)
    text = file.read_text()
    assert Charter.load(file, SCHEMES) == AMENDED
    assert "Network: testnet\n" in text
    assert f"Network-Id: {AMENDED.network_id.hex()}\n" in text
    assert max(map(len, text.splitlines())) <= 76 + len("Network-Id: ")
    assert [entry.name for entry in tmp_path.iterdir()] == ["test.charter"]


def test_mail_programs_may_change_line_ends() -> None:
    text = "\r\n \r\n" + AMENDED.to_armour().replace("\n", "\r\n") + "\r\n"
    assert Charter.from_armour(text.encode(), SCHEMES) == AMENDED


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("Network-Id: ", "Network-Id: 00", "another network"),
        ("Network-Id: ", "Id: ", "another network"),
        ("BEGIN PORT17 CHARTER", "BEGIN", "not a charter file"),
        ("-----END", "----", "not a charter file"),
        ("\n\n", "\n\n!", "base64"),
        ("\n\n", "\n\nAAAA", "malformed|not a charter"),
        ("\n\n", "\n\n\u00e9", "base64"),
    ],
)
def test_damaged_files_are_refused(old: str, new: str, why: str) -> None:
    with pytest.raises(RecordError, match=why) as raised:
        Charter.from_armour(AMENDED.to_armour().replace(old, new).encode(), SCHEMES)
    assert why == "malformed|not a charter" or "Get the charter again" in raised.value.cure


@pytest.mark.parametrize(
    "filling",
    [b"\n", b"\r\n", b"\n\n", b"a\n", b"A\n\n", b" ", b"-----BEGIN PORT17 CHARTER-----\n"],
)
@pytest.mark.parametrize("end", [b"", b"\n-----END PORT17 CHARTER-----"])
def test_a_file_is_refused_in_a_time_that_grows_with_its_size(filling: bytes, end: bytes) -> None:
    text = b"-----BEGIN PORT17 CHARTER-----\n" + filling * (ARMOUR_SIZE // len(filling)) + end
    begun = time.process_time()
    with pytest.raises(RecordError):
        Charter.from_armour(text, SCHEMES)
    assert time.process_time() - begun < ARMOUR_S


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read") as raised:
        Charter.load(tmp_path / "none", SCHEMES)
    assert "charter init" in raised.value.cure
    with pytest.raises(ConfigError, match="can't be written"):
        AMENDED.dump(tmp_path / "none" / "charter")


def test_a_bad_file_is_named_in_the_error(tmp_path: Path) -> None:
    file = tmp_path / "bad"
    file.write_bytes(base64.b64encode(DATA))
    with pytest.raises(RecordError, match="bad: not a charter file"):
        Charter.load(file, SCHEMES)
