//! What processes that share a ledger say to each other.
//!
//! A message is one byte, the version; its length in 4 bytes, big-endian; and that many bytes of JSON. Whoever is
//! connected to is first to speak, and says [`Answer::Ready`]; then each [`Question`] has its [`Answer`]. Both ends
//! are of one machine and nearly always of one release: there is one version, and what is of another is refused.

use quipu_format::{Actor, Body, EventId, Kind, RunId, Scope, Source, limits};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::{Draft, Error, ErrorKind, Receipt, Result};

/// Also to be raised when [`ErrorKind`] grows.
pub(crate) const VERSION: u8 = 5;
/// Bytes before the JSON.
pub(crate) const HEADER_BYTES: usize = 5;
/// Characters of an error's message.
const MESSAGE_CHARS: usize = 2_000;

/// What is asked of the process that writes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Question<'a> {
    /// Append these, each as [`encode`] makes it: all or none of it, apart from the others.
    #[serde(borrow)]
    Append(Vec<&'a RawValue>),
    /// The same; a second answer, [`Answer::Covered`], comes when a checkpoint covers what was appended and the first so
    /// many entries of the log.
    Prove(#[serde(borrow)] Vec<&'a RawValue>, u64),
    /// Give the ledger another key to sign with.
    Rotate,
}

/// What it says. `head`: entries below it are durable.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Answer {
    /// It will take questions.
    Ready { head: u64 },
    /// What became of each.
    Appended {
        head: u64,
        each: Vec<std::result::Result<Vec<Receipt>, Refusal>>,
    },
    /// A checkpoint covers that, or none could be signed: what was appended is durable all the same.
    Covered,
    /// Its checkpoints are signed by the key that this verifies.
    Rotated { key: String },
    /// It will not, and closes the connection.
    Refused(Refusal),
}

/// An error on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    kind: ErrorKind,
    message: String,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string().chars().take(MESSAGE_CHARS).collect(),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.kind, refusal.message)
    }
}

/// A draft on its way. Members of any depth are JSON within JSON: so that they may be as deep here as in an entry.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SentDraft {
    scope: Scope,
    actor: Actor,
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Box<RawValue>>,
    payload: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<EventId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    supersedes: Vec<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sys: Option<Box<RawValue>>,
}

/// Drafts to be appended together, as JSON.
pub(crate) fn encode(drafts: Vec<Draft>) -> Result<Box<RawValue>> {
    let drafts: serde_json::Result<Vec<_>> = drafts.into_iter().map(SentDraft::new).collect();
    drafts.and_then(|drafts| to_raw_value(&drafts)).map_err(malformed)
}

/// Reads such drafts. What is wrong with them is `Invalid` or `TooLarge`.
pub(crate) fn decode(drafts: &RawValue) -> Result<Vec<Draft>> {
    let drafts: Vec<SentDraft> = serde_json::from_str(drafts.get()).map_err(malformed)?;
    drafts.into_iter().map(SentDraft::draft).collect()
}

impl SentDraft {
    fn new(draft: Draft) -> serde_json::Result<Self> {
        Ok(Self {
            scope: draft.scope,
            actor: draft.actor,
            kind: draft.kind,
            run: draft.run,
            source: draft.body.source.as_ref().map(to_raw_value).transpose()?,
            payload: draft.body.payload,
            evidence: draft.evidence,
            supersedes: draft.supersedes,
            key: draft.key,
            sys: draft.sys.as_ref().map(to_raw_value).transpose()?,
        })
    }

    fn draft(self) -> Result<Draft> {
        let source = self.source.map(|source| serde_json::from_str::<Source>(source.get()));
        let source = source.transpose().map_err(malformed)?;
        let body = Body::new(source, self.payload.get()).map_err(|e| {
            let kind = if self.payload.get().len() > limits::BODY_BYTES {
                ErrorKind::TooLarge
            } else {
                ErrorKind::Invalid
            };
            Error::from(e).into_kind(kind)
        })?;
        let mut draft = Draft::new(self.scope, self.actor, self.kind, body);
        draft.run = self.run;
        draft.evidence = self.evidence;
        draft.supersedes = self.supersedes;
        draft.key = self.key;
        let sys = self.sys.map(|sys| serde_json::from_str(sys.get()));
        draft.sys = sys.transpose().map_err(malformed)?;
        Ok(draft)
    }
}

fn malformed(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Invalid, format!("a draft is malformed: {error}"))
}

/// The bytes of a message, or `TooLarge`.
pub(crate) fn message(said: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = vec![VERSION, 0, 0, 0, 0];
    serde_json::to_writer(&mut bytes, said).map_err(malformed)?;
    let length = bytes.len() - HEADER_BYTES;
    check_length(length)?;
    bytes[1..HEADER_BYTES].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(bytes)
}

/// Bytes of JSON that follow a header.
pub(crate) fn length(header: [u8; HEADER_BYTES]) -> Result<usize> {
    let [version, length @ ..] = header;
    if version != VERSION {
        let message = format!(
            "the other process speaks version {version} of the ledger's socket, this release {VERSION}: use one release"
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let length = u32::from_be_bytes(length) as usize;
    check_length(length)?;
    Ok(length)
}

/// Reads a message's JSON.
pub(crate) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|e| {
        let message = format!("a message of the ledger's socket is none: {e}");
        Error::new(ErrorKind::Invalid, message)
    })
}

fn check_length(bytes: usize) -> Result<()> {
    if bytes <= limits::MESSAGE_BYTES {
        return Ok(());
    }
    let message = format!(
        "a message of {bytes} bytes; the ledger's socket takes at most {}",
        limits::MESSAGE_BYTES
    );
    Err(Error::new(ErrorKind::TooLarge, message))
}
