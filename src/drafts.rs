//! Drafts as lines of JSON.

use std::io::{BufRead, Read};

use quipu_format::{Actor, Body, EventId, Kind, Scope, Source, limits};
use quipu_log::Draft;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Bytes of a line: a body of the largest size, an envelope's worth of links, and some white space.
const LINE_BYTES: usize = limits::BODY_BYTES + limits::ENVELOPE_BYTES + (64 << 10);

/// What drafts have that do not say it themselves.
pub(crate) struct Defaults {
    pub(crate) scope: Option<Scope>,
    pub(crate) actor: Actor,
    pub(crate) kind: Kind,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftLine {
    scope: Option<Scope>,
    kind: Option<Kind>,
    source: Option<Source>,
    payload: Box<RawValue>,
    #[serde(default)]
    evidence: Vec<EventId>,
    #[serde(default)]
    supersedes: Vec<EventId>,
    key: Option<String>,
}

impl Defaults {
    pub(crate) fn draft(&self, line: &[u8]) -> Result<Draft, String> {
        // The draft is one line: what serde counts as its line 1 is not the user's.
        let line: DraftLine = serde_json::from_slice(line).map_err(|error| {
            format!(
                "not a draft: {}",
                error.to_string().replace(" at line 1 column", ", column")
            )
        })?;
        let scope = line.scope.or_else(|| self.scope.clone());
        let scope = scope.ok_or("it names no scope, and --scope was not given")?;
        let kind = line.kind.unwrap_or_else(|| self.kind.clone());
        let body = Body::new(line.source, line.payload.get()).map_err(|error| error.to_string())?;
        let mut draft = Draft::new(scope, self.actor.clone(), kind, body);
        draft.evidence = line.evidence;
        draft.supersedes = line.supersedes;
        draft.key = line.key;
        refuse_reserved(&draft)?;
        Ok(draft)
    }
}

/// Refuses names that are the ledger's own.
pub(crate) fn refuse_reserved(draft: &Draft) -> Result<(), String> {
    if draft.scope.is_reserved() || draft.kind.is_reserved() || draft.actor.is_reserved() {
        let message = "scopes that begin with quipu:, kinds that begin with quipu. and actors that begin with host: are \
                       the ledger's own";
        return Err(message.to_owned());
    }
    Ok(())
}

/// Reads lines of bounded length, blank ones left out.
pub(crate) struct Lines<'a> {
    input: &'a mut dyn BufRead,
    line: Vec<u8>,
    number: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(input: &'a mut dyn BufRead) -> Self {
        Self {
            input,
            line: Vec::new(),
            number: 0,
        }
    }

    /// The next line and its number, counted from 1. None: the input has ended.
    pub(crate) fn next(&mut self) -> Result<Option<(usize, &[u8])>, String> {
        loop {
            self.number += 1;
            self.line.clear();
            let read = (&mut *self.input)
                .take(LINE_BYTES as u64 + 1)
                .read_until(b'\n', &mut self.line);
            match read {
                Err(error) => return Err(format!("cannot read line {}: {error}", self.number)),
                Ok(0) => return Ok(None),
                Ok(_) if self.line.len() > LINE_BYTES => {
                    return Err(format!("line {} is longer than {LINE_BYTES} bytes", self.number));
                }
                Ok(_) if self.line.trim_ascii().is_empty() => {}
                Ok(_) => return Ok(Some((self.number, self.line.trim_ascii()))),
            }
        }
    }
}
