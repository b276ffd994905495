"""The one tree of errors that a user of Port17 can meet.

::

    Port17Error                       exit code 1
    +-- UsageError                    2   a flag or an argument is wrong
    +-- ConfigError                   3   a file, a variable or a value is wrong
    |   +-- RecordError               3   a signed record (charter, bottle, key) is unusable
    |   +-- PassphraseError           3   a locked key's passphrase is missing or wrong
    +-- PluginError                   4   a plugin is missing, broken or there twice
    +-- NetworkError                  5   the network did not do what was asked
        +-- HandshakeFailed               one uniform failure; never says which check failed
        +-- LinkLost                      the ship under a link ended
        +-- CircuitFailed                 a circuit ended, with a reason
        +-- ConveyorReset                 one stream ended, with a reason
        +-- NoRoute                       no route satisfies what was asked
        +-- PeerViolation                 the peer broke the protocol; costs it its link or circuit
    LocalViolation (RuntimeError)     our own code called the protocol core wrongly: a bug

Each says what is wrong and, as ``cure``, what to do about it.
"""

from __future__ import annotations

# Only for type checkers; errors are imported by everything, and quickly.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Port17Error(Exception):
    """Root of the tree.

    :param message: what is wrong, in one sentence.
    :param cure: what the user can do about it; may be empty where nothing can be done.
    """

    exit_code = 1

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}\n  {self.cure}" if self.cure else self.message


class UsageError(Port17Error):
    """A flag or an argument is wrong."""

    exit_code = 2


class ConfigError(Port17Error):
    """A file, an environment variable or a value in one of them is wrong."""

    exit_code = 3


class RecordError(ConfigError):
    """A signed record is malformed, unsigned, wrongly signed or not of this network."""


class PassphraseError(ConfigError):
    """The passphrase of a locked key is missing, unfit or wrong."""


class PluginError(Port17Error):
    """A plugin is missing, broken or there twice."""

    exit_code = 4


class NetworkError(Port17Error):
    """The network did not do what was asked."""

    exit_code = 5


class HandshakeFailed(NetworkError):
    """A handshake failed. Uniform on purpose: it never tells which check failed."""


class LinkLost(NetworkError):
    """The ship under a link ended, or its peer stopped answering."""


class CircuitFailed(NetworkError):
    """A circuit ended.

    :param reason: a :class:`port17.wire.reasons.Reason`.
    """

    def __init__(self, message: str, reason: int, *, cure: str = "") -> None:
        super().__init__(message, cure=cure)
        self.reason = reason


class ConveyorReset(NetworkError):
    """One stream inside a circuit ended other than by an orderly close.

    :param reason: a :class:`port17.wire.reasons.Reason`.
    """

    def __init__(self, message: str, reason: int, *, cure: str = "") -> None:
        super().__init__(message, cure=cure)
        self.reason = reason


class NoRoute(NetworkError):
    """No route satisfies what was asked.

    :param short: the same in a few words that are fit for a log: they name no destination, and nothing that
        a policy says of it.
    :param mendable: there may be one of more nodes, or over what has just failed; otherwise looking on is no
        use.
    :param by_policy: the user's own policies leave none.
    :param lacks: ``entry`` or ``exit`` if no node can be that; empty if it is not for the lack of one.
    :param explain: the same with every reason; it may take seconds on a large chart, so it is called only for
        who wants to read it.
    """

    def __init__(
        self,
        message: str,
        *,
        cure: str = "",
        short: str = "",
        mendable: bool = True,
        by_policy: bool = False,
        lacks: str = "",
        explain: Callable[[], NoRoute] | None = None,
    ) -> None:
        super().__init__(message, cure=cure)
        self.short = short or "no route"
        self.mendable = mendable
        self.by_policy = by_policy
        self.lacks = lacks
        self._explain = explain
        self.tell: Callable[[], dict[str, Any]] | None = None
        """Gives all that ``port17 route explain --json`` does, if a client has raised it. It is slow, too:
        call it in a thread."""

    def explained(self) -> NoRoute:
        """With who removed what, and why."""
        return self if self._explain is None else self._explain()


class PeerViolation(NetworkError):
    """The peer sent what the protocol does not allow."""


class LocalViolation(RuntimeError):
    """Our own code called a protocol core in a way that its state does not allow."""
