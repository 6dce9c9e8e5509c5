use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Error, ErrorKind, Event, Result, Source};

impl Event {
    /// The payload as a type of your own. `redacted` if an operator erased it, `invalid` if it has another shape.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T> {
        let payload = self.payload.as_deref().ok_or_else(|| {
            Error::new(
                ErrorKind::Redacted,
                format!("the content of {} has been erased", self.id),
            )
        })?;
        serde_json::from_str(payload).map_err(|e| Error::invalid(format!("the payload of {}: {e}", self.id)))
    }

    /// The payload's `text`. None if it has none, or was erased.
    pub fn text(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Payload {
            text: String,
        }
        self.payload_as::<Payload>().ok().map(|payload| payload.text)
    }

    /// Whether an operator erased what it said.
    pub fn is_erased(&self) -> bool {
        self.payload.is_none()
    }

    /// Where an imported event comes from. None: it was not imported, or was erased.
    pub fn original(&self) -> Option<Original> {
        #[derive(Deserialize)]
        struct Extra {
            original: BTreeMap<String, Value>,
        }
        let mut members = self.source.as_ref()?.extra_as::<Extra>().ok()?.original;
        // Each alone: whoever appends may write anything there.
        let mut text = |name| match members.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        Some(Original {
            id: text("id"),
            ts: text("ts"),
            actor: text("actor"),
        })
    }
}

/// What an imported event was before: the host stamped it anew, and its importer vouches for this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Original {
    /// Its name there.
    pub id: Option<String>,
    /// When it happened.
    pub ts: Option<String>,
    /// Who said it.
    pub actor: Option<String>,
}

impl Source {
    /// For example `telegram`.
    pub fn new(channel: impl Into<String>) -> Self {
        Self {
            channel: channel.into(),
            conversation_id: None,
            message_id: None,
            extra: None,
        }
    }

    /// Names the conversation, in the channel's own terms.
    #[must_use]
    pub fn conversation(mut self, id: impl Into<String>) -> Self {
        self.conversation_id = Some(id.into());
        self
    }

    /// Names the message, in the channel's own terms.
    #[must_use]
    pub fn message(mut self, id: impl Into<String>) -> Self {
        self.message_id = Some(id.into());
        self
    }

    /// Adds all else that is known of it: what serialises as a JSON object, else the host refuses the draft.
    pub fn with_extra(mut self, extra: &impl Serialize) -> Result<Self> {
        let text = serde_json::to_string(extra).map_err(|e| Error::invalid(format!("the source's extra: {e}")))?;
        self.extra = Some(text);
        Ok(self)
    }

    /// What else is known of it, as a type of your own. `not-found` if there is nothing, `invalid` if it has another
    /// shape.
    pub fn extra_as<T: DeserializeOwned>(&self) -> Result<T> {
        let extra = self
            .extra
            .as_deref()
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "nothing else is known of the source"))?;
        serde_json::from_str(extra).map_err(|e| Error::invalid(format!("the source's extra: {e}")))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn event(seq: u64, payload: Option<&str>) -> Event {
        Event {
            seq,
            id: format!("evt_{seq}"),
            ts: "2026-02-20T02:11:43.123Z".into(),
            actor: "tool:import".into(),
            run: None,
            kind: "message".into(),
            scope: "customer:acme-inc".into(),
            source: None,
            payload: payload.map(Into::into),
            evidence: Vec::new(),
            supersedes: Vec::new(),
        }
    }

    #[test]
    fn a_payload_is_read_as_a_type() {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Note {
            text: String,
            ttl_days: u32,
        }
        let event = event(1, Some(r#"{"text":"CSV","ttlDays":90,"mood":"calm"}"#));
        let note: Note = event.payload_as().unwrap();
        assert_eq!((note.text.as_str(), note.ttl_days), ("CSV", 90));
        assert_eq!(event.text().as_deref(), Some("CSV"));
    }

    #[test]
    fn an_erased_payload_is_told_from_a_misshapen_one() {
        let erased = event(1, None);
        assert!(erased.is_erased());
        assert_eq!(
            erased.payload_as::<serde_json::Value>().unwrap_err().kind(),
            ErrorKind::Redacted
        );
        assert_eq!(erased.text(), None);

        let number = event(2, Some(r#"{"text":5}"#));
        assert_eq!(number.payload_as::<Vec<u8>>().unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(number.text(), None);
    }

    #[test]
    fn an_imported_event_knows_its_original() {
        let mut event = event(1, Some("{}"));
        assert_eq!(event.original(), None);
        let extra = serde_json::json!({"original": {"id": "evt_0", "actor": "user:acme-inc/jana", "more": 1}});
        event.source = Some(
            Source::new("telegram")
                .conversation("c")
                .message("m")
                .with_extra(&extra)
                .unwrap(),
        );
        let original = event.original().unwrap();
        assert_eq!(original.actor.as_deref(), Some("user:acme-inc/jana"));
        assert_eq!(original.ts, None);
    }

    #[test]
    fn each_member_of_an_original_is_read_alone() {
        let actor_of = |original: Value| {
            let mut event = event(1, Some("{}"));
            let extra = serde_json::json!({ "original": original });
            event.source = Some(Source::new("web").with_extra(&extra).unwrap());
            event.original().map(|original| original.actor)
        };
        let staff = Some("staff:b".to_owned());
        assert_eq!(
            actor_of(serde_json::json!({"actor": "staff:b", "ts": 5})),
            Some(staff.clone())
        );
        assert_eq!(actor_of(serde_json::json!({"actor": 5, "ts": "t"})), Some(None));
        assert_eq!(actor_of(serde_json::json!({"actor": ""})), Some(Some(String::new())));
        for none in [
            Value::Null,
            serde_json::json!("str"),
            serde_json::json!(["id", "ts", "staff:b"]),
        ] {
            assert_eq!(actor_of(none), None);
        }
    }

    #[test]
    fn a_source_without_extra_says_so() {
        let refused = Source::new("web").extra_as::<serde_json::Value>().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
    }
}
