"""The core's own bottle validators: what is wrong in any network, though its signatures are right."""

from __future__ import annotations

from port17.bottles.verdict import Verdict, distrust, reject
from port17.hookspecs import hookimpl
from port17.records.bottle import Bottle


@hookimpl
def validate_bottle(bottle: Bottle) -> Verdict | None:
    """Refuses a node that is its own neighbour, and distrusts an exit that lets nothing out."""
    if any(lane.fingerprint == bottle.fingerprint for lane in bottle.contents.lanes):
        return reject("the node names itself as its neighbour")
    if bottle.label.exit is not None and not any(rule.startswith("accept") for rule in bottle.label.exit):
        return distrust("the node calls itself an exit, but accepts no destination")
    return None
