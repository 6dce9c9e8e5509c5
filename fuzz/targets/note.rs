//! Signed notes: checkpoints, proofs, and the keys that they are checked with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quipu_format::{Checkpoint, InclusionProof, Signer, VerifierKey};
use quipu_fuzz::frozen;

fuzz_target!(|bytes: &[u8]| {
    let manifest: serde_json::Value = serde_json::from_slice(&frozen().files["quipu.json"]).expect("it is good");
    let key: VerifierKey = manifest["verifierKey"]
        .as_str()
        .expect("it has one")
        .parse()
        .expect("it is good");
    if let Ok(checkpoint) = Checkpoint::open(bytes, &key) {
        // Nobody but its signer signs.
        assert_eq!(checkpoint.root, frozen().roots[checkpoint.size as usize]);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(proof) = text.parse::<InclusionProof>() {
        let again: InclusionProof = proof.to_string().parse().expect("it was written");
        assert_eq!(again, proof);
        for event in &frozen().events {
            if proof.verify(&event.hash, &key).is_ok() {
                assert_eq!(proof.index, event.envelope.seq, "a proof of another place");
            }
        }
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string().parse::<VerifierKey>().ok(), Some(key));
    }
    if let Ok(signer) = Signer::parse(text) {
        assert_eq!(signer.to_text().as_str(), text);
    }
});
