"""The core's own bottle validators, registered as anybody's: what is wrong with a bottle in any network."""

from __future__ import annotations

import math

from port17.bottles.address_checks import ADDRESSES_CHECKED
from port17.bottles.keys import check_prekeys
from port17.bottles.name_order import ESTABLISHED_S
from port17.bottles.outcome import Why
from port17.bottles.validation import Known, Terms
from port17.bottles.verdict import ACCEPT, Verdict, distrust, reject
from port17.errors import RecordError
from port17.hookspecs import hookimpl
from port17.records.bottle import BUNDLE_CAP, CONTENTS_CAP, LABEL_CAP, Bottle
from port17.records.host import malformed, objection
from port17.records.identity import node_id


@hookimpl(specname="verify_bottle")
def check_size(bottle: Bottle) -> Verdict | None:
    """Refuses what nobody would read from the network, wherever it comes from."""
    if (
        len(bottle.label_envelope.payload) > LABEL_CAP
        or len(bottle.contents_envelope.payload) > CONTENTS_CAP
        or len(bottle.bundle) > BUNDLE_CAP
    ):
        return reject("it is too large", Why.OVERSIZED)
    return None


@hookimpl(specname="verify_bottle")
def check_skew(bottle: Bottle, terms: Terms) -> Verdict | None:
    """Refuses what is from the future, and a name that was claimed after the claim was signed."""
    ahead = bottle.contents.seq - terms.now_s
    if ahead > terms.skew_s:
        return reject(f"it was signed {ahead:.0f} s in the future: set this clock, or the node's", Why.FUTURE)
    if bottle.label.since > bottle.contents.seq:
        return reject("it claims its name from a time after it was signed on", Why.FUTURE)
    return None


@hookimpl(specname="verify_bottle")
def check_signatures(bottle: Bottle, terms: Terms) -> Verdict | None:
    """Accepts only what the node signed for this network, and whose parts belong together."""
    try:
        # The time of signing is check_skew's.
        bottle.verify(terms.network_id, terms.schemes, terms.now_s, skew_s=math.inf)
        check_prekeys(bottle, terms.suites)
    except RecordError as error:
        # Whoever asks says whose bottle it is.
        return reject(error.message.removeprefix(f"bottle of {bottle.node_id}: "), Why.FORGED)
    return ACCEPT


@hookimpl(specname="validate_bottle")
def check_name(bottle: Bottle, known: Known) -> Verdict | None:
    """Refuses a PortName that is another's while the claim is fresh; later that costs the name alone."""
    holder = known.name_holder
    if holder in (None, bottle.fingerprint) or known.now_s - bottle.label.since >= ESTABLISHED_S:
        return None
    return reject(f"the PortName {bottle.label.name} is {node_id(holder or b'')}'s", Why.NAME)


@hookimpl(specname="validate_bottle")
def check_addresses(known: Known) -> Verdict | None:
    """Distrusts a node that is not where it says."""
    return distrust(known.unreachable) if known.unreachable else None


@hookimpl(specname="validate_bottle")
def check_address_forms(bottle: Bottle, known: Known) -> Verdict | None:
    """Distrusts a node that advertises what its flavour forbids, what is no address, or more than anybody
    looks at. The names of transports are no matter: one that is not known here is somebody else's."""
    pairs = [(name, one) for name, found in sorted(bottle.label.addresses.items()) for one in found]
    if len(pairs) > ADDRESSES_CHECKED:
        return distrust(
            f"it advertises {len(pairs)} addresses: nobody looks at more than {ADDRESSES_CHECKED}"
        )
    for name, address in pairs:
        why = malformed(address) or objection(
            address, bottle.label.flavour, allow_private=known.allow_private
        )
        if why:
            return distrust(f"its {name} address {address}: {why}")
    return None


@hookimpl
def validate_bottle(bottle: Bottle) -> Verdict | None:
    """Refuses a node that is its own neighbour, and distrusts an exit that lets nothing out."""
    if any(lane.fingerprint == bottle.fingerprint for lane in bottle.contents.lanes):
        return reject("the node names itself as its neighbour")
    if bottle.label.exit is not None and not any(rule.startswith("accept") for rule in bottle.label.exit):
        return distrust("the node calls itself an exit, but accepts no destination")
    return None
