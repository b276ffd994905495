"""Whether the prekeys that came with a bottle are keys at all: asked when it is taken in, not later.

That they are the node's own is the signatures' to say, and which of them is used the chart's.
"""

from __future__ import annotations

from collections.abc import Mapping

from port17.errors import RecordError
from port17.records.bottle import Bottle
from port17.wire import kem
from port17.wire.suite import CipherSuite


def check_prekeys(bottle: Bottle, suites: Mapping[str, CipherSuite]) -> None:
    """Accepts only prekeys that a secret can be agreed on with. Costs one encapsulation each.

    :param suites: those that this process may use; of others nothing can be said, and nothing is.
    :raises RecordError: one is malformed or of low order, though the node committed to it.
    """
    for record in bottle.bundle:
        suite = suites.get(record.suite)
        if suite is None:
            continue
        try:
            kem.encapsulate(suite, record.public)
        except kem.UnusableKey as error:
            raise RecordError(
                f"bottle of {bottle.node_id}: its prekey of slot {record.slot} is no key of {record.suite}",
                cure="Ask who runs the node to sign a fresh bottle: `port17 node bottle`.",
            ) from error
