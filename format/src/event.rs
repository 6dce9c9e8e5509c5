use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{Body, Envelope, Hash};

/// An entry as a person or a guest sees it: its envelope, and its body where that can still be opened.
///
/// It serialises as one flat JSON object with the members `id`, `ts`, `actor`, `kind`, `scope`, `source`, `payload`,
/// then `seq`, `run`, `evidence`, `supersedes`, `sys` and `hash`; absent ones are left out, and an erased event has
/// `"erased":true` in place of `source` and `payload`.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What outlives erasure.
    pub envelope: Envelope,
    /// What was said.
    pub content: Content,
    /// Leaf hash of the entry.
    pub hash: Hash,
}

/// What an entry says, or that it cannot be known any more.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// The opened body.
    Open(Body),
    /// The entry's secret has been destroyed.
    Erased,
}

impl Event {
    /// The body, unless it is erased.
    pub fn body(&self) -> Option<&Body> {
        match &self.content {
            Content::Open(body) => Some(body),
            Content::Erased => None,
        }
    }

    /// The payload's JSON text, unless it is erased.
    pub fn payload(&self) -> Option<&str> {
        self.body().map(|body| body.payload.get())
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let e = &self.envelope;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &e.id)?;
        map.serialize_entry("ts", &e.ts)?;
        map.serialize_entry("actor", &e.actor)?;
        map.serialize_entry("kind", &e.kind)?;
        map.serialize_entry("scope", &e.scope)?;
        match &self.content {
            Content::Open(body) => {
                if let Some(source) = &body.source {
                    map.serialize_entry("source", source)?;
                }
                map.serialize_entry("payload", &body.payload)?;
            }
            Content::Erased => map.serialize_entry("erased", &true)?,
        }
        map.serialize_entry("seq", &e.seq)?;
        if let Some(run) = &e.run {
            map.serialize_entry("run", run)?;
        }
        if !e.evidence.is_empty() {
            map.serialize_entry("evidence", &e.evidence)?;
        }
        if !e.supersedes.is_empty() {
            map.serialize_entry("supersedes", &e.supersedes)?;
        }
        if let Some(sys) = &e.sys {
            map.serialize_entry("sys", sys)?;
        }
        map.serialize_entry("hash", &self.hash)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Actor, EventId, Kind, Scope, Timestamp};

    use super::*;

    fn event(content: Content) -> Event {
        let mut envelope = Envelope::new(
            3,
            EventId(ulid::Ulid::from_parts(1_771_553_503_123, 42)),
            Timestamp::from_ms(1_771_553_503_123),
            Actor::new("agent:teddy").unwrap(),
            Kind::new("message").unwrap(),
            Scope::new("customer:acme-inc").unwrap(),
            0,
            Hash::of_nothing(),
            Hash::of_nothing(),
        );
        envelope.evidence.push(envelope.id);
        Event {
            envelope,
            content,
            hash: Hash::of_nothing(),
        }
    }

    #[test]
    fn an_event_is_one_flat_object() {
        let body = Body::parse(br#"{"source":{"channel":"cli"},"payload":{"text": "hi"}}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&event(Content::Open(body))).unwrap(),
            concat!(
                r#"{"id":"evt_01KHWD2DWK000000000000001A","ts":"2026-02-20T02:11:43.123Z","actor":"agent:teddy","#,
                r#""kind":"message","scope":"customer:acme-inc","source":{"channel":"cli"},"payload":{"text": "hi"},"#,
                r#""seq":3,"evidence":["evt_01KHWD2DWK000000000000001A"],"hash":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}"#
            )
        );
    }

    #[test]
    fn an_erased_event_says_so() {
        let event = event(Content::Erased);
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["erased"], true);
        assert!(json.get("payload").is_none() && json.get("source").is_none() && event.payload().is_none());
    }
}
