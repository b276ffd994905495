"""What the deciding half of a node tells its shell to do. What became of it the shell says to the
:class:`~port17.node.manager.Manager`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from port17.records.bottle import Lane


@dataclass(frozen=True, slots=True)
class Introduce:
    """Call a node as nobody, offer it our own bottle, and fetch all that it holds.

    Answered by :meth:`~port17.node.manager.Manager.introduced` or ``failed``.

    :param peer: its fingerprint, here and below.
    """

    peer: bytes


@dataclass(frozen=True, slots=True)
class Dial:
    """Call a node as a node and ask it for a lane.

    Answered by ``stands(ours=True)`` once it granted it, else by ``failed``.
    """

    peer: bytes


@dataclass(frozen=True, slots=True)
class Follow:
    """Open SYNC to the node at the other end of a lane. Given once for every lane that stands."""

    peer: bytes


@dataclass(frozen=True, slots=True)
class Retire:
    """Tell the node at the other end that this is no lane any more. The link may go on for what uses it.

    Needs no answer: from here on the lane is not counted, whatever becomes of the link.
    """

    peer: bytes


@dataclass(frozen=True, slots=True)
class Sign:
    """Sign contents with these and publish them.

    :param lanes: those that stand, in the order of fingerprints.
    :param load: permille.
    :param flags: one word each, as in contents.
    """

    lanes: tuple[Lane, ...]
    load: int
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """The node has left: end everything."""


Command: TypeAlias = Introduce | Dial | Follow | Retire | Sign | Stop
