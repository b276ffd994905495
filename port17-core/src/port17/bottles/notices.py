"""What lies in a folder of bottles beside the bottles: moderators' lists, and proofs against nodes.

In a static network they travel as bottles do, as files: ``*.moderation`` and ``*.proof``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from port17.bottles.intake import Intake
from port17.bottles.moderated import Moderated
from port17.bottles.validation import Terms
from port17.errors import ConfigError, RecordError
from port17.records.file_mark import FileMark, mark_of
from port17.records.identity import node_id
from port17.records.moderation import MODERATION_CAP, SignedModeration
from port17.records.proof import PROOF_CAP, Proof
from port17.records.regular_file import read_regular
from port17.records.revision import Revision
from port17.records.scheme import IdentityScheme
from port17.records.whole_file import write_whole

MODERATION_SUFFIX: Final = ".moderation"
PROOF_SUFFIX: Final = ".proof"
FILES_CAP: Final = 4096
"""Most of these files that are read from one folder; of more, the first by name. A network in which so many
nodes cheat has other troubles."""

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
    """What such files have told one intake."""

    def __init__(self, path: Path, intake: Intake, moderated: Moderated) -> None:
        self.known: Mapping[str, FileMark] = {}
        """What need not be read again."""
        self._path = path
        self._intake = intake
        self._moderated = moderated

    def take(
        self, notices: Notices, terms: Terms, revision: Revision, installed: Mapping[str, IdentityScheme]
    ) -> bool:
        """Obey what was found; what is wrong is logged once.

        :param installed: every identity scheme: moderators may use one that nodes may not.
        :returns: True if anything is new.
        """
        self.known = notices.files
        noted = False
        for name, found in notices.read.items():
            try:
                if isinstance(found, RecordError):
                    raise found
                if isinstance(found, Proof):
                    noted |= self._convict(found, terms)
                elif self._moderated.consider(found, revision, installed, terms.now_s):
                    _log.info("the moderators' list of Unix second %d holds", found.moderation.seq)
                    noted = True
            except RecordError as error:
                _log.warning("%s is refused: %s", self._path / name, error.message)
        return noted

    def _convict(self, proof: Proof, terms: Terms) -> bool:
        new = proof.fingerprint not in self._intake.bans
        self._intake.convict(proof, terms)
        return new

    def publish(self, proofs: Iterable[Proof]) -> None:
        """Proofs that were found here are for everybody who has the bottles."""
        for proof in proofs:
            _log.error("the node %s is banned: %s", node_id(proof.fingerprint), proof.reason)
            try:
                save_proof(self._path, proof)
            except ConfigError as error:
                _log.warning("the proof is not passed on: %s", error.message)


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
