#!/usr/bin/env python3
"""Verifies a ledger's files with nothing of quipu's: python3 verify.py LEDGER

Written from docs/FORMAT.md alone. It checks each line's CRC-32C, that seq has no gap, each scope's chain of nth and prev,
and the RFC 6962 root that the checkpoint names; not the checkpoint's signature, for which Python brings no Ed25519.
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

if len(sys.argv) != 2:
    sys.exit(__doc__)
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
