// Answers questions with npm's @noble packages, an independent implementation: reads a JSON list of requests from
// standard input, writes the list of answers. live.py asks; nothing here knows of Port17's code. Bytes are hexadecimal.
import { readFileSync } from "node:fs";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { gcm } from "@noble/ciphers/aes.js";
import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import { blake2s } from "@noble/hashes/blake2.js";
import { expand, extract } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { sha3_256 } from "@noble/hashes/sha3.js";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { ml_kem768_x25519 as xwing } from "@noble/post-quantum/hybrid.js";
import { ml_dsa65 } from "@noble/post-quantum/ml-dsa.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";

const HASHES = { sha256, blake2s, sha3_256 };
const AEADS = { "aes256gcm": gcm, "chacha20poly1305": chacha20poly1305 };
const COMPOSITE = "ed25519-mldsa65";

const ascii = (text) => utf8ToBytes(text);
const number = (value, size) => {
  const bytes = new Uint8Array(size);
  for (let at = size - 1; at >= 0; at--, value = Math.floor(value / 256)) bytes[at] = value % 256;
  return bytes;
};

// DHKEM(X25519, HKDF-SHA256), RFC 9180, 4.1.
const dhkemSecret = (exchanged, encapsulated, publicKey) => {
  const suite = concatBytes(ascii("KEM"), number(0x0020, 2));
  const label = (name) => concatBytes(ascii("HPKE-v1"), suite, ascii(name));
  const key = extract(sha256, concatBytes(label("eae_prk"), exchanged), new Uint8Array(0));
  const info = concatBytes(number(32, 2), label("shared_secret"), encapsulated, publicKey);
  return expand(sha256, key, info, 32);
};
const dhkem = {
  keygen: (seed) => ({ secretKey: seed, publicKey: x25519.getPublicKey(seed) }),
  encapsulate: (publicKey) => {
    const ours = x25519.keygen();
    const exchanged = x25519.getSharedSecret(ours.secretKey, publicKey);
    return { cipherText: ours.publicKey, sharedSecret: dhkemSecret(exchanged, ours.publicKey, publicKey) };
  },
  decapsulate: (cipherText, secretKey) =>
    dhkemSecret(x25519.getSharedSecret(secretKey, cipherText), cipherText, x25519.getPublicKey(secretKey)),
};
const KEMS = { xwing, mlkem768: ml_kem768, x25519: dhkem };

// The composite: each component signs the frame of label, scheme, algorithms with keys, and message.
const frame = (...parts) => concatBytes(...parts.flatMap((part) => [number(part.length, 4), part]));
const signedBytes = (keys, message) =>
  frame(ascii("port17/1"), ascii("composite signature"), ascii(COMPOSITE),
    ascii("ed25519"), keys[0], ascii("ml-dsa-65"), keys[1], message);
const compositeKeys = (seed) => ({
  classical: seed.slice(0, 32),
  quantum: ml_dsa65.keygen(seed.slice(32)),
  publics: [ed25519.getPublicKey(seed.slice(0, 32)), ml_dsa65.keygen(seed.slice(32)).publicKey],
});

const ANSWERS = {
  keygen: ({ kem, seed }) => ({ public: KEMS[kem].keygen(seed).publicKey }),
  encapsulate: ({ kem, public: key }) => {
    const made = KEMS[kem].encapsulate(key);
    return { ciphertext: made.cipherText, secret: made.sharedSecret };
  },
  decapsulate: ({ kem, seed, ciphertext }) =>
    ({ secret: KEMS[kem].decapsulate(ciphertext, KEMS[kem].keygen(seed).secretKey) }),
  sign: ({ seed, message }) => {
    const keys = compositeKeys(seed);
    const bytes = signedBytes(keys.publics, message);
    const signature = concatBytes(ed25519.sign(bytes, keys.classical), ml_dsa65.sign(bytes, keys.quantum.secretKey));
    return { classical: keys.publics[0], quantum: keys.publics[1], signature };
  },
  verify: ({ classical, quantum, message, signature }) => {
    const bytes = signedBytes([classical, quantum], message);
    const good = ed25519.verify(signature.slice(0, 64), bytes, classical)
      && ml_dsa65.verify(signature.slice(64), bytes, quantum);
    return { good: new Uint8Array([good ? 1 : 0]) };
  },
  extract: ({ hash, salt, secret }) => ({ key: extract(HASHES[hash], secret, salt) }),
  expand: ({ hash, key, info, length }) => ({ stream: expand(HASHES[hash], key, info, length) }),
  seal: ({ aead, key, nonce, associated, plain }) =>
    ({ sealed: AEADS[aead](key, nonce, associated).encrypt(plain) }),
};

const VERBATIM = new Set(["ask", "kem", "hash", "aead", "length"]);
const decoded = (request) => Object.fromEntries(Object.entries(request).map(
  ([name, value]) => [name, VERBATIM.has(name) ? value : hexToBytes(value)]));
const encoded = (answer) => Object.fromEntries(Object.entries(answer).map(
  ([name, value]) => [name, bytesToHex(value)]));
const requests = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(requests.map((request) => encoded(ANSWERS[request.ask](decoded(request))))));
