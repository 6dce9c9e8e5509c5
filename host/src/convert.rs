//! Between the log's types and the WIT's.

use quipu_format::{Content, Event, EventId, Source, limits};
use quipu_log::Receipt;
use serde_json::{Map, Value};

use crate::{
    Refusal,
    bindings::agent::quipu::memory::types::{self, ErrorKind},
};

/// An event as a guest sees it. Its payload is moved, not copied.
pub(crate) fn event(event: Event) -> types::Event {
    let envelope = event.envelope;
    let (source, payload) = match event.content {
        Content::Open(body) => (
            body.source.map(source),
            Some(Box::<str>::from(body.payload).into_string()),
        ),
        Content::Erased => (None, None),
    };
    types::Event {
        seq: envelope.seq,
        id: envelope.id.to_string(),
        ts: envelope.ts.to_string(),
        actor: envelope.actor.to_string(),
        run: envelope.run.map(|run| run.to_string()),
        kind: envelope.kind.to_string(),
        scope: envelope.scope.to_string(),
        source,
        payload,
        evidence: ids(&envelope.evidence),
        supersedes: ids(&envelope.supersedes),
    }
}

pub(crate) fn ids(ids: &[EventId]) -> Vec<String> {
    ids.iter().map(EventId::to_string).collect()
}

fn source(source: Source) -> types::Source {
    let extra = (!source.extra.is_empty()).then(|| Value::Object(source.extra).to_string());
    types::Source {
        channel: source.channel,
        conversation_id: source.conversation_id,
        message_id: source.message_id,
        extra,
    }
}

/// Bytes of what an event says, as pages count them.
pub(crate) fn content_bytes(event: &types::Event) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let source = event.source.as_ref().map_or(0, |source| {
        source.channel.len() + text(&source.conversation_id) + text(&source.message_id) + text(&source.extra)
    });
    source + text(&event.payload)
}

pub(crate) fn receipt(receipt: &Receipt) -> types::Receipt {
    types::Receipt {
        seq: receipt.seq,
        id: receipt.id.to_string(),
        ts: receipt.ts.to_string(),
        hash: receipt.hash.to_string(),
    }
}

/// A draft's source as the log keeps it.
pub(crate) fn draft_source(source: types::Source) -> Result<Source, Refusal> {
    let extra = match source.extra {
        None => Map::new(),
        Some(extra) => parse_extra(&extra)?,
    };
    Ok(Source {
        channel: source.channel,
        conversation_id: source.conversation_id,
        message_id: source.message_id,
        extra,
    })
}

fn parse_extra(extra: &str) -> Result<Map<String, Value>, Refusal> {
    if extra.len() > limits::BODY_BYTES {
        return Err(Refusal::new(
            ErrorKind::TooLarge,
            "source.extra has more than 1,048,576 bytes",
        ));
    }
    let map: Map<String, Value> = serde_json::from_str(extra).map_err(|e| {
        Refusal::new(
            ErrorKind::Invalid,
            format!("source.extra is not the text of a JSON object: {e}"),
        )
    })?;
    match ["channel", "conversationId", "messageId"]
        .iter()
        .find(|field| map.contains_key(**field))
    {
        Some(field) => Err(Refusal::new(
            ErrorKind::Invalid,
            format!("source.extra has a member {field}, which is a field of source: set it there"),
        )),
        None => Ok(map),
    }
}

/// An event id in its one text form.
pub(crate) fn event_id(text: &str) -> Result<EventId, Refusal> {
    text.parse().map_err(|_| {
        Refusal::new(
            ErrorKind::Invalid,
            "an event id is evt_ and a ULID of 26 characters in upper case",
        )
    })
}
