//! Attestations: a verdict that somebody signs, so that others need not look themselves, and can hold the signer to it.
//!
//! An attestation is an in-toto statement (<https://github.com/in-toto/attestation>, v1) in a DSSE envelope
//! (<https://github.com/secure-systems-lab/dsse>, v1.0.2), signed with Ed25519. It holds no time and no random number: the
//! same component, policy and key give the same bytes.

use base64::{Engine, prelude::BASE64_STANDARD};
use quipu_format::{Hash, Signer, VerifierKey, limits};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Error, Result, report::Report, worlds::wit};

/// What is signed, by DSSE's name for it.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// in-toto's name for a statement.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// What our predicate is.
const PREDICATE: &str = "urn:quipu:audit:1";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

/// Signs what a report says. `policy` is the text of the policy that it was held against, if any.
pub fn attest(report: &Report<'_>, policy: Option<&str>, signer: &Signer) -> String {
    let payload = statement(report, policy).to_string();
    let signature = signer.sign_bytes(&encoded(PAYLOAD_TYPE, payload.as_bytes()));
    let envelope = Envelope {
        payload_type: PAYLOAD_TYPE.into(),
        payload: BASE64_STANDARD.encode(payload),
        signatures: vec![Signature {
            keyid: signer.verifier_key().to_string(),
            sig: BASE64_STANDARD.encode(signature),
        }],
    };
    json!(envelope).to_string()
}

/// Checks that this key signed the attestation, and that it says of a component what the report says.
///
/// # Errors
/// Where it is no attestation, is not signed by the key, or says something else: another component, interface, policy or
/// verdict.
pub fn check_attestation(
    attestation: &[u8],
    key: &VerifierKey,
    report: &Report<'_>,
    policy: Option<&str>,
) -> Result<()> {
    if attestation.len() > limits::ATTESTATION_BYTES {
        return Err(Error::new(format!(
            "an attestation has at most {} bytes",
            limits::ATTESTATION_BYTES
        )));
    }
    let none = |why: &dyn std::fmt::Display| Error::new(format!("it is no attestation: {why}"));
    let envelope: Envelope = serde_json::from_slice(attestation).map_err(|e| none(&e))?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(none(&format!("its payload is of type {:?}", envelope.payload_type)));
    }
    let payload = BASE64_STANDARD.decode(&envelope.payload).map_err(|e| none(&e))?;
    let signed = encoded(PAYLOAD_TYPE, &payload);
    // The name of a key is a hint, and no more (DSSE, "Protocol").
    let is_signed = envelope
        .signatures
        .iter()
        .take(limits::NOTE_SIGNATURES)
        .any(|signature| {
            let bytes = BASE64_STANDARD.decode(&signature.sig);
            bytes.is_ok_and(|bytes| key.verify_bytes(&signed, &bytes))
        });
    if !is_signed {
        return Err(Error::new(format!("the attestation is not signed by {key}")));
    }
    let said: Value = serde_json::from_slice(&payload).map_err(|e| none(&e))?;
    let holds = statement(report, policy);
    for (part, pointer) in [
        ("no in-toto statement", "/_type"),
        ("about something else than an audit", "/predicateType"),
        ("about another component", "/subject/0/digest"),
        ("made with another version of quipu's interface", "/predicate/wit"),
        ("made with another policy", "/predicate/policy"),
        ("about another verdict", "/predicate/verdict"),
        ("about another verdict", "/predicate/good"),
        ("about another verdict", "/predicate/conforms"),
        ("about another verdict", "/predicate/worlds"),
    ] {
        if said.pointer(pointer) != holds.pointer(pointer) {
            return Err(Error::new(format!("the attestation is signed by {key}, and is {part}")));
        }
    }
    Ok(())
}

fn statement(report: &Report<'_>, policy: Option<&str>) -> Value {
    let audit = report.audit;
    let texts: Vec<_> = wit().iter().map(|(_, text)| text.as_bytes()).collect();
    json!({
        "_type": STATEMENT,
        "subject": [{
            "name": report.name,
            "digest": {"sha256": audit.file_sha256.to_hex()},
        }],
        "predicateType": PREDICATE,
        "predicate": {
            "verdict": audit.sentence(),
            "conforms": audit.conforms(),
            "good": audit.conforms() && report.breaches.is_empty(),
            "worlds": audit.worlds,
            "wit": {"sha256": Hash::of(&texts).to_hex()},
            "policy": policy.map(|text| json!({"sha256": Hash::of(&[text.as_bytes()]).to_hex()})),
            "tool": {"name": "quipu audit", "version": env!("CARGO_PKG_VERSION")},
        },
    })
}

/// What DSSE signs: type and payload, each with its length, so that no signature holds for anything else.
fn encoded(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_encoded_as_dsse_says() {
        // The example of DSSE's protocol.md.
        let bytes = encoded("http://example.com/HelloWorld", b"hello world");
        assert_eq!(bytes, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
