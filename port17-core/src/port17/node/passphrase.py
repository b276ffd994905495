"""Where the passphrase of a locked key comes from: a descriptor, else a file, else who sits at the terminal.

Never an argument or an environment variable: other processes can read those.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from port17.errors import ConfigError, PassphraseError
from port17.node import key_file
from port17.node.identity_file import Passphrase

PASSPHRASE_CAP = 1024
"""Longest passphrase, bytes: a paragraph."""


def source(descriptor: int | None, file: Path | None, prompt: str, *, twice: bool = False) -> Passphrase:
    """Asks the first source that was named, or the terminal. Nothing is read before it is asked.

    :param descriptor: from which the passphrase is read to its end, or to the end of its line.
    :param file: that holds it, readable by its owner alone; one line.
    :param prompt: for the terminal.
    :param twice: at the terminal ask again, since what is mistyped now would be lost for good.
    :returns: raises :class:`~port17.errors.PassphraseError` when asked, if there is none to be had.
    """

    def ask() -> bytes:
        if descriptor is not None:
            return _checked(_from_descriptor(descriptor), f"descriptor {descriptor}")
        if file is not None:
            return _checked(key_file.read(file, PASSPHRASE_CAP + 2), str(file))
        return _checked(_from_terminal(prompt, twice=twice), "what was typed")

    return ask


def _from_descriptor(descriptor: int) -> bytes:
    data = b""
    try:
        while b"\n" not in data and len(data) <= PASSPHRASE_CAP + 2:
            piece = os.read(descriptor, PASSPHRASE_CAP + 3 - len(data))
            if not piece:
                break
            data += piece
    except OSError as error:
        raise PassphraseError(
            f"no passphrase can be read from descriptor {descriptor}: {error.strerror}",
            cure="Give --passphrase-fd 3 and, for instance, 3<FILE.",
        ) from error
    return data.partition(b"\n")[0]


def _from_terminal(prompt: str, *, twice: bool) -> bytes:
    if not sys.stdin or not sys.stdin.isatty():
        raise PassphraseError(
            "a passphrase is needed, and there is no terminal to ask at",
            cure="Give --passphrase-fd, or set identity.passphrase_file to a file that only you can read.",
        )
    try:
        first = getpass.getpass(f"{prompt}: ")
        if twice and getpass.getpass(f"{prompt}, again: ") != first:
            raise PassphraseError("the two passphrases differ", cure="Try again.")
        return first.encode()
    except (EOFError, UnicodeError):
        raise PassphraseError("no passphrase was typed", cure="Try again.") from None


def _checked(data: bytes, where: str) -> bytes:
    passphrase = data.removesuffix(b"\n").removesuffix(b"\r")
    if not passphrase:
        raise PassphraseError(f"{where} holds no passphrase", cure="Give one of at least a few words.")
    if len(passphrase) > PASSPHRASE_CAP:
        raise PassphraseError(
            f"the passphrase of {where} is too long", cure=f"A passphrase has at most {PASSPHRASE_CAP} bytes."
        )
    if b"\n" in passphrase or b"\x00" in passphrase:
        raise ConfigError(f"{where} holds more than one line", cure="It is to hold the passphrase alone.")
    return passphrase
