//! Signed notes, checkpoints and proofs, against texts that other implementations made and against damage.

use proptest::prelude::*;
use quipu_format::{Checkpoint, Hash, InclusionProof, Signer, VerifierKey, check_origin, leaf_hash, limits, tree};

/// The example of Go's package `golang.org/x/mod/sumdb/note`.
const SECRET_KEY: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const PUBLIC_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

const ORIGIN: &str = "example.com/memory";

fn signer() -> Signer {
    Signer::new(ORIGIN, [42; 32]).unwrap()
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint {
        origin: ORIGIN.into(),
        size,
        root: leaf_hash(b"only"),
    }
}

#[test]
fn keys_and_notes_are_those_of_go() {
    let signer = Signer::parse(SECRET_KEY).unwrap();
    assert_eq!(*signer.to_text(), SECRET_KEY);
    assert_eq!(signer.verifier_key().to_string(), PUBLIC_KEY);
    assert_eq!(signer.sign(TEXT), NOTE);
    let key: VerifierKey = PUBLIC_KEY.parse().unwrap();
    assert_eq!(key.verify(NOTE.as_bytes()).unwrap(), TEXT);
    assert_eq!((key.name(), &key), ("PeterNeumann", &signer.verifier_key()));
}

#[test]
fn a_damaged_key_is_refused() {
    for (good, bad) in [
        ("c74f20a3", "c74f20a4"),
        ("c74f20a3", "C74F20A3"),
        ("PeterNeumann+", "PeterNeuman+"),
        ("PeterNeumann+", "+"),
        ("PeterNeumann+", "Peter Neumann+"),
        ("+A", "+Z"),
        ("10TW", "10T"),
        ("10TW", "10TWAA=="),
        ("KDFz", "KDFzAA=="),
        ("KDFz", "KDF"),
    ] {
        for key in [PUBLIC_KEY, SECRET_KEY].into_iter().filter(|key| key.contains(good)) {
            let key = key.replacen(good, bad, 1);
            assert!(
                key.parse::<VerifierKey>().is_err() && Signer::parse(&key).is_err(),
                "{key}"
            );
        }
    }
    // A point of small order: a signature of zeros would verify under it.
    assert!(
        "weak+8b94416d+AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
            .parse::<VerifierKey>()
            .is_err()
    );
}

#[test]
fn no_signer_prints_its_secret() {
    let secret = SECRET_KEY.rsplit('+').next().unwrap();
    let text = format!("{:?}", Signer::parse(SECRET_KEY).unwrap());
    assert!(
        text.contains(PUBLIC_KEY) && !text.contains(secret) && !text.contains("129"),
        "{text}"
    );
}

