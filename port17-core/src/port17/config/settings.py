"""What a node and a client can be told: the models of the two configuration files.

What a driver's own table may hold is the driver's ``Config``, and is checked when the driver is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr

from port17.errors import RecordError
from port17.records.identity import parse_node_id
from port17.records.record import HASH_SIZE, DriverName, PortName
from port17.wire.block import BODY_SIZE
from port17.wire.pace import MIB, STEP_MIB, STEP_MIB_FLOOR, STEP_S, STEP_S_FLOOR, StepTerms
from port17.wire.ratchet import CELLS_PER_STEP
from port17.wire.setup import CELLS_PER_STEP_CAP

Options: TypeAlias = dict[str, Any]
"""One driver's own table, as its ``Config`` will check it."""


@dataclass(frozen=True)
class LocalFile:
    """Marks a string that may name a file as ``./file.py:Name``, relative to where it was written."""


@dataclass(frozen=True)
class FileOrUrl:
    """Marks a string that is an address with a scheme, or else a file, relative to where it was written."""


def _ingress_listen(value: dict[str, Options]) -> dict[str, Options]:
    if not value:
        raise ValueError("a client needs at least one ingress, e.g. [ingress.socks5]")
    return value


PolicyName: TypeAlias = Annotated[str, LocalFile()]
"""A route policy's driver name, or its place in a file."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Filed(BaseModel):
    """A configuration that may come from a file, and knows its folder."""

    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """What relative files in drivers' own options are relative to: the configuration file's folder, else
        the working directory."""
        return self._folder

    def lies_in(self, folder: Path) -> None:
        """The file was read from there."""
        self._folder = folder


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


class IdentityConfig(_Section):
    """``[identity]``: how the node gets at its key.

    :param passphrase_file: one line, readable by its owner alone. Where it is not set and the key is locked,
        the passphrase is asked for at the terminal.
    """

    passphrase_file: Path | None = None


def _is_node(value: str) -> str:
    try:
        bytes.fromhex(value) if len(value) == 2 * HASH_SIZE else parse_node_id(value)
    except (ValueError, RecordError):
        raise ValueError("neither a node id nor a fingerprint") from None
    return value


NodeName: TypeAlias = Annotated[str, AfterValidator(_is_node)]
"""A node id, or a fingerprint in hex. No PortName: who holds one may change."""


class ModerationConfig(_Section):
    """``[moderation]``: the user's own word, above the moderators'.

    :param trust: nodes of which nothing that moderators say against them counts.
    :param distrust: nodes that no route uses.
    :param ignore_moderator: moderators whose signatures don't count.
    """

    trust: list[NodeName] = []
    distrust: list[NodeName] = []
    ignore_moderator: list[NodeName] = []


class LimitsConfig(_Section):
    """``[limits]``: bounds on what peers can make this process hold.

    :param memory_mib: budget of all queues of all links together, MiB.
    """

    memory_mib: Annotated[int, Field(ge=8, le=65536)] = 256


STEP_MIB_CAP = 64 * 1024
"""Most mebibytes between asymmetric steps: 64 GiB, where steps are as good as off."""
STEP_S_CAP = 24 * 3600.0
"""Most seconds between asymmetric steps: a day, what a prekey lives."""


class LinkRatchetConfig(_Section):
    """``[ratchet]`` of a node: how often the keys of the lanes that it dials take an asymmetric step.

    :param step_mib: after so much use, MiB of both directions together.
    :param step_s: after so many seconds of use. Both are drawn anew for each step, from half to one and a
        half times.
    """

    step_mib: Annotated[int, Field(ge=STEP_MIB_FLOOR, le=STEP_MIB_CAP)] = STEP_MIB
    step_s: Annotated[float, Field(ge=STEP_S_FLOOR, le=STEP_S_CAP)] = STEP_S

    def terms(self, cells_per_step: int = CELLS_PER_STEP) -> StepTerms:
        """The same as the wire takes it."""
        return StepTerms(cells_per_step, self.step_mib * MIB // BODY_SIZE, self.step_s)


class RatchetConfig(LinkRatchetConfig):
    """``[ratchet]`` of a client: how often the keys of its circuits and links turn.

    :param cells_per_step: cells between the symmetric steps of circuits, each of 4 KiB. 1 leaves a thief of
        keys not one cell that has passed, at half of the speed.
    """

    cells_per_step: Annotated[int, Field(ge=1, le=CELLS_PER_STEP_CAP)] = CELLS_PER_STEP


class RackConfig(_Section):
    """``[rack]``: where what is known of other nodes is kept.

    :param store: name of the bottle store.
    :param options: the store's own table.
    """

    store: DriverName = "sqlite"
    options: Options = {}


def _is_source(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if separator and (scheme != "https" or not rest):
        raise ValueError("neither a file nor an address that begins with https://")
    if separator and "@" in rest.partition("/")[0]:
        raise ValueError("a list is public: name no user and no password")
    return value


Source: TypeAlias = Annotated[str, FileOrUrl(), AfterValidator(_is_source)]
"""Where a bootstrap list is: an address, or a file."""
MESH_LANES_CAP = 64
"""Most lanes that a configuration may ask for: half of what a bottle names, so that as many can come from
others."""
SOURCES_CAP = 16
"""Most sources: who tries more of them without luck has no network."""


class BootstrapConfig(_Section):
    """``[bootstrap]``: where somebody who knows nobody yet learns of some nodes.

    :param sources: of signed lists, in the order in which they are asked; the first that is in order will do.
    :param pin: PEM file of the only certificates that vouch for the servers: an authority's, or the
        servers' own. Where it is not set, the authorities that the machine trusts do.
    :param timeout_s: seconds that one source may take.
    """

    sources: Annotated[list[Source], Field(max_length=SOURCES_CAP)] = []
    pin: Path | None = None
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 20.0


class AddressesConfig(_Section):
    """``[addresses]``: which of the addresses that public bottles advertise are ever dialled.

    :param allow_private: True allows loopback, private and link-local ones as well. For test networks only:
        in any other, a stranger's bottle could make this machine call its neighbours.
    """

    allow_private: bool = False


class MeshConfig(_Section):
    """``[mesh]``: the lanes that a node makes by itself.

    :param lanes: how many it sees to; where it is not set, what the network's size asks for. 0 keeps those of
        the lanes file alone.
    :param drain_s: most seconds for which a node that leaves waits for circuits that others have through it.
    """

    lanes: Annotated[int, Field(ge=0, le=MESH_LANES_CAP)] | None = None
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 30.0


class LocalNetworkConfig(_Section):
    """``[local_network]``: how nodes of the same local network are found.

    :param driver: name of the driver, ``multicast`` of port17-lan; empty looks for none.
    :param options: the driver's own table.
    """

    driver: DriverName | Literal[""] = ""
    options: Options = {}


class GeoConfig(_Section):
    """``[geo]``: what says where an address is, and whose network it belongs to.

    :param source: name of the geo source.
    :param options: the source's own table.
    """

    source: DriverName = "none"
    options: Options = {}


class _Common(_Section, Filed):
    """What nodes and clients have in common.

    :param charter: the network's charter file.
    :param bottles: directory of ``*.bottle`` files: what the user puts there is known from the start. A node
        keeps its own there, too.
    :param state: directory that the process keeps for itself, readable by its owner alone: a node's keyring,
        and the newest charter that was seen.
    :param control: unix socket on which ``port17`` commands ask the running process (mode 0600).
    :param suites: names of cipher suites; empty takes the charter's. Can only narrow it: which is the best of
        them is the charter's to say.
    :param transports: options of each transport by name.
    """

    charter: Path
    bottles: Path = Path("bottles")
    state: Path = Path("state")
    control: Path = Path("control.sock")
    suites: list[str] = []
    transports: dict[str, Options] = {}
    log: LogConfig = LogConfig()
    limits: LimitsConfig = LimitsConfig()
    moderation: ModerationConfig = ModerationConfig()
    rack: RackConfig = RackConfig()
    bootstrap: BootstrapConfig = BootstrapConfig()
    addresses: AddressesConfig = AddressesConfig()
    local_network: LocalNetworkConfig = LocalNetworkConfig()
    geo: GeoConfig = GeoConfig()


class NodeConfig(_Common):
    """The configuration of a node.

    :param lanes: JSON list of node ids or fingerprints (hex) with which this node keeps lanes whatever the
        mesh needs.
    :param name: PortName, unique in the network.
    :param group: whose node it is; the nodes of one group never share a route. Empty is no mark.
    :param flavour: a local node is known on its local network alone.
    :param listen: address to bind per transport.
    :param advertise: addresses that the bottle names per transport; where empty, what was bound.
    :param operations: options of each operation by wire name.
    """

    lanes: Path | None = None
    name: PortName
    group: PortName | Literal[""] = ""
    flavour: Literal["public", "local"] = "public"
    mesh: MeshConfig = MeshConfig()
    listen: dict[str, str] = {"tcp": "127.0.0.1:0"}
    advertise: dict[str, list[str]] = {}
    operations: dict[str, Options] = {}
    exit: ExitConfig = ExitConfig()
    identity: IdentityConfig = IdentityConfig()
    ratchet: LinkRatchetConfig = LinkRatchetConfig()


class ClientConfig(_Common):
    """The configuration of a client.

    :param ingress: where programs hand over their connections; one table per ingress driver.
    :param policies: route policies by driver name or ``./file.py:Class``; all of them must agree.
    :param policy_options: options of each policy, by what ``policies`` calls it.
    :param level: how much speed connections give up for anonymity, where no policy asks for more.
    :param early: which connections send data before the route's last node has answered: those to TLS
        ports, all, or none. Early data has no forward secrecy beyond the prekey's life.
    """

    ingress: Annotated[dict[str, Options], AfterValidator(_ingress_listen)] = {
        "socks5": {"listen": "127.0.0.1:1080"}
    }
    policies: list[PolicyName] = []
    policy_options: dict[PolicyName, Options] = {}
    level: Literal["fast", "normal", "high"] = "normal"
    early: Literal["tls", "always", "never"] = "tls"
    ratchet: RatchetConfig = RatchetConfig()


MODELS: tuple[type[BaseModel], ...] = (NodeConfig, ClientConfig)
"""Every model that shares the ``PORT17_*`` name space: one environment may serve a node and a client."""
