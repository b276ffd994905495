"""Both directions live against npm's @noble packages: `python live.py FOLDER`, where npm installed them.

Every suite's KEM, KDF and AEAD, and the composite scheme: what one end makes, the other takes, and what is
changed, neither. `--freeze` writes noble.json, a few answers that the tests check without node.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from port17 import CipherSuite
from port17.plugins.loader import Registry
from port17_crypto.schemes import Ed25519MlDsa65

HERE = Path(__file__).resolve().parent
FROZEN = HERE / "noble.json"
SCRIPT = HERE / "noble.mjs"
PACKAGES = ("post-quantum", "curves", "hashes", "ciphers")
ROUNDS = 20
"""Key exchanges and signatures in each direction."""
ANSWER_S = 300
"""Seconds for all of a batch's answers: JavaScript's lattices take some milliseconds each."""
KEMS = {"xwing", "x25519", "mlkem768"}
AEADS = {"aes256gcm", "chacha20poly1305"}
HASHES = {"sha256": "sha256", "blake2s": "blake2s", "sha3": "sha3_256"}
"""What the words of a suite's name are that noble.mjs knows; hashes with the name that it knows them by."""


class Noble:
    """The other implementation.

    :param folder: where ``node_modules`` is.
    """

    def __init__(self, folder: Path) -> None:
        # Modules are looked for beside the script that asks for them.
        self._folder = tempfile.TemporaryDirectory(prefix="port17-interop-")
        here = Path(self._folder.name)
        shutil.copy(SCRIPT, here)
        (here / "node_modules").symlink_to(folder.resolve() / "node_modules")
        self._script = here / SCRIPT.name
        self.versions = {
            f"@noble/{name}": json.loads(
                (folder / "node_modules/@noble" / name / "package.json").read_text("utf-8")
            )["version"]
            for name in PACKAGES
        }

    def ask(self, requests: list[dict[str, Any]]) -> list[dict[str, bytes]]:
        """The answers to requests, each a dict of what noble.mjs names."""
        sent = [
            {name: value.hex() if isinstance(value, bytes) else value for name, value in request.items()}
            for request in requests
        ]
        done = subprocess.run(
            ["node", str(self._script)],
            input=json.dumps(sent),
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )
        if done.returncode != 0:
            sys.exit(done.stderr)
        answers = json.loads(done.stdout)
        return [{name: bytes.fromhex(value) for name, value in answer.items()} for answer in answers]


def check(what: str, good: bool) -> None:
    """:raises SystemExit: it is not so."""
    if not good:
        sys.exit(f"the two implementations differ: {what}")


def exchange(noble: Noble, suite: CipherSuite, kem: str) -> None:
    """Secrets both ways, and none for a changed ciphertext."""
    keys = [suite.generate() for _ in range(ROUNDS)]
    seeds = [suite.private_bytes(key.private) for key in keys]
    public = noble.ask([{"ask": "keygen", "kem": kem, "seed": seed} for seed in seeds])
    theirs = noble.ask([{"ask": "encapsulate", "kem": kem, "public": key.public} for key in keys])
    ours = [suite.encapsulate(key.public) for key in keys]
    changed = [bytes([ciphertext[0] ^ 1]) + ciphertext[1:] for _, ciphertext in ours]
    opened = noble.ask(
        [
            {"ask": "decapsulate", "kem": kem, "seed": seed, "ciphertext": ciphertext}
            for seed, (_, ciphertext) in zip(seeds, ours, strict=True)
        ]
    )
    refused = noble.ask(
        [
            {"ask": "decapsulate", "kem": kem, "seed": seed, "ciphertext": ciphertext}
            for seed, ciphertext in zip(seeds, changed, strict=True)
        ]
    )
    for at, key in enumerate(keys):
        check(f"{kem}: keys of a seed", public[at]["public"] == key.public)
        made = theirs[at]
        check(f"{kem}: theirs", suite.decapsulate(key.private, made["ciphertext"]) == made["secret"])
        check(f"{kem}: ours", opened[at]["secret"] == ours[at][0])
        check(f"{kem}: changed", refused[at]["secret"] == suite.decapsulate(key.private, changed[at]))
        check(f"{kem}: changed and taken", refused[at]["secret"] != ours[at][0])


def derive_and_seal(noble: Noble, suite: CipherSuite, aead: str, kdf: str) -> None:
    """HKDF over many lengths, and the AEAD's bytes."""
    stuff = [hashlib.shake_128(bytes([at])).digest(at * 7) for at in range(ROUNDS)]
    keys = [hashlib.sha256(part).digest() for part in stuff]
    pairs = list(zip(keys, stuff, strict=True))
    extracted = noble.ask(
        [{"ask": "extract", "hash": HASHES[kdf], "salt": key, "secret": part} for key, part in pairs]
    )
    expanded = noble.ask(
        [
            {"ask": "expand", "hash": HASHES[kdf], "key": key, "info": part, "length": 1 + 9 * at}
            for at, (key, part) in enumerate(pairs)
        ]
    )
    sealed = noble.ask(
        [
            {"ask": "seal", "aead": aead, "key": key, "nonce": key[:12], "associated": part, "plain": part}
            for key, part in pairs
        ]
    )
    for at, (key, part) in enumerate(pairs):
        check(f"{kdf}: extract", extracted[at]["key"] == suite.extract(key, part))
        check(f"{kdf}: expand", expanded[at]["stream"] == suite.expand(key, part, 1 + 9 * at))
        buffer = bytearray(len(part) + 16)
        suite.aead(key).encrypt_into(key[:12], part, part, buffer)
        check(f"{aead}: sealed", sealed[at]["sealed"] == buffer)


