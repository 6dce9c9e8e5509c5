//! What a guest is told that is not a function of the log below its readers' heads, kept until it is appended.

use quipu_format::{Body, EventId};
#[cfg(feature = "recall")]
use quipu_projections::{FactNote, Layout};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::{bindings::agent::quipu::memory::types, run::Stop};

/// Bytes of answers that are held back, to be appended together with the guest's next draft. The longest answer is
/// a context: at most 1,000 hits, two turns around each, and facts, which name at most 8,192 events and 256 more, below
/// 400 KiB, and below 200 KiB of notes on 1,000 facts; a refusal's message has at most 1,000 characters, which is 6,000
/// bytes as JSON. So a `quipu.run.told` entry stays far below the size of a body.
const BUFFER_BYTES: usize = 64 << 10;

/// An answer as `quipu.run.told` keeps it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// Any call: it was refused.
    Refused {
        #[serde(serialize_with = "by_name")]
        kind: types::ErrorKind,
        message: String,
    },
    /// `append`, `append-all`: these drafts, counted from 0, repeated earlier ones.
    Repeated(Vec<(usize, EventId)>),
    /// `refresh`: the new head.
    Head(u64),
    /// `prove`: the proof.
    Proof(String),
    /// `search`: events and scores, the best first.
    #[serde(rename_all = "camelCase")]
    Hits { hits: Vec<(EventId, f64)>, as_of: u64 },
    /// `facts`: the confidence of each and the events that state it, the surest first; and a note on each.
    #[serde(rename_all = "camelCase")]
    Facts {
        facts: Vec<(f64, Vec<EventId>)>,
        #[cfg(feature = "recall")]
        notes: Vec<FactNote>,
        as_of: u64,
    },
    /// `compose`: the events named in the text, in its order, and the others that state its facts. The text itself says
    /// what they say, and must not outlive them here; the layout is what it takes to put it together again.
    #[serde(rename_all = "camelCase")]
    Context {
        events: Vec<EventId>,
        evidence: Vec<EventId>,
        #[cfg(feature = "recall")]
        #[serde(skip_serializing_if = "Option::is_none")]
        layout: Option<Layout>,
        as_of: u64,
    },
    /// `why`, `impact`: events, the nearest first.
    #[serde(rename_all = "camelCase")]
    Trail {
        events: Vec<EventId>,
        complete: bool,
        as_of: u64,
    },
    /// The deadline struck during this call or after it.
    Deadline,
}

impl Answer {
    pub(crate) fn refused(error: &types::Error) -> Self {
        Self::Refused {
            kind: error.kind,
            message: error.message.clone(),
        }
    }
}

fn by_name<S: Serializer>(kind: &types::ErrorKind, serializer: S) -> Result<S::Ok, S::Error> {
    kind_name(*kind).serialize(serializer)
}

/// The kind's name in the WIT.
pub(crate) fn kind_name(kind: types::ErrorKind) -> &'static str {
    use types::ErrorKind as Kind;
    match kind {
        Kind::Denied => "denied",
        Kind::Invalid => "invalid",
        Kind::NotFound => "not-found",
        Kind::TooLarge => "too-large",
        Kind::Quota => "quota",
        Kind::Secret => "secret",
        Kind::Conflict => "conflict",
        Kind::Unavailable => "unavailable",
        Kind::Redacted => "redacted",
    }
}

/// The kind of that name in the WIT.
pub(crate) fn kind_named(name: &str) -> Option<types::ErrorKind> {
    use types::ErrorKind as Kind;
    let all = [
        Kind::Denied,
        Kind::Invalid,
        Kind::NotFound,
        Kind::TooLarge,
        Kind::Quota,
        Kind::Secret,
        Kind::Conflict,
        Kind::Unavailable,
        Kind::Redacted,
    ];
    all.into_iter().find(|kind| kind_name(*kind) == name)
}

/// Which call was answered, counted from 1, and how.
#[derive(Serialize)]
struct Told {
    call: u64,
    #[serde(flatten)]
    answer: Answer,
}

/// Answers that are not in the log yet.
pub(crate) struct Record {
    waiting: Vec<Box<RawValue>>,
    waiting_bytes: usize,
    total_bytes: usize,
    limit_bytes: usize,
}

impl Record {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self {
            waiting: Vec::new(),
            waiting_bytes: 0,
            total_bytes: 0,
            limit_bytes,
        }
    }

    /// Keeps an answer. What cannot be recorded must not be told: past the limit the run ends.
    pub(crate) fn tell(&mut self, call: u64, answer: Answer) -> Result<(), Stop> {
        let json = to_raw_value(&Told { call, answer }).map_err(|_| Stop::ToldBytes(self.limit_bytes))?;
        self.total_bytes += json.get().len();
        if self.total_bytes > self.limit_bytes {
            return Err(Stop::ToldBytes(self.limit_bytes));
        }
        self.waiting_bytes += json.get().len();
        self.waiting.push(json);
        Ok(())
    }

    /// Whether the answers should not wait any longer.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting_bytes >= BUFFER_BYTES
    }

    /// The body of a `quipu.run.told` entry with all that waits, if anything does. It goes on waiting until
    /// [`appended`](Record::appended).
    pub(crate) fn body(&self) -> Option<Body> {
        #[derive(Serialize)]
        struct Payload<'a> {
            told: &'a [Box<RawValue>],
        }
        if self.waiting.is_empty() {
            return None;
        }
        let payload = to_raw_value(&Payload { told: &self.waiting }).ok()?;
        Some(Body { source: None, payload })
    }

    /// All that waited is in the log.
    pub(crate) fn appended(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
    }
}
