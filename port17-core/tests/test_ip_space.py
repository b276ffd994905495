"""Which addresses are public: the quick search gives the same answer as asking every network."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from port17.records import ip_space
from port17.records.ip_space import is_public, is_public_v4

EDGES = [
    end
    for network in ip_space._NOT_PUBLIC_V4
    for end in (int(network[0]) - 1, int(network[0]), int(network[-1]), int(network[-1]) + 1)
    if 0 <= end < 1 << 32
]


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.sampled_from(EDGES), st.integers(0, (1 << 32) - 1)))
def test_the_search_agrees_with_the_networks(number: int) -> None:
    address = IPv4Address(number)
    inside = any(address in network for network in ip_space._NOT_PUBLIC_V4)
    assert is_public_v4(number) is is_public(address) is not inside
