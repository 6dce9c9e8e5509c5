use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    Error, Receipt, Result, Source,
    bindings::{append, types},
};

/// What an agent asks the host to remember.
///
/// A payload has whatever members you like; `text`, `confidence`, `ttlDays` and `tags` are those that recall
/// understands, and each has a setter here. A mistake, such as a payload that is no JSON object, shows when the draft
/// is appended.
#[derive(Debug, Clone)]
pub struct Draft {
    kind: String,
    payload: Map<String, Value>,
    source: Option<Source>,
    evidence: Vec<String>,
    supersedes: Vec<String>,
    scope: Option<String>,
    key: Option<String>,
    mistake: Option<Error>,
}

impl Draft {
    /// An empty draft of a kind that the grant lists, `memory.write` for example. Kinds that begin with `quipu.` are
    /// the host's own.
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            payload: Map::new(),
            source: None,
            evidence: Vec::new(),
            supersedes: Vec::new(),
            scope: None,
            key: None,
            mistake: None,
        }
    }

    /// Adds all members of what serialises as a JSON object.
    #[must_use]
    pub fn payload(mut self, payload: &impl Serialize) -> Self {
        match serde_json::to_value(payload) {
            Ok(Value::Object(members)) => self.payload.extend(members),
            Ok(_) => self.blame("a payload must serialise as a JSON object"),
            Err(e) => self.blame(&format!("the payload: {e}")),
        }
        self
    }

    /// Sets `text`: what there is to remember, in words.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.member("text", text.into())
    }

    /// Sets `confidence`, 0 to 1.
    #[must_use]
    pub fn confidence(mut self, confidence: f64) -> Self {
        if !(0.0..=1.0).contains(&confidence) {
            self.blame(&format!("confidence is 0 to 1, not {confidence}"));
        }
        self.member("confidence", confidence)
    }

    /// Sets `ttlDays`: for how many days recall shows it.
    #[must_use]
    pub fn ttl_days(self, days: u32) -> Self {
        self.member("ttlDays", days)
    }

    /// Sets `tags`.
    #[must_use]
    pub fn tags(self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.member("tags", tags.into_iter().map(Into::into).collect::<Vec<String>>())
    }

    /// Says where it was learned.
    #[must_use]
    pub fn source(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// Adds events that it rests on; at most 256 together.
    #[must_use]
    pub fn evidence(mut self, ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.evidence.extend(ids.into_iter().map(Into::into));
        self
    }

    /// Adds events that it replaces in what is recalled; at most 256 together. They stay readable.
    #[must_use]
    pub fn supersedes(mut self, ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.supersedes.extend(ids.into_iter().map(Into::into));
        self
    }

    /// Goes to this granted scope in place of the home scope.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Sets the idempotency key, 1 to 128 bytes: the same key and content again gives the first receipt again.
    /// Derive it from what the draft rests on, and a run that is repeated adds nothing twice.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Appends it, and returns when it is durable.
    pub fn append(self) -> Result<Receipt> {
        Ok(append::append(&self.into_raw()?)?)
    }

    /// As the interface has it; `invalid` if a mistake was made.
    pub fn into_raw(self) -> Result<types::Draft> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        Ok(types::Draft {
            kind: self.kind,
            payload: Value::Object(self.payload).to_string(),
            source: self.source,
            evidence: self.evidence,
            supersedes: self.supersedes,
            scope: self.scope,
            key: self.key,
        })
    }

    fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.payload.insert(name.to_owned(), value.into());
        self
    }

    /// Keeps the first mistake.
    fn blame(&mut self, message: &str) {
        self.mistake.get_or_insert_with(|| Error::invalid(message));
    }
}

/// Appends all or none, consecutively, in this order: 1 to 1,000 drafts. Returns when they are durable.
pub fn append_all(drafts: impl IntoIterator<Item = Draft>) -> Result<Vec<Receipt>> {
    let drafts = drafts.into_iter().map(Draft::into_raw).collect::<Result<Vec<_>>>()?;
    Ok(append::append_all(&drafts)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn all_that_is_set_reaches_the_interface() {
        #[derive(Serialize)]
        struct Invoice {
            format: &'static str,
        }
        let raw = Draft::new("memory.write")
            .payload(&Invoice { format: "csv" })
            .text("CSV, please")
            .confidence(0.5)
            .ttl_days(90)
            .tags(["billing"])
            .source(Source::new("telegram"))
            .evidence(["evt_1"])
            .evidence(["evt_2"])
            .supersedes(["evt_0"])
            .scope("customer:acme-inc")
            .key("k")
            .into_raw()
            .unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&raw.payload).unwrap(),
            json!({"confidence": 0.5, "format": "csv", "tags": ["billing"], "text": "CSV, please", "ttlDays": 90})
        );
        assert_eq!(raw.kind, "memory.write");
        assert_eq!(raw.source.unwrap().channel, "telegram");
        assert_eq!(raw.evidence, ["evt_1", "evt_2"]);
        assert_eq!(raw.supersedes, ["evt_0"]);
        assert_eq!(
            (raw.scope.as_deref(), raw.key.as_deref()),
            (Some("customer:acme-inc"), Some("k"))
        );
    }

    #[test]
    fn an_empty_payload_is_an_object() {
        assert_eq!(Draft::new("observation").into_raw().unwrap().payload, "{}");
    }

    #[test]
    fn the_first_mistake_is_reported_and_nothing_is_sent() {
        let refused = Draft::new("memory.write")
            .payload(&"just text")
            .confidence(2.0)
            .into_raw()
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert_eq!(refused.message(), "a payload must serialise as a JSON object");
    }

    #[test]
    fn confidence_is_a_number_from_0_to_1() {
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(
                Draft::new("memory.write").confidence(wrong).into_raw().is_err(),
                "{wrong} was taken"
            );
        }
        for good in [0.0, 1.0] {
            assert!(
                Draft::new("memory.write").confidence(good).into_raw().is_ok(),
                "{good} was refused"
            );
        }
    }

    #[test]
    fn one_bad_draft_keeps_all_from_being_sent() {
        let drafts = [Draft::new("memory.write"), Draft::new("memory.write").payload(&1)];
        assert_eq!(append_all(drafts).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
