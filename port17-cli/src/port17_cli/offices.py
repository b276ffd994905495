"""Offices that a charter gives to keys: moderators, and publishers of bootstrap lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from port17.errors import ConfigError, RecordError, UsageError
from port17.records.genesis import UPDATE_KEYS_CAP
from port17.records.identity import Identity, node_id
from port17.records.identity_card import CARD_CAP, read_card
from port17_cli import drivers

if TYPE_CHECKING:
    from port17.plugins.loader import Registry


@dataclass(frozen=True)
class Holders:
    """Who holds an office.

    :param known: by fingerprint.
    :param threshold: how many of them must agree.
    """

    known: Mapping[bytes, Identity]
    threshold: int

    def changed(
        self,
        registry: Registry,
        noun: str,
        files: Iterable[str],
        dismissed: Iterable[str],
        threshold: int | None,
    ) -> Holders:
        """After an election. Where nothing is said of a threshold, it stays as long as the holders do, and is
        all of them otherwise.

        :param noun: what a holder is called, as the flags have it.
        :param files: cards of new holders.
        :param dismissed: ids or fingerprints of those that are to go.
        :raises UsageError: the threshold can't be reached, or nobody of that id is dismissed.
        """
        chosen = dict(self.known)
        for file in files:
            identity = card(Path(file), registry)
            chosen[identity.fingerprint] = identity
        for text in dismissed:
            gone = [one for one in chosen if text in (one.hex(), node_id(one))]
            if not gone:
                raise UsageError(
                    f"There is no {noun} {text}.",
                    cure=f"There are {', '.join(map(node_id, chosen)) or 'none'}.",
                )
            del chosen[gone[0]]
        if threshold is None:
            threshold = self.threshold if chosen.keys() == self.known.keys() else len(chosen)
        if not min(1, len(chosen)) <= threshold <= len(chosen) <= UPDATE_KEYS_CAP:
            raise UsageError(
                f"{threshold} of {len(chosen)} {noun}s cannot be.",
                cure=f"Give --{noun}s-threshold 1 to as many as there are, at most {UPDATE_KEYS_CAP}.",
            )
        return Holders(chosen, threshold)

    def values(self) -> list[dict[str, object]]:
        """The identities as a revision takes them."""
        return [identity.to_value() for identity in self.known.values()]


def card(file: Path, registry: Registry) -> Identity:
    """Whose key it is that somebody has exported.

    :raises ConfigError: the file can't be read, or holds no card.
    """
    try:
        with open(file, "rb") as stream:
            data = stream.read(CARD_CAP + 1)
        return read_card(data, drivers.schemes(registry))
    except OSError as error:
        raise ConfigError(
            f"{file} can't be read: {error.strerror}", cure="It is what `port17 identity export` wrote."
        ) from error
    except RecordError as error:
        raise RecordError(
            f"{file}: {error.message}", cure="It is what `port17 identity export` wrote, not the key itself."
        ) from error
