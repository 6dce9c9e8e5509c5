//! What a ledger hands out, checked with its verifier key alone; and whatever else, refused.

use std::convert::Infallible;

use proptest::prelude::*;
use quipu_format::{
    Actor, Body, Checkpoint, ConsistencyProof, Disclosure, Envelope, EventId, Finding, Given, Hash, InclusionProof,
    KeyTree, Kind, Scope, ScopeHeader, ScopeLine, Signer, Timestamp, VerifierKey, check, commitment, leaf_hash, limits,
    tree::{self, TILE_WIDTH, TileHashes, subtree_root},
};

const SCOPES: u64 = 3;

fn signer() -> Signer {
    Signer::new("example.com/memory", [9; 32]).unwrap()
}

fn key() -> VerifierKey {
    signer().verifier_key()
}

/// A log as a ledger would hold it.
struct Log {
    envelopes: Vec<String>,
    bodies: Vec<String>,
    salts: Vec<[u8; 32]>,
    levels: Vec<Vec<Hash>>,
}

impl TileHashes for Log {
    type Error = Infallible;

    fn read(&self, level: u8, first: u64, count: usize) -> Result<Vec<Hash>, Infallible> {
        Ok(self.levels[usize::from(level)][first as usize..first as usize + count].to_vec())
    }
}

