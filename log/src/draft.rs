use quipu_format::{Actor, Body, Envelope, EventId, Hash, IdempotencyKey, Kind, RunId, Scope, Timestamp, limits};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ulid::Ulid;

use crate::{Error, ErrorKind, Result};

/// What is to be appended. Whoever makes one has already checked that the actor may: the log knows no grants.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Where it belongs.
    pub scope: Scope,
    /// Whom to stamp.
    pub actor: Actor,
    /// What it is.
    pub kind: Kind,
    /// The run that appends it.
    pub run: Option<RunId>,
    /// What it says.
    pub body: Body,
    /// Events that it rests on; at most 256, each already in the ledger.
    pub evidence: Vec<EventId>,
    /// Events that it replaces in what is derived; at most 256, each already in the ledger.
    pub supersedes: Vec<EventId>,
    /// Idempotency key, 1 to 128 bytes: the same key, scope, actor and content gives the first receipt again.
    pub key: Option<String>,
    /// For kinds that begin with `quipu.` alone: what a verifier without keys must see. At most 16 KiB of JSON.
    pub sys: Option<Value>,
}

impl Draft {
    /// A draft without the optional members.
    pub fn new(scope: Scope, actor: Actor, kind: Kind, body: Body) -> Self {
        Self {
            scope,
            actor,
            kind,
            run: None,
            body,
            evidence: Vec::new(),
            supersedes: Vec::new(),
            key: None,
            sys: None,
        }
    }
}

/// Proof of acceptance: when it is returned the entry is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Position in the ledger.
    pub seq: u64,
    /// Name of the entry.
    pub id: EventId,
    /// When the host took it.
    pub ts: Timestamp,
    /// Its leaf hash.
    pub hash: Hash,
    /// The idempotency key was used before with the same content: this is the receipt of that entry.
    pub repeated: bool,
}

impl Receipt {
    /// What is told to whoever repeats the idempotency key.
    pub(crate) fn again(&self) -> Self {
        Self {
            repeated: true,
            ..self.clone()
        }
    }
}

/// Bytes of `sys`.
const SYS_BYTES: usize = 16 << 10;
/// Bytes by which a sealed body is longer than its plaintext.
const SEAL_BYTES: usize = 16;

/// A draft that has been checked and serialised on its caller's thread, so that the sequencer has little to do.
pub(crate) struct Prepared {
    /// Without its place: `seq`, `id`, `ts`, `nth`, `prev` and `body` are still to come.
    pub(crate) envelope: Envelope,
    /// What is to be sealed, with room for the seal.
    pub(crate) plaintext: Vec<u8>,
    /// The idempotency key as it was given, for messages.
    key_text: Option<String>,
    /// Upper bound of the bytes that its line will take.
    pub(crate) line_bytes: usize,
}

impl Prepared {
    /// Checks all that does not depend on the ledger's state.
    pub(crate) fn new(draft: Draft, ledger_secret: &[u8; 32]) -> Result<Self> {
        for (what, links) in [("evidence", &draft.evidence), ("supersedes", &draft.supersedes)] {
            if links.len() > limits::LINKS {
                let message = format!("{what} names {} events; at most {} fit", links.len(), limits::LINKS);
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
        }
        let key = match &draft.key {
            None => None,
            Some(key) if (1..=limits::KEY_BYTES).contains(&key.len()) => {
                Some(IdempotencyKey::derive(ledger_secret, &draft.scope, &draft.actor, key))
            }
            Some(key) => {
                let message = format!(
                    "the idempotency key has {} bytes; it must have 1 to {}",
                    key.len(),
                    limits::KEY_BYTES
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        };
        let mut sys_bytes = 0;
        if let Some(sys) = &draft.sys {
            sys_bytes = sys.to_string().len();
            let readable = serde_json::from_str::<Value>(&sys.to_string()).is_ok();
            if !draft.kind.is_reserved() || sys_bytes > SYS_BYTES || !readable {
                let message =
                    "sys belongs to kinds that begin with quipu., has at most 16 KiB and is nested at most 127 deep";
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        let mut plaintext = draft.body.to_bytes().map_err(|e| {
            let bytes = serde_json::to_vec(&draft.body).map_or(0, |bytes| bytes.len());
            let kind = if bytes > limits::BODY_BYTES {
                ErrorKind::TooLarge
            } else {
                ErrorKind::Invalid
            };
            Error::from(e).into_kind(kind)
        })?;
        plaintext.reserve(SEAL_BYTES);
        // 512 bytes hold all members of an envelope of fixed size, and their names; an event id in a list takes 33.
        let envelope_bytes = 512
            + draft.scope.as_str().len()
            + draft.actor.as_str().len()
            + draft.kind.as_str().len()
            + 33 * (draft.evidence.len() + draft.supersedes.len())
            + sys_bytes;
        let line_bytes = quipu_format::line_bytes(envelope_bytes, plaintext.len() + SEAL_BYTES);
        let nothing = Hash([0; 32]);
        let mut envelope = Envelope::new(
            0,
            EventId(Ulid::nil()),
            Timestamp::FIRST,
            draft.actor,
            draft.kind,
            draft.scope,
            0,
            nothing,
            nothing,
        );
        envelope.run = draft.run;
        envelope.evidence = draft.evidence;
        envelope.supersedes = draft.supersedes;
        envelope.key = key;
        envelope.sys = draft.sys;
        Ok(Self {
            envelope,
            plaintext,
            key_text: draft.key,
            line_bytes,
        })
    }

    /// Bytes of its entry at that place, as quotas count them. All else that is still to come has always as many.
    pub(crate) fn counted_bytes(&mut self, seq: u64, nth: u32) -> Result<u64> {
        (self.envelope.seq, self.envelope.nth) = (seq, nth);
        let mut bytes = Vec::with_capacity(512);
        self.envelope
            .write_to(&mut bytes)
            .map_err(|e| Error::from(e).into_kind(ErrorKind::TooLarge))?;
        Ok(quipu_format::counted_bytes(bytes.len(), self.plaintext.len() + SEAL_BYTES) as u64)
    }

    /// Whether a caller who repeats an idempotency key repeats what was said, too.
    pub(crate) fn says_the_same_as(&self, envelope: &Envelope) -> bool {
        self.envelope.kind == envelope.kind
            && self.envelope.evidence == envelope.evidence
            && self.envelope.supersedes == envelope.supersedes
    }

    /// Its idempotency key was used for something else.
    pub(crate) fn conflict(&self) -> Error {
        let key = self.key_text.as_deref().unwrap_or_default();
        let message = format!(
            "the idempotency key {key:?} was used before in {} by {} with other content: use another key for another entry",
            self.envelope.scope, self.envelope.actor
        );
        Error::new(ErrorKind::Conflict, message)
    }
}
