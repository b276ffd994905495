"""What a node and a client can be told: the models of the two configuration files.

What a driver's own table may hold is the driver's ``Config``, and is checked when the driver is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from port17.records.record import PortName

Options: TypeAlias = dict[str, Any]
"""One driver's own table, as its ``Config`` will check it."""


@dataclass(frozen=True)
class LocalFile:
    """Marks a string that may name a file as ``./file.py:Name``, relative to where it was written."""


def _ingress_listen(value: dict[str, Options]) -> dict[str, Options]:
    if not value:
        raise ValueError("a client needs at least one ingress, e.g. [ingress.socks5]")
    return value


PolicyName: TypeAlias = Annotated[str, LocalFile()]
"""A route policy's driver name, or its place in a file."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LogConfig(_Section):
    """``[log]``. No level shows a destination, a client's address or a circuit."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class ExitConfig(_Section):
    """``[exit]``: whether and where to this node opens connections for others.

    :param enabled: True makes the node an exit; off by default, since it has legal weight.
    :param allow: rules in the order of the exit policy's own language; the first match decides.
    :param allow_private: True also allows loopback, private, link-local and multicast addresses.
        For test networks only: it exposes what listens on the node's own machine.
    """

    enabled: bool = False
    allow: list[str] = ["accept *:*"]
    allow_private: bool = False


class LimitsConfig(_Section):
    """``[limits]``: bounds on what peers can make this process hold.

    :param memory_mib: budget of all queues of all links together, MiB.
    """

    memory_mib: Annotated[int, Field(ge=8, le=65536)] = 256


class _Common(_Section):
    """What nodes and clients have in common.

    :param charter: the network's charter file.
    :param bottles: directory of ``*.bottle`` files, the static network's map.
    :param control: unix socket on which ``port17`` commands ask the running process (mode 0600).
    :param suites: names of cipher suites, best first; empty takes the charter's. Can only narrow it.
    :param transports: options of each transport by name.
    """

    charter: Path
    bottles: Path = Path("bottles")
    control: Path = Path("control.sock")
    suites: list[str] = []
    transports: dict[str, Options] = {}
    log: LogConfig = LogConfig()
    limits: LimitsConfig = LimitsConfig()


class NodeConfig(_Common):
    """The configuration of a node.

    :param state: directory of the keyring, readable by its owner alone.
    :param lanes: JSON list of node ids or fingerprints (hex) with which this node keeps lanes.
    :param name: PortName, unique in the network.
    :param group: whose node it is; the nodes of one group never share a route. Empty is no mark.
    :param listen: address to bind per transport.
    :param advertise: addresses that the bottle names per transport; where empty, what was bound.
    :param operations: options of each operation by wire name.
    """

    state: Path = Path("state")
    lanes: Path | None = None
    name: PortName
    group: PortName | Literal[""] = ""
    listen: dict[str, str] = {"tcp": "127.0.0.1:0"}
    advertise: dict[str, list[str]] = {}
    operations: dict[str, Options] = {}
    exit: ExitConfig = ExitConfig()


class ClientConfig(_Common):
    """The configuration of a client.

    :param ingress: where programs hand over their connections; one table per ingress driver.
    :param policies: route policies by driver name or ``./file.py:Class``; all of them must agree.
    :param policy_options: options of each policy, by what ``policies`` calls it.
    :param early: which connections send data before the route's last node has answered: those to TLS
        ports, all, or none. Early data has no forward secrecy beyond the prekey's life.
    """

    ingress: Annotated[dict[str, Options], AfterValidator(_ingress_listen)] = {
        "socks5": {"listen": "127.0.0.1:1080"}
    }
    policies: list[PolicyName] = []
    policy_options: dict[PolicyName, Options] = {}
    early: Literal["tls", "always", "never"] = "tls"


MODELS: tuple[type[BaseModel], ...] = (NodeConfig, ClientConfig)
"""Every model that shares the ``PORT17_*`` name space: one environment may serve a node and a client."""
