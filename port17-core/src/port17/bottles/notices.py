"""What lies in a folder of bottles beside the bottles: moderators' lists, and proofs against nodes.

Files named ``*.moderation`` and ``*.proof``. Both travel by gossip, too.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from port17.errors import ConfigError, RecordError
from port17.records.file_mark import FileMark, mark_of
from port17.records.identity import node_id
from port17.records.moderation import MODERATION_CAP, SignedModeration
from port17.records.proof import PROOF_CAP, Proof
from port17.records.regular_file import read_regular
from port17.records.whole_file import write_whole

MODERATION_SUFFIX: Final = ".moderation"
PROOF_SUFFIX: Final = ".proof"
FILES_CAP: Final = 4096
"""Most of these files that are read from one folder, and proofs that are written there; of more, the first by
name. A network in which so many nodes cheat has other troubles."""

_log = logging.getLogger(__name__)

Notice: TypeAlias = SignedModeration | Proof

_READERS: Final[Mapping[str, tuple[Callable[[bytes], Notice], int]]] = {
    MODERATION_SUFFIX: (SignedModeration.parse, MODERATION_CAP),
    PROOF_SUFFIX: (Proof.parse, PROOF_CAP),
}


@dataclass(frozen=True)
class Notices:
    """What a look at a folder found.

    :param files: all such files that are there, by name.
    :param read: of these, what was read anew: parsed and not verified, or what is wrong with the file.
    """

    files: Mapping[str, FileMark] = field(default_factory=dict)
    read: Mapping[str, Notice | RecordError] = field(default_factory=dict)


def read_notices(path: Path, known: Mapping[str, FileMark]) -> Notices:
    """Read what has changed.

    :param known: what was seen before; such files are not read.
    :raises OSError: the folder can't be read.
    """
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in entries if Path(entry.name).suffix in _READERS)[:FILES_CAP]
    files: dict[str, FileMark] = {}
    read: dict[str, Notice | RecordError] = {}
    for name in names:
        mark = mark_of(path / name)
        if mark is None:
            continue  # gone since
        files[name] = mark
        if mark != known.get(name):
            try:
                read[name] = load_notice(path / name)
            except RecordError as error:
                read[name] = error
    return Notices(files, read)


class NoticeFolder:
    """What such files have told this process, and the proofs that it keeps there."""

    def __init__(
        self,
        path: Path,
        convict: Callable[[Proof, float], None],
        consider: Callable[[SignedModeration, float], bool],
    ) -> None:
        """
        :param convict: obeys a proof; raises RecordError for one that proves nothing.
        :param consider: obeys a list; raises RecordError for one that is not signed well enough.
        """
        self.known: Mapping[str, FileMark] = {}
        """What need not be read again."""
        self._path = path
        self._convict = convict
        self._consider = consider
        self._kept: set[bytes] = set()

    def take(self, notices: Notices, now_s: float) -> None:
        """Obey what was found, and pass it on; what is wrong is logged once."""
        self.known = notices.files
        for name, found in notices.read.items():
            try:
                if isinstance(found, RecordError):
                    raise found
                if isinstance(found, Proof):
                    self._convict(found, now_s)
                    self._kept.add(found.fingerprint)
                else:
                    self._consider(found, now_s)
            except RecordError as error:
                _log.warning("%s is refused: %s", self._path / name, error.message)

    def keep(self, proofs: Iterable[Proof]) -> None:
        """Keep those that are new, for the time after a restart."""
        for proof in proofs:
            if len(self._kept) >= FILES_CAP:
                return
            if proof.fingerprint not in self._kept:
                self._kept.add(proof.fingerprint)
                _log.error("the node %s is banned: %s", node_id(proof.fingerprint), proof.reason)
                try:
                    save_proof(self._path, proof)
                except ConfigError as error:
                    _log.warning("the proof is not kept: %s", error.message)


def load_notice(file: Path) -> Notice:
    """What a file holds, by its name's ending; nothing is verified yet.

    :raises RecordError: it can't be read, or is no such thing.
    """
    parse, cap = _READERS.get(file.suffix, _READERS[MODERATION_SUFFIX])
    try:
        data = read_regular(file, cap)
    except OSError as error:
        raise RecordError(f"can't be read: {error.strerror}", cure="Check the file's permissions.") from error
    return parse(data)


def save_proof(folder: Path, proof: Proof) -> Path:
    """Writes a proof beside the bottles, so that whoever gets these gets it too.

    :raises ConfigError: it can't be written.
    """
    return write_whole(folder / f"{node_id(proof.fingerprint)}{PROOF_SUFFIX}", proof.to_cbor())