#[test]
fn an_origin_is_a_key_name() {
    for good in [
        "a",
        "example.com/memory",
        "Erinnerung.example/ä",
        &"x".repeat(limits::ORIGIN_BYTES),
    ] {
        assert!(check_origin(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "a b",
        "a+b",
        "a\n",
        "a\u{a0}b",
        "a\u{7f}",
        &"x".repeat(limits::ORIGIN_BYTES + 1),
    ] {
        assert!(
            check_origin(bad).is_err() && Signer::new(bad, [1; 32]).is_err(),
            "{bad:?}"
        );
    }
}

#[test]
fn every_flipped_bit_of_a_note_is_refused() {
    let key: VerifierKey = PUBLIC_KEY.parse().unwrap();
    for bit in 0..NOTE.len() * 8 {
        let mut note = NOTE.as_bytes().to_vec();
        note[bit / 8] ^= 1 << (bit % 8);
        assert!(key.verify(&note).is_err(), "bit {bit}");
    }
    for len in 0..NOTE.len() {
        assert!(key.verify(&NOTE.as_bytes()[..len]).is_err(), "the first {len} bytes");
    }
}

#[test]
fn signatures_of_others_are_passed_over_and_ours_must_be_good() {
    let (ours, witness) = (signer(), Signer::new("witness.example", [1; 32]).unwrap());
    let impostor = Signer::new(ORIGIN, [43; 32]).unwrap();
    let text = "text\n\nwith an empty line\n";
    let line = |signer: &Signer, text| signer.sign(text).rsplit_once("\n\n").unwrap().1.to_owned();
    let key = ours.verifier_key();
    let note = |lines: &[String]| format!("{text}\n{}", lines.concat());

    let cosigned = note(&[line(&witness, text), line(&impostor, text), line(&ours, text)]);
    assert_eq!(key.verify(cosigned.as_bytes()).unwrap(), text);
    assert!(
        key.verify(note(&[line(&witness, text), line(&impostor, text)]).as_bytes())
            .is_err()
    );
    assert!(
        key.verify(note(&[line(&ours, text), line(&ours, "other\n")]).as_bytes())
            .is_err()
    );
    assert!(key.verify(note(&[]).as_bytes()).is_err());

    let control = line(&witness, text).replace("witness", "wit\u{1}ness");
    assert!(key.verify(note(&[control, line(&ours, text)]).as_bytes()).is_err());

    let many = |others: usize| {
        let mut lines = vec![line(&witness, text); others];
        lines.push(line(&ours, text));
        note(&lines)
    };
    assert!(key.verify(many(limits::NOTE_SIGNATURES - 1).as_bytes()).is_ok());
    assert!(key.verify(many(limits::NOTE_SIGNATURES).as_bytes()).is_err());
    let large = "x".repeat(limits::NOTE_BYTES) + "\n";
    assert!(key.verify(ours.sign(&large).as_bytes()).is_err());
}

#[test]
#[should_panic(expected = "whole lines")]
fn a_text_that_is_not_of_whole_lines_is_not_signed() {
    signer().sign("text");
}

#[test]
fn a_checkpoint_has_three_lines() {
    let note = checkpoint(1).sign(&signer());
    let (text, _) = note.split_once("\n\n").unwrap();
    assert_eq!(
        text,
        "example.com/memory\n1\nSII7PGEzZkzntiGaAFrV7XtakaaaCqgAzFHOHNQIaVU="
    );
    assert_eq!(
        Checkpoint::open(note.as_bytes(), &signer().verifier_key()).unwrap(),
        checkpoint(1)
    );
}

#[test]
fn a_signed_note_that_is_no_checkpoint_is_refused() {
    let good = "example.com/memory\n1\nSII7PGEzZkzntiGaAFrV7XtakaaaCqgAzFHOHNQIaVU=\n";
    let open = |text: &str| Checkpoint::open(signer().sign(text).as_bytes(), &signer().verifier_key());
    assert!(open(good).is_ok());
    for (part, other) in [
        ("example.com/memory", "example.com/other"),
        ("\n1\n", "\n01\n"),
        ("\n1\n", "\n+1\n"),
        ("\n1\n", "\n-1\n"),
        ("\n1\n", "\n\n"),
        ("\n1\n", "\n9223372036854775808\n"),
        ("\n1\n", "\n1\n\n"),
        (
            "SII7PGEzZkzntiGaAFrV7XtakaaaCqgAzFHOHNQIaVU=\n",
            "SII7PGEzZkzntiGaAFrV7XtakaaaCqgAzFHOHNQIaVU=\nan extension\n",
        ),
        ("SII7PGEzZkzntiGaAFrV7XtakaaaCqgAzFHOHNQIaVU=\n", "\n"),
        ("SII7PGEzZkzntiGaAFrV7XtakaaaCqgAzFHOHNQIaVU=\n", "AAAA\n"),
    ] {
        let text = good.replacen(part, other, 1);
        assert_ne!(text, good);
        assert!(open(&text).is_err(), "{text:?}");
    }
}

#[test]
#[should_panic(expected = "its origin's key")]
fn a_checkpoint_is_not_signed_by_another_key() {
    checkpoint(1).sign(&Signer::new("example.com/other", [1; 32]).unwrap());
}

/// A tree of two leaves, the second proved.
fn proof() -> (Hash, InclusionProof) {
    let (left, right) = (leaf_hash(b"left"), leaf_hash(b"right"));
    let root = tree::node_hash(&left, &right);
    let checkpoint = Checkpoint {
        origin: ORIGIN.into(),
        size: 2,
        root,
    }
    .sign(&signer());
    (
        right,
        InclusionProof {
            index: 1,
            extra: None,
            hashes: vec![left],
            checkpoint,
        },
    )
}

#[test]
fn a_proof_needs_nothing_but_itself_and_the_key() {
    let (leaf, proof) = proof();
    let key = signer().verifier_key();
    let text = proof.to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 1\n"), "{text}");
    let read: InclusionProof = text.parse().unwrap();
    assert_eq!(read, proof);
    assert_eq!(read.verify(&leaf, &key).unwrap().size, 2);
    assert!(read.verify(&leaf_hash(b"left"), &key).is_err());
    assert!(read.verify(&leaf, &PUBLIC_KEY.parse().unwrap()).is_err());
    assert!(InclusionProof { index: 0, ..read }.verify(&leaf, &key).is_err());
}

#[test]
fn a_proof_may_carry_extra_data_and_may_have_no_hashes() {
    let (_, proof) = proof();
    let with_extra = proof.to_string().replacen("index", "extra aGVsbG8=\nindex", 1);
    let read: InclusionProof = with_extra.parse().unwrap();
    assert_eq!(read.extra.as_deref(), Some(&b"hello"[..]));
    assert_eq!(read.to_string(), with_extra);
    let extra = vec![b'x'; limits::ENVELOPE_BYTES + 1];
    let largest = InclusionProof {
        extra: Some(extra[1..].to_vec()),
        ..proof.clone()
    };
    assert_eq!(largest.to_string().parse::<InclusionProof>().unwrap(), largest);
    let too_large = InclusionProof {
        extra: Some(extra),
        ..proof
    };
    assert!(too_large.to_string().parse::<InclusionProof>().is_err());
    let alone = InclusionProof {
        index: 0,
        extra: None,
        hashes: Vec::new(),
        checkpoint: checkpoint(1).sign(&signer()),
    };
    assert_eq!(alone.to_string().parse::<InclusionProof>().unwrap(), alone);
    assert!(alone.verify(&leaf_hash(b"only"), &signer().verifier_key()).is_ok());
}

#[test]
fn a_text_that_is_no_proof_is_refused() {
    let text = proof().1.to_string();
    let hash = text.lines().nth(2).unwrap();
    let many = format!("{hash}\n").repeat(64);
    for (part, other) in [
        ("@v1", "@v2"),
        ("index 1\n", ""),
        ("index 1", "index 01"),
        ("index 1", "index -1"),
        ("index 1", "index 18446744073709551616"),
        ("index 1", "index  1"),
        ("index 1", "extra *\nindex 1"),
        ("index 1", "extra aGVsbG8=\nextra aGVsbG8=\nindex 1"),
        ("index 1", "index 1\nindex 1"),
        ("index 1\n", "index 1\nAAAA\n"),
        ("index 1\n", &format!("index 1\n{many}")),
        ("\n\nexample", "\nexample"),
    ] {
        let other = text.replacen(part, other, 1);
        assert_ne!(other, text);
        // Without the empty line the checkpoint's own one is taken for it, and the checkpoint for hashes.
        assert!(other.parse::<InclusionProof>().is_err(), "{other}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_reader_panic(text in "(\\PC|\n|\u{2014} ){0,80}", at in any::<prop::sample::Index>()) {
        let key = signer().verifier_key();
        let _ = key.verify(text.as_bytes());
        let _ = text.parse::<InclusionProof>();
        let _ = text.parse::<VerifierKey>();
        let _ = Signer::parse(&text);
        let good = proof().1.to_string();
        let cut = (0..=at.index(good.len())).rev().find(|&i| good.is_char_boundary(i)).unwrap_or(0);
        let spliced = format!("{}{text}{}", &good[..cut], &good[cut..]);
        let _ = spliced.parse::<InclusionProof>().map(|proof| proof.verify(&leaf_hash(b"right"), &key));
    }
}
