#!/usr/bin/env python3
"""Verifies what quipu wrote with nothing of quipu's: python3 verify.py LEDGER, or python3 verify.py DISCLOSURE

Written from docs/FORMAT.md alone. Of a ledger's folder it checks each line's CRC-32C, that seq has no gap, each scope's
chain of nth and prev, and the RFC 6962 root that the checkpoint names; of a disclosed event its commitment and its
inclusion proof. Not the checkpoint's signature, for which Python brings no Ed25519.
"""
import base64, glob, hashlib, json, os, sys

TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return b"%08x" % (crc ^ 0xFFFFFFFF)

def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()

def need(fact, otherwise):
    if not fact:
        sys.exit(f"not verified: {where}: {otherwise}")

def members(pairs):
    need(len(dict(pairs)) == len(pairs), "a JSON member is there twice")
    return dict(pairs)

def root(subtrees):  # roots of the complete subtrees that the tree is made of, the largest first
    hash = subtrees[-1][1] if subtrees else sha256()
    for _, left in reversed(subtrees[:-1]):
        hash = sha256(b"\1", left, hash)
    return hash

def disclosure(path):
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    told = json.loads(text, object_pairs_hook=members)
    need(text == json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n", "it is written otherwise")
    need(list(told) == ["quipu", "envelope", "body", "salt", "proof"] and told["quipu"] == "disclosure@v1", "its members")
    envelope, body = told["envelope"].encode(), told["body"].encode()
    entry = json.loads(envelope, object_pairs_hook=members)
    proof, checkpoint = told["proof"].split("\n\n", 1)
    first, index, *hashes = proof.split("\n")
    origin, size, signed_root = checkpoint.split("\n")[:3]
    need(first == "c2sp.org/tlog-proof@v1" and index == f"index {entry['seq']}", "the proof is of another entry")
    salt = base64.urlsafe_b64decode(told["salt"] + "=")
    need(base64.urlsafe_b64encode(salt).decode() == told["salt"] + "=", "the salt is written otherwise")
    commitment = sha256(salt, body)
    need(base64.urlsafe_b64encode(commitment).decode() == entry["body"] + "=", "the body is another")
    node, last, hash = entry["seq"], int(size) - 1, sha256(b"\0", envelope)
    need(node <= last, "the checkpoint does not cover it")
    for other in hashes:  # RFC 9162, 2.1.3.2
        need(last > 0, "the proof is too long")
        other, text = base64.b64decode(other, validate=True), other
        need(base64.b64encode(other).decode() == text, "a hash is written otherwise")
        if node & 1 or node == last:
            hash = sha256(b"\1", other, hash)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            hash = sha256(b"\1", hash, other)
        node, last = node >> 1, last >> 1
    need(last == 0 and base64.b64encode(hash).decode() == signed_root, "the checkpoint has another root")
    print(f"{origin}: {entry['id']} is one of the first {size} entries, and says: {told['body']}")

if len(sys.argv) != 2:
    sys.exit(__doc__)
if os.path.isfile(sys.argv[1]):
    where = sys.argv[1]
    try:
        disclosure(where)
    except Exception as error:  # whatever else a damaged file leads to
        need(False, repr(error))
    sys.exit()
where, scopes, subtrees, seq = "the checkpoint", {}, [], 0
try:
    with open(os.path.join(sys.argv[1], "checkpoint"), encoding="utf-8") as note:
        origin, size, signed_root = note.read().split("\n")[:3]
    roots = {0: root([])}
    for path in sorted(glob.glob(os.path.join(glob.escape(sys.argv[1]), "log", "*.log"))):
        with open(path, "rb") as segment:
            lines = segment.read().rstrip(b"\n").split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            where = f"{path}, line {number}, seq {seq}"
            envelope, sealed, commit, crc = line.split(b"\t")
            need(crc == crc32c(line[:-8]), "the checksum is another")
            entry, leaf = json.loads(envelope, object_pairs_hook=members), sha256(b"\0", envelope)
            first, last = map(int, commit.split(b"-"))
            need(entry["v"] == 1 and entry["seq"] == seq and first <= seq <= last, "the entry is not of this place")
            nth, prev = scopes.get(entry["scope"], (0, sha256()))
            need(entry["nth"] == nth, "the scope's chain has a gap")
            need(base64.urlsafe_b64decode(entry["prev"] + "=") == prev, "the scope's chain is broken")
            scopes[entry["scope"]], seq, width = (nth + 1, leaf), seq + 1, 1
            while subtrees and subtrees[-1][0] == width:
                leaf, width = sha256(b"\1", subtrees.pop()[1], leaf), width * 2
            subtrees.append((width, leaf))
            if seq == int(size):
                roots[seq] = root(subtrees)
    where = f"the checkpoint of {size} entries"
    need(int(size) in roots, f"the log ends after {seq}")
    need(base64.b64encode(roots[int(size)]).decode() == signed_root, "the log has another root")
except Exception as error:  # whatever else a damaged file leads to
    need(False, repr(error))
print(f"{origin}: {seq} entries in {len(scopes)} scopes are whole; the first {size} have the checkpoint's root")
