use serde_json::{Value, json};

use super::Report;
use crate::{Rule, Severity};

/// A result for each finding, and for each thing that a newer component can do and an older one could not.
pub(super) fn write(report: &Report<'_>) -> Value {
    let rules = Rule::ALL.map(|rule| {
        json!({
            "id": rule.id(),
            "shortDescription": {"text": rule.says()},
            "defaultConfiguration": {"level": level(rule.severity())},
        })
    });
    let mut rules = rules.to_vec();
    rules.push(json!({
        "id": "widened",
        "shortDescription": {"text": "A newer component can do what the older one could not."},
        "defaultConfiguration": {"level": "error"},
    }));
    let location = json!([{"physicalLocation": {"artifactLocation": {"uri": uri(report.name)}}}]);
    let mut results: Vec<_> = report
        .findings()
        .map(|finding| result(finding.rule.id(), level(finding.severity), &finding.message, &location))
        .collect();
    if let Some((old, change)) = report.change {
        for each in &change.widened {
            let message = format!("It can do what {old} could not: {each}");
            results.push(result("widened", "error", &message, &location));
        }
    }
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "quipu audit",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "artifacts": [{
                "location": {"uri": uri(report.name)},
                "length": report.audit.file_bytes,
                "hashes": {"sha-256": report.audit.file_sha256.to_hex()},
            }],
            "results": results,
            "properties": {"verdict": report.audit.sentence(), "conforms": report.audit.conforms()},
        }],
    })
}

fn result(rule: &str, level: &str, message: &str, location: &Value) -> Value {
    json!({"ruleId": rule, "level": level, "message": {"text": message}, "locations": location})
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Violation => "error",
        Severity::Note => "note",
    }
}

/// A relative reference to a file of that name (RFC 3986, section 4.2).
fn uri(name: &str) -> String {
    let mut uri = String::new();
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
