//! Events as lines for people and as JSON for programs.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use anstyle::{AnsiColor, Style};
use quipu_format::{Content, Event, EventId, Hash, InclusionProof, Timestamp};
use quipu_log::{Receipt, import};
use quipu_projections::Quarantine;
use serde::Serialize;
use serde_json::Value;

use crate::terminal::{self, Out, escaped, escaped_json, shortened};

pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const ID: Style = AnsiColor::Yellow.on_default();
pub(crate) const ACTOR: Style = AnsiColor::Cyan.on_default();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const LOOK: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Characters of text on a line that goes to a file or a pipe.
const TEXT_CHARS: usize = 200;
/// Characters of text that even a narrow terminal gets.
const LEAST_TEXT_CHARS: usize = 30;

/// One value on one line of JSON.
pub(crate) fn json_line(out: &mut Out, value: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_string(value)?;
    writeln!(out, "{}", escaped_json(&json))
}

/// A count that is left out of JSON where it is of nothing.
pub(crate) fn is_none(count: &usize) -> bool {
    *count == 0
}

/// A receipt as JSON.
#[derive(Serialize)]
pub(crate) struct ReceiptLine {
    seq: u64,
    id: EventId,
    ts: Timestamp,
    hash: Hash,
    repeated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
}

impl ReceiptLine {
    /// With a proof, if there is one.
    pub(crate) fn with(receipt: &Receipt, proof: Option<&InclusionProof>) -> Self {
        let proof = proof.map(InclusionProof::to_string);
        Self {
            proof,
            ..receipt.into()
        }
    }
}

impl From<&Receipt> for ReceiptLine {
    fn from(receipt: &Receipt) -> Self {
        let &Receipt {
            seq,
            id,
            ts,
            hash,
            repeated,
            ..
        } = receipt;
        Self {
            seq,
            id,
            ts,
            hash,
            repeated,
            proof: None,
        }
    }
}

/// An event on one line: id, time, actor, kind, scope, text.
pub(crate) fn event_line(out: &mut Out, event: &Event) -> io::Result<()> {
    let e = &event.envelope;
    let time = seconds(event);
    let (id, actor, kind, scope) = (e.id, e.actor.as_str(), e.kind.as_str(), e.scope.as_str());
    let lead = 30 + 2 + 20 + 2 + actor.len().max(16) + 2 + kind.len().max(14) + 2 + scope.len().max(18) + 2;
    let text = said(event);
    let text = shortened(&text, text_chars(lead));
    writeln!(
        out,
        "{ID}{id}{ID:#}  {DIM}{time}{DIM:#}  {ACTOR}{actor:16}{ACTOR:#}  {kind:14}  {DIM}{scope:18}{DIM:#}  {text}"
    )
}

/// Characters of text that fit a line after `lead` columns.
pub(crate) fn text_chars(lead: usize) -> usize {
    terminal::columns().map_or(TEXT_CHARS, |columns| columns.saturating_sub(lead).max(LEAST_TEXT_CHARS))
}

/// When the event was taken, to the second.
pub(crate) fn seconds(event: &Event) -> String {
    let ts = event.envelope.ts.to_string();
    // 2026-02-20T02:11:43.123Z: the text form has one width.
    ts.get(..19).map_or(ts.clone(), |seconds| format!("{seconds}Z"))
}

/// What an event says on one line, and for an imported one who is said to have said it, and on which day. Safe for a
/// terminal.
pub(crate) fn said(event: &Event) -> String {
    let text = text(event);
    let Some(actor) = import::original_actor(event) else {
        return text;
    };
    let time = import::event_time(event).to_string();
    let day = time.split('T').next().unwrap_or_default();
    format!("{}, {day}: {text}", escaped(actor))
}

/// What a quarantine or a lift says, which is in its envelope.
fn quarantine(event: &Event) -> Option<String> {
    Some(match Quarantine::of(&event.envelope)? {
        Quarantine::Run(run) => format!("quarantines run {run}"),
        Quarantine::Actor { name, first, end } => {
            format!("quarantines {name} from seq {first} up to {}", end.saturating_sub(1))
        }
        Quarantine::Lift(id) => format!("lifts {id}"),
        _ => return None,
    })
}

/// The event's text, or else its payload as JSON.
fn text(event: &Event) -> String {
    if let Some(act) = quarantine(event) {
        let payload: Value = event
            .payload()
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        return match payload["reason"].as_str() {
            Some(reason) => format!("{act}: {}", escaped(reason)),
            None => act,
        };
    }
    let body = match &event.content {
        Content::Open(body) => body,
        Content::Erased => return "(erased)".to_owned(),
    };
    let json = match serde_json::from_str::<Value>(body.payload.get()) {
        Ok(Value::Object(payload)) => match (payload.get("text"), &event.envelope.sys) {
            (Some(Value::String(text)), _) => return escaped(text).into_owned(),
            (_, Some(sys)) if payload.is_empty() => Cow::Owned(sys.to_string()),
            _ => Cow::Borrowed(body.payload.get()),
        },
        _ => Cow::Borrowed(body.payload.get()),
    };
    escaped_json(&json).into_owned()
}