impl Log {
    fn new(size: u64) -> Self {
        let mut log = Self {
            envelopes: Vec::new(),
            bodies: Vec::new(),
            salts: Vec::new(),
            levels: Vec::new(),
        };
        let mut last = [Hash::of_nothing(); SCOPES as usize];
        for seq in 0..size {
            let (scope, nth) = ((seq % SCOPES) as usize, (seq / SCOPES) as u32);
            let secret = KeyTree::new([scope as u8; 32]).secret(nth).unwrap();
            let body = Body::new(None, &format!(r#"{{"text":"\"note\" {seq}\n häuser", "n":{seq}}}"#)).unwrap();
            let body = String::from_utf8(body.to_bytes().unwrap()).unwrap();
            let envelope = Envelope::new(
                seq,
                EventId(ulid::Ulid::from_parts(1_771_553_503_123 + seq, 42)),
                Timestamp::from_ms(1_771_553_503_123 + seq),
                Actor::new("agent:teddy").unwrap(),
                Kind::new("memory.write").unwrap(),
                Scope::new(&format!("scope:{scope}")).unwrap(),
                nth,
                last[scope],
                commitment(&secret.salt, body.as_bytes()),
            );
            let envelope = String::from_utf8(envelope.to_bytes().unwrap()).unwrap();
            last[scope] = leaf_hash(envelope.as_bytes());
            log.envelopes.push(envelope);
            log.bodies.push(body);
            log.salts.push(secret.salt);
        }
        log.levels
            .push(log.envelopes.iter().map(|e| leaf_hash(e.as_bytes())).collect());
        while let Some(below) = log.levels.last().filter(|below| below.len() >= TILE_WIDTH) {
            log.levels
                .push(below.chunks_exact(TILE_WIDTH).map(subtree_root).collect());
        }
        log
    }

    fn checkpoint(&self, size: u64) -> String {
        let Ok(root) = tree::root(size, self);
        let origin = "example.com/memory".to_owned();
        Checkpoint { origin, size, root }.sign(&signer())
    }

    fn proof(&self, seq: u64, size: u64) -> InclusionProof {
        let Ok(hashes) = tree::inclusion_proof(size, seq, self);
        InclusionProof {
            index: seq,
            extra: Some(self.envelopes[seq as usize].clone().into_bytes()),
            hashes,
            checkpoint: self.checkpoint(size),
        }
    }

    fn consistency(&self, old: u64, new: u64) -> ConsistencyProof {
        let Ok(hashes) = tree::consistency_proof(old, new, self);
        ConsistencyProof {
            old: self.checkpoint(old),
            new: self.checkpoint(new),
            hashes,
        }
    }

    fn disclosure(&self, seq: u64, size: u64) -> Disclosure {
        Disclosure {
            envelope: self.envelopes[seq as usize].clone(),
            body: self.bodies[seq as usize].clone(),
            salt: self.salts[seq as usize],
            proof: self.proof(seq, size),
        }
    }

    /// The export of a scope as lines, of which those in `sealed` are without their bodies.
    fn export(&self, scope: u64, size: u64, sealed: &[u64]) -> Vec<String> {
        let seqs: Vec<u64> = (scope..size).step_by(SCOPES as usize).collect();
        let name = Scope::new(&format!("scope:{scope}")).unwrap();
        let mut lines = vec![ScopeHeader::new(name, seqs.len() as u32, self.checkpoint(size)).to_line()];
        for seq in seqs {
            let is_open = !sealed.contains(&seq);
            let line = ScopeLine {
                envelope: self.envelopes[seq as usize].clone(),
                body: is_open.then(|| self.bodies[seq as usize].clone()),
                salt: is_open.then_some(Hash(self.salts[seq as usize])),
                proof: self.proof(seq, size).hashes,
            };
            lines.push(line.to_line());
        }
        lines
    }
}

fn found(text: &str) -> Result<Finding, String> {
    let key = key();
    let checked = check(text.as_bytes(), &Given::new(&key));
    checked
        .unwrap_or_else(|| panic!("no kind of text: {text}"))
        .map_err(|e| e.to_string())
}

/// Refused, or no longer recognised.
fn is_refused(text: &[u8]) -> bool {
    let key = key();
    check(text, &Given::new(&key)).is_none_or(|checked| checked.is_err())
}

fn fact(finding: &Finding, name: &str) -> serde_json::Value {
    serde_json::to_value(finding).unwrap()[name].clone()
}

#[test]
fn every_size_up_to_600_is_proved() {
    let log = Log::new(600);
    for size in 1..=600 {
        for seq in [0, size / 3, size / 2, size - 1] {
            let finding = found(&log.proof(seq, size).to_string()).unwrap();
            assert_eq!(fact(&finding, "size"), size, "entry {seq} of {size}");
            assert_eq!(fact(&finding, "envelope")["seq"], seq);
        }
        for old in [0, 1, size / 2, size - 1, size] {
            let finding = found(&log.consistency(old, size).to_string()).unwrap();
            assert_eq!(
                (fact(&finding, "oldSize"), fact(&finding, "size")),
                (old.into(), size.into())
            );
        }
        let shown = found(&log.export(size % SCOPES, size, &[]).concat());
        if size % 50 < 3 {
            assert!(shown.is_ok(), "{shown:?}");
        }
    }
}

#[test]
fn every_changed_byte_is_refused() {
    let log = Log::new(13);
    let export = log.export(1, 13, &[7]).concat();
    for text in [
        log.proof(10, 13).to_string(),
        log.consistency(10, 13).to_string(),
        log.disclosure(10, 13).to_string(),
        export,
    ] {
        assert!(found(&text).is_ok(), "{text}");
        let good = text.as_bytes();
        for at in 0..good.len() {
            for change in [1, 0x20, 0x80] {
                let mut bad = good.to_vec();
                bad[at] ^= change;
                assert!(is_refused(&bad), "byte {at} of: {text}");
            }
            let mut shorter = good.to_vec();
            shorter.remove(at);
            assert!(is_refused(&shorter), "without byte {at}: {text}");
            assert!(is_refused(&good[..at]), "cut at {at}: {text}");
        }
        assert!(is_refused(format!("{text}\n").as_bytes()) && is_refused(format!("{text}x").as_bytes()));
    }
}

#[test]
fn a_disclosure_tells_one_event_and_its_salt_opens_no_other() {
    let log = Log::new(9);
    let disclosure = log.disclosure(4, 9);
    let (event, checkpoint) = disclosure.verify(&key()).unwrap();
    assert_eq!((event.envelope.seq, checkpoint.size), (4, 9));
    assert!(event.payload().unwrap().contains("note"));
    let text = disclosure.to_string();
    for other in (0..9).filter(|seq| *seq != 4) {
        assert!(!text.contains(&log.bodies[other]) && !text.contains(&log.envelopes[other]));
        let swapped = Disclosure {
            body: log.bodies[other].clone(),
            salt: log.salts[other],
            ..disclosure.clone()
        };
        assert!(found(&swapped.to_string()).unwrap_err().contains("commits to"));
        let elsewhere = Disclosure {
            proof: log.proof(other as u64, 9),
            ..disclosure.clone()
        };
        assert!(elsewhere.verify(&key()).is_err());
    }
    assert_eq!(text.parse::<Disclosure>().unwrap().to_string(), text);
}

#[test]
fn what_means_the_same_and_is_written_otherwise_is_no_disclosure() {
    let text = Log::new(3).disclosure(1, 3).to_string();
    for (part, other) in [
        (r#","body""#, r#", "body""#),
        ("memory.write", r"memory\u002ewrite"),
        ("}\n", "} \n"),
        ("}\n", "}"),
        (r#"{"quipu""#, r#"{"more":1,"quipu""#),
        (r#"\nindex 1\n"#, r#"\nextra e30=\nindex 1\n"#),
    ] {
        let other = text.replacen(part, other, 1);
        assert_ne!(other, text);
        assert!(
            other.parse::<Disclosure>().is_err() && is_refused(other.as_bytes()),
            "{other}"
        );
    }
}

#[test]
fn another_ledgers_key_refuses_all() {
    let log = Log::new(5);
    let other = Signer::new("example.com/memory", [8; 32]).unwrap().verifier_key();
    for text in [
        log.proof(3, 5).to_string(),
        log.consistency(3, 5).to_string(),
        log.disclosure(3, 5).to_string(),
        log.export(0, 5, &[]).concat(),
    ] {
        let refused = check(text.as_bytes(), &Given::new(&other)).unwrap().unwrap_err();
        assert!(refused.to_string().contains("not signed by"), "{refused}");
    }
    assert!(check(b"hello", &Given::new(&other)).is_none());
}

#[test]
fn a_proof_without_its_entry_needs_to_be_told_which() {
    let log = Log::new(5);
    let key = key();
    let mut proof = log.proof(3, 5);
    let with = |proof: &InclusionProof, leaf| {
        let mut given = Given::new(&key);
        given.leaf = leaf;
        check(proof.to_string().as_bytes(), &given).unwrap().is_ok()
    };
    let leaves = &log.levels[0];
    assert!(with(&proof, None) && with(&proof, Some(leaves[3])) && !with(&proof, Some(leaves[2])));
    proof.extra = None;
    assert!(!with(&proof, None) && with(&proof, Some(leaves[3])) && !with(&proof, Some(leaves[2])));
}

#[test]
fn a_proof_for_two_histories_is_not_one() {
    let (log, mut other) = (Log::new(9), Log::new(9));
    other.levels[0][2] = Hash::of_nothing();
    let forged = ConsistencyProof {
        old: other.checkpoint(4),
        ..log.consistency(4, 9)
    };
    assert!(found(&forged.to_string()).is_err());
    let back = ConsistencyProof {
        old: log.checkpoint(9),
        new: log.checkpoint(4),
        hashes: log.consistency(4, 9).hashes,
    };
    assert!(found(&back.to_string()).is_err());
}

#[test]
fn a_scope_is_shown_without_a_gap_to_its_last_entry() {
    let log = Log::new(30);
    let good = log.export(1, 30, &[4, 7]);
    let finding = found(&good.concat()).unwrap();
    for (name, value) in [("entries", 10), ("opened", 8), ("envelopesOnly", 2), ("lastSeq", 28)] {
        assert_eq!(fact(&finding, name), value, "{name}");
    }
    let without = |at: usize| [&good[..at], &good[at + 1..]].concat().concat();
    for at in 0..good.len() {
        assert!(is_refused(without(at).as_bytes()), "without line {at}");
        let mut twice = good.clone();
        twice.insert(at, good[at].clone());
        assert!(is_refused(twice.concat().as_bytes()), "line {at} twice");
        let mut swapped = good.clone();
        swapped.swap(at, (at + 1) % good.len());
        assert!(is_refused(swapped.concat().as_bytes()), "line {at} swapped");
    }
    // Another scope's entry, which is in the tree as well.
    let mut mixed = good.clone();
    mixed[1] = log.export(0, 30, &[])[1].clone();
    assert!(found(&mixed.concat()).unwrap_err().contains("scope:0"));
    // A body without its salt.
    let mut line: ScopeLine = serde_json::from_str(&good[1]).unwrap();
    line.salt = None;
    mixed[1] = line.to_line();
    assert!(found(&mixed.concat()).unwrap_err().contains("with its body"));
}

#[test]
fn what_is_larger_than_any_disclosure_is_not_read() {
    let text = Log::new(1).disclosure(0, 1).to_string();
    let large = |bytes: usize| {
        let fill = "x".repeat(bytes - text.len());
        text.replacen(r#""body":""#, &format!(r#""body":"{fill}"#), 1)
    };
    let refused = |bytes: usize| found(&large(bytes)).unwrap_err();
    assert!(refused(limits::DISCLOSURE_BYTES).contains("commits to"));
    assert!(refused(limits::DISCLOSURE_BYTES + 1).contains("more than 4194304 bytes"));
}

/// No tree has so many entries that a proof needs more than 63 hashes.
#[test]
fn a_proof_of_more_hashes_than_any_tree_needs_is_refused() {
    let log = Log::new(30);
    let told = |text: String, hashes: usize| {
        let why = found(&text).unwrap_err();
        assert_eq!(why.contains("more than 63 hashes"), hashes > 63, "{hashes}: {why}");
    };
    for hashes in [63, 64] {
        let many = vec![Hash::of_nothing(); hashes];
        let (mut proof, mut grown) = (log.proof(3, 30), log.consistency(4, 30));
        let mut disclosure = log.disclosure(3, 30);
        (proof.hashes, grown.hashes, disclosure.proof.hashes) = (many.clone(), many.clone(), many.clone());
        told(proof.to_string(), hashes);
        told(grown.to_string(), hashes);
        told(disclosure.to_string(), hashes);
        let mut export = log.export(0, 30, &[]);
        let mut line: ScopeLine = serde_json::from_str(&export[1]).unwrap();
        line.proof = many;
        export[1] = line.to_line();
        told(export.concat(), hashes);
    }
}

#[test]
fn a_consistency_proof_of_more_than_three_notes_is_not_read() {
    let log = Log::new(9);
    let text = log.consistency(4, 9).to_string();
    let large = |bytes: usize| text.replacen("@v1\n", &format!("@v1\n{}\n", "x".repeat(bytes - text.len() - 1)), 1);
    let refused = |bytes: usize| found(&large(bytes)).unwrap_err();
    assert!(refused(3 * limits::NOTE_BYTES).contains("not 32 bytes"));
    assert!(refused(3 * limits::NOTE_BYTES + 1).contains("too large"));
}

proptest! {
    #[test]
    fn no_text_makes_a_check_panic(kind in 0..4_usize, text in "(\\PC|\n|[{}\":,]){0,80}", at in any::<prop::sample::Index>()) {
        let log = Log::new(5);
        let good = [
            log.proof(3, 5).to_string(),
            log.consistency(3, 5).to_string(),
            log.disclosure(3, 5).to_string(),
            log.export(0, 5, &[]).concat(),
        ];
        let good = &good[kind];
        let cut = (0..=at.index(good.len())).rev().find(|&i| good.is_char_boundary(i)).unwrap_or(0);
        let spliced = format!("{}{text}{}", &good[..cut], &good[cut..]);
        prop_assert!(text.is_empty() || spliced == *good || is_refused(spliced.as_bytes()), "{}", spliced);
    }

    #[test]
    fn what_is_written_is_read(
        envelope in "\\PC{0,60}", body in "(\\PC|\n|\t|\"|\\\\){0,60}", salt in any::<[u8; 32]>(), index in any::<u64>(),
        hashes in prop::collection::vec(any::<[u8; 32]>(), 0..63), old in "[a-z\n]{0,20}[a-z]",
    ) {
        let checkpoint = format!("a\n{old}\nc\n\n— d e\n").replace("\n\n\n", "\n\n");
        let hashes: Vec<Hash> = hashes.into_iter().map(Hash).collect();
        let proof = InclusionProof { index, extra: None, hashes, checkpoint };
        let disclosure = Disclosure { envelope, body, salt, proof };
        prop_assert_eq!(disclosure.to_string().parse::<Disclosure>().unwrap(), disclosure);
    }
}
