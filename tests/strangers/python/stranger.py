#!/usr/bin/env python3
"""Has aics-tlog verify exported logs: python3 stranger.py VERIFIER-KEY < CASES

Each line of the input names a folder with `checkpoint` and `tile/`, and perhaps `older`, a checkpoint that it must go on
from, and `proofs/`, files as C2SP tlog-proof has them. For each the answer is one line, `accepted CASE` or `refused CASE WHY`.
"""
import re, sys
from pathlib import Path

import aics_tlog as tlog
from aics_tlog.note import b64_decode

KEY = tlog.parse_vkey(sys.argv[1])


def need(fact, otherwise):
    if not fact:
        raise ValueError(otherwise)


def opened(note):
    result = tlog.verify_checkpoint(tlog.parse_note(note), KEY, expected_origin=KEY.name)
    need(result.ok, result.error)
    return result


def check_proof(file):
    """A proof as C2SP tlog-proof has it. The entry is its extra data; where it has none, the file beside it."""
    head, note = file.read_bytes().decode().split("\n\n", 1)
    first, *lines = head.split("\n")
    need(first == "c2sp.org/tlog-proof@v1", "no proof")
    if lines[0].startswith("extra "):
        entry = b64_decode(lines.pop(0).removeprefix("extra "))
    else:
        entry = file.with_suffix(".entry").read_bytes()
    index, *hashes = lines
    need(re.fullmatch("index (0|[1-9][0-9]*)", index), "no index")
    index, hashes = int(index.removeprefix("index ")), [b64_decode(line) for line in hashes]
    signed = opened(note.encode())
    need(tlog.verify_leaf_inclusion(entry, index, signed.size, hashes, signed.root), "the proof is wrong")


def check_log(case):
    signed = opened((case / "checkpoint").read_bytes())
    files = tlog.FileSystemTileReader(case)
    tlog.audit_tiles(files, signed.size, signed.root)
    tiles = tlog.VerifiedTileReader(files, signed.size, signed.root)
    for index in range(0, signed.size, signed.size // 4 + 1):
        proof = tlog.inclusion_proof_from_tiles(tiles, index, signed.size)
        leaf = tlog.read_entry(tiles, index, signed.size)
        need(tlog.verify_leaf_inclusion(leaf, index, signed.size, proof, signed.root), f"entry {index} is not in it")
    if (case / "older").exists():
        older = opened((case / "older").read_bytes())
        proof = tlog.consistency_proof_from_tiles(tiles, older.size, signed.size)
        need(
            tlog.verify_consistency(older.size, signed.size, older.root, signed.root, proof),
            "it does not go on from the older one",
        )


def check(case):
    if (case / "checkpoint").exists():
        check_log(case)
    for file in (case / "proofs").glob("*.tlog-proof"):
        check_proof(file)


for line in sys.stdin:
    try:
        check(Path(line.rstrip("\n")))
        print("accepted", line, end="")
    except Exception as why:
        print("refused", line.rstrip("\n"), repr(why).replace("\n", " "))
