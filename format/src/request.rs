use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, RequestId, Result, Scope, Subject, Timestamp};

/// What a `quipu.request` entry does: the member `request` of `sys`. It stands in `quipu:ledger`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum RequestChange {
    /// Somebody asks to be forgotten. Erasures may name the request from now on.
    Open(Request),
    /// It has been answered. Erasures cannot name it any more.
    Close(Closing),
}

/// A deletion request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// When it must have been answered.
    pub deadline: Timestamp,
    /// Its name, used once.
    pub id: RequestId,
    /// What it is about, each scope once, at least one. Erasures in other scopes may answer it too.
    pub scopes: Vec<Scope>,
    /// Who asks: an opaque handle that the operator can resolve.
    pub subject: Subject,
}

/// How a request was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// The request.
    pub id: RequestId,
    /// How.
    pub outcome: RequestOutcome,
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RequestOutcome {
    /// What was asked for is erased, except what a hold or a retention period keeps.
    Completed,
    /// It was refused: the entry's body says why.
    Refused,
}

impl RequestChange {
    /// Name of the member of `sys`.
    pub const MEMBER: &str = "request";

    /// Reads the member, and checks what does not depend on the log.
    pub fn parse(value: &Value) -> Result<Self> {
        let change = Self::deserialize(value).map_err(|e| Error::new(format!("this is no deletion request: {e}")))?;
        if let Self::Open(request) = &change {
            let mut scopes: Vec<_> = request.scopes.iter().collect();
            scopes.sort_unstable();
            if scopes.is_empty() || scopes.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(Error::new("a request names at least one scope, and each once"));
            }
            if scopes.iter().any(|scope| scope.is_reserved()) {
                return Err(Error::new("scopes that begin with quipu: are never erased"));
            }
        }
        Ok(change)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_is_opened_and_closed() {
        let open = json!({"open": {
            "deadline": "2026-12-01T00:00:00.000Z", "id": "dsr-1", "scopes": ["customer:4711"], "subject": "person:4711",
        }});
        let change = RequestChange::parse(&open).unwrap();
        assert_eq!(serde_json::to_value(&change).unwrap(), open);
        let close = json!({"close": {"id": "dsr-1", "outcome": "completed"}});
        assert_eq!(
            serde_json::to_value(RequestChange::parse(&close).unwrap()).unwrap(),
            close
        );
        for (member, bad) in [
            ("scopes", json!([])),
            ("scopes", json!(["a", "a"])),
            ("scopes", json!(["quipu:ledger"])),
            ("subject", json!("jana@example.org")),
            ("subject", json!("Jana Novak")),
            ("deadline", json!("soon")),
            ("reason", json!("free text")),
        ] {
            let mut request = open.clone();
            request["open"][member] = bad;
            assert!(RequestChange::parse(&request).is_err(), "{request}");
        }
    }
}