def sign(noble: Noble) -> None:
    """The composite's signatures both ways, and none for another message."""
    scheme = Ed25519MlDsa65()
    rounds = ROUNDS // 4
    keys = [scheme.generate() for _ in range(rounds)]
    messages = [b"message %d" % at for at in range(rounds)]
    seeds = [scheme.private_bytes(key) for key in keys]
    theirs = noble.ask(
        [
            {"ask": "sign", "seed": seed, "message": message}
            for seed, message in zip(seeds, messages, strict=True)
        ]
    )

    def verify(message: bytes) -> list[dict[str, bytes]]:
        return noble.ask(
            [
                {
                    "ask": "verify",
                    "classical": key.public[0][1],
                    "quantum": key.public[1][1],
                    "message": own + message,
                    "signature": scheme.sign(key, own),
                }
                for key, own in zip(keys, messages, strict=True)
            ]
        )

    good, bad = verify(b""), verify(b"!")
    for at, key in enumerate(keys):
        public = tuple(zip(scheme.algorithms, (theirs[at]["classical"], theirs[at]["quantum"]), strict=True))
        check("composite: keys of a seed", public == key.public)
        check("composite: theirs", scheme.verify(key.public, messages[at], theirs[at]["signature"]))
        check("composite: theirs, changed", not scheme.verify(key.public, b"other", theirs[at]["signature"]))
        check("composite: ours", good[at]["good"] == b"\x01")
        check("composite: ours, changed", bad[at]["good"] == b"\x00")


def freeze(noble: Noble) -> None:
    """Write noble.json: a few answers for what this distribution brings, from fixed seeds."""
    seed = bytes(range(64))
    frozen: dict[str, Any] = {"by": noble.versions, "kems": [], "hkdf": [], "composite": []}
    for kem, size in (("xwing", 32), ("x25519", 32)):
        (keys,) = noble.ask([{"ask": "keygen", "kem": kem, "seed": seed[:size]}])
        (made,) = noble.ask([{"ask": "encapsulate", "kem": kem, "public": keys["public"]}])
        frozen["kems"].append(
            {
                "kem": kem,
                "seed": seed[:size].hex(),
                "public_sha256": hashlib.sha256(keys["public"]).hexdigest(),
                "ciphertext": made["ciphertext"].hex(),
                "secret": made["secret"].hex(),
            }
        )
    for hash_name in ("sha256", "blake2s"):
        for length in (32, 64, 100):
            (key,) = noble.ask([{"ask": "extract", "hash": hash_name, "salt": seed[:32], "secret": seed}])
            (stream,) = noble.ask(
                [{"ask": "expand", "hash": hash_name, "key": key["key"], "info": b"info", "length": length}]
            )
            frozen["hkdf"].append(
                {
                    "hash": hash_name,
                    "salt": seed[:32].hex(),
                    "secret": seed.hex(),
                    "key": key["key"].hex(),
                    "info": b"info".hex(),
                    "stream": stream["stream"].hex(),
                }
            )
    (made,) = noble.ask([{"ask": "sign", "seed": seed, "message": b"message"}])
    public = made["classical"] + made["quantum"]
    frozen["composite"].append(
        {
            "seed": seed.hex(),
            "message": b"message".hex(),
            "public_sha256": hashlib.sha256(public).hexdigest(),
            "signature": made["signature"].hex(),
        }
    )
    FROZEN.write_text(json.dumps(frozen, indent=1) + "\n", "utf-8")


def main() -> None:
    """Ask, compare, and say what was compared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where npm installed @noble/post-quantum")
    parser.add_argument("--freeze", action="store_true", help="write noble.json too")
    arguments = parser.parse_args()
    noble = Noble(arguments.folder)
    registry = Registry()
    for name in registry.names("port17.cipher_suites"):
        _, _, kem, aead, kdf = name.split("-")
        if kem not in KEMS or aead not in AEADS or kdf not in HASHES:
            print(f"{name}: not asked, the other implementation lacks a part")
            continue
        suite = registry.make("port17.cipher_suites", name)
        exchange(noble, suite, kem)
        derive_and_seal(noble, suite, aead, kdf)
        print(f"{name}: {ROUNDS} exchanges each way, {ROUNDS} derivations, {ROUNDS} seals: alike")
    sign(noble)
    print(f"ed25519-mldsa65: {ROUNDS // 4} signatures each way: alike")
    if arguments.freeze:
        freeze(noble)
    print(", ".join(f"{name} {version}" for name, version in noble.versions.items()))


if __name__ == "__main__":
    main()
