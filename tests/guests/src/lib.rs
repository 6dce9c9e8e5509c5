//! How the guests are told what to do, and how they report: as JSON, one outcome for each call.

use quipu_guest::{
    Event,
    bindings::types::{Error, Page, Receipt},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Reads a guest's input: a JSON object, or nothing, which leaves all as it is by default.
pub fn instructions<T: Default + DeserializeOwned>(input: &str) -> Result<T, String> {
    if input.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(input).map_err(|e| format!("the input: {e}"))
}

/// What became of several calls, by name, in the order of the calls.
#[derive(Default)]
pub struct Report(Vec<Value>);

impl Report {
    /// Adds `{"call":…,"ok":…}` or `{"call":…,"refused":KIND,"message":…}`.
    pub fn add(&mut self, call: &str, result: Result<impl Summary, Error>) {
        self.0.push(match result {
            Ok(value) => json!({"call": call, "ok": value.summary()}),
            Err(error) => json!({"call": call, "refused": kind(&error), "message": error.message}),
        });
    }

    /// The JSON array of all outcomes.
    pub fn finish(self) -> String {
        Value::Array(self.0).to_string()
    }
}

/// The kind of a refusal by its name in the interface.
pub fn kind(error: &Error) -> String {
    let error = quipu_guest::Error::from(error.clone()).to_string();
    error.split(':').next().unwrap_or_default().to_owned()
}

/// What a report says of a successful call.
pub trait Summary {
    /// As JSON.
    fn summary(&self) -> Value;
}

impl Summary for Value {
    fn summary(&self) -> Value {
        self.clone()
    }
}

impl Summary for String {
    fn summary(&self) -> Value {
        json!(self)
    }
}

impl Summary for u64 {
    fn summary(&self) -> Value {
        json!(self)
    }
}

impl Summary for Receipt {
    fn summary(&self) -> Value {
        json!({"seq": self.seq, "id": self.id, "ts": self.ts, "hash": self.hash})
    }
}

impl Summary for Vec<Receipt> {
    fn summary(&self) -> Value {
        json!({"receipts": self.len(), "first": self.first().map(Summary::summary), "last": self.last().map(Summary::summary)})
    }
}

impl Summary for Page {
    fn summary(&self) -> Value {
        json!({"events": self.events.len(), "next": self.next})
    }
}

impl Summary for Event {
    fn summary(&self) -> Value {
        let source = self.source.as_ref().map(|source| {
            json!({
                "channel": source.channel,
                "conversationId": source.conversation_id,
                "messageId": source.message_id,
                "extra": source.extra,
            })
        });
        json!({
            "seq": self.seq,
            "id": self.id,
            "ts": self.ts,
            "actor": self.actor,
            "run": self.run,
            "kind": self.kind,
            "scope": self.scope,
            "source": source,
            "payload": self.payload,
            "evidence": self.evidence,
            "supersedes": self.supersedes,
        })
    }
}

/// Which attack a hostile guest is to try, and what there is to attack.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The attack's name.
    pub attack: String,
    /// An entry of another actor in the home scope.
    pub others: String,
    /// An entry in a scope that is not granted, which is `hidden`.
    pub hidden: String,
    /// Where that entry stands.
    pub hidden_seq: u64,
}

impl Target {
    /// Reads it from a guest's input.
    pub fn of(input: &str) -> Result<Self, String> {
        serde_json::from_str(input).map_err(|e| format!("the input: {e}"))
    }

    /// That there is no such attack.
    pub fn unknown(&self) -> Result<String, String> {
        Err(format!("{:?} is no attack of this guest", self.attack))
    }
}

/// A draft with nothing in it but its payload.
pub fn draft(payload: &str) -> quipu_guest::bindings::types::Draft {
    quipu_guest::bindings::types::Draft {
        kind: "memory.write".into(),
        payload: payload.into(),
        source: None,
        evidence: Vec::new(),
        supersedes: Vec::new(),
        scope: None,
        key: None,
    }
}
