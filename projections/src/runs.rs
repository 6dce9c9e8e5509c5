//! What a run knew, as its own entries tell. docs/FORMAT.md, "Host's and operators' entries".

use std::collections::{HashMap, HashSet};

use quipu_format::{Envelope, EventId, RunId, Scope};
use quipu_log::LedgerReader;
use rusqlite::{Transaction, params};
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::Result,
    schema::{number, position},
};

/// Kind of the entries that keep what a run was told.
pub(crate) const TOLD: &str = "quipu.run.told";

/// A run, and what it knew.
pub(crate) struct Run {
    pub(crate) id: RunId,
    /// What it wrote after it had begun, what the host recorded of it among that.
    pub(crate) wrote: Vec<u64>,
    /// Events that recall showed it.
    shown: HashSet<EventId>,
    read: Read,
}

/// What readers gave a run.
enum Read {
    /// First and last `nth` of each stretch of its scopes.
    These(HashMap<Scope, Vec<[u32; 2]>>),
    /// It is not known: it has no end that says so, or that is erased. So all that its grant allowed below its head,
    /// and all that it wrote itself. `None`: the grant is not known either.
    Anything { scopes: Option<HashSet<Scope>>, head: u64 },
}

/// How a run came to know an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Knew {
    Shown,
    Read,
    MayHaveRead,
}

impl Run {
    /// Reads what is recorded of a run below `end`.
    pub(crate) fn load(tx: &Transaction<'_>, ledger: &LedgerReader, id: RunId, end: u64) -> Result<Self> {
        let mut select = tx.prepare_cached("SELECT seq FROM entry WHERE run = ?1 AND seq < ?2 ORDER BY seq")?;
        let seqs = select.query_map(params![id.0.to_bytes(), number(end)], |row| row.get(0))?;
        let mut run = Self {
            id,
            wrote: Vec::new(),
            shown: HashSet::new(),
            read: Read::Anything {
                scopes: None,
                head: u64::MAX,
            },
        };
        let (mut given, mut whole) = (None, true);
        for seq in seqs {
            let seq = position(seq?)?;
            let Some(envelope) = ledger.envelope(seq)? else { break };
            match envelope.kind.as_str() {
                "quipu.run" => {
                    run.begin(&envelope);
                    continue;
                }
                TOLD => match payload(ledger, seq)? {
                    Some(told) => run.told(&told["told"]),
                    None => whole = false,
                },
                "quipu.run.end" => {
                    given = payload(ledger, seq)?.and_then(|end| given_by_readers(&end["read"]));
                }
                _ => {}
            }
            run.wrote.push(seq);
        }
        if let Some(given) = given.filter(|_| whole) {
            run.read = Read::These(given);
        }
        Ok(run)
    }

    /// Scopes of which readers may have given it something; `None`: it may be any.
    pub(crate) fn scopes(&self) -> Option<impl Iterator<Item = &Scope>> {
        let (given, granted) = match &self.read {
            Read::These(given) => (Some(given.keys()), None),
            Read::Anything {
                scopes: Some(scopes), ..
            } => (None, Some(scopes.iter())),
            Read::Anything { scopes: None, .. } => return None,
        };
        Some(given.into_iter().flatten().chain(granted.into_iter().flatten()))
    }

    /// Events that recall showed it.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &EventId> {
        self.shown.iter()
    }

    /// Whether it knew the entry, and how.
    pub(crate) fn knew(&self, entry: &Envelope) -> Option<Knew> {
        if self.shown.contains(&entry.id) {
            return Some(Knew::Shown);
        }
        match &self.read {
            Read::These(given) => {
                let ranges = given.get(&entry.scope)?;
                let at = ranges.partition_point(|[_, last]| *last < entry.nth);
                ranges
                    .get(at)
                    .is_some_and(|[first, _]| *first <= entry.nth)
                    .then_some(Knew::Read)
            }
            Read::Anything { scopes, head } => {
                let granted = scopes.as_ref().is_none_or(|scopes| scopes.contains(&entry.scope));
                (granted && (entry.seq < *head || entry.run == Some(self.id))).then_some(Knew::MayHaveRead)
            }
        }
    }

    fn begin(&mut self, start: &Envelope) {
        let run = start.sys.as_ref().map_or(&Value::Null, |sys| &sys["run"]);
        let grant = &run["grant"];
        let scope = |value: &Value| Scope::new(value.as_str()?).ok();
        let granted = std::iter::once(&grant["home"]).chain(grant["read"].as_array().into_iter().flatten());
        if let (Some(head), Some(scopes)) = (run["head"].as_u64(), granted.map(scope).collect()) {
            let scopes = Some(scopes);
            self.read = Read::Anything { scopes, head };
        }
    }

    fn told(&mut self, answers: &Value) {
        for answer in answers.as_array().into_iter().flatten() {
            self.shown.extend(shown_in(answer));
            if let (Some(to), Read::Anything { head, .. }) = (answer["head"].as_u64(), &mut self.read) {
                *head = to.max(*head);
            }
        }
    }
}

/// Events that recall showed, in the answers of a `quipu.run.told` entry.
pub(crate) fn shown(answers: &Value) -> impl Iterator<Item = EventId> {
    answers.as_array().into_iter().flatten().flat_map(shown_in)
}

fn shown_in(answer: &Value) -> impl Iterator<Item = EventId> {
    let list = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let hits = list(&answer["hits"]["hits"]).into_iter().map(|hit| hit[0].clone());
    let facts = list(&answer["facts"]["facts"]);
    let shown = hits
        .chain(list(&answer["trail"]["events"]))
        .chain(list(&answer["context"]["events"]))
        .chain(list(&answer["context"]["evidence"]))
        .chain(facts.into_iter().flat_map(move |fact| list(&fact[1])));
    shown.filter_map(|id| id.as_str()?.parse::<EventId>().ok())
}

/// What one call of recall showed to a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Shown {
    /// Which of the run's calls, counted from 1.
    pub call: u64,
    /// `hits`, `trail`, `context` or `facts`.
    pub answer: String,
    /// The position below which the answer took everything into account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<u64>,
    /// The events, in the answer's order.
    pub events: Vec<EventId>,
}

/// What recall showed to a run, as far as the entries that tell it are not erased.
pub(crate) fn told_to(tx: &Transaction<'_>, ledger: &LedgerReader, run: RunId) -> Result<Vec<Shown>> {
    let mut select = tx.prepare_cached("SELECT seq FROM entry WHERE run = ?1 ORDER BY seq")?;
    let mut shown = Vec::new();
    for seq in select.query_map([run.0.to_bytes()], |row| row.get(0))? {
        let seq = position(seq?)?;
        let told = ledger.envelope(seq)?.filter(|envelope| envelope.kind.as_str() == TOLD);
        let Some(told) = told.map(|_| payload(ledger, seq)).transpose()?.flatten() else {
            continue;
        };
        for answer in told["told"].as_array().into_iter().flatten() {
            let kind = ["hits", "trail", "facts", "context"]
                .into_iter()
                .find(|kind| answer.get(kind).is_some());
            shown.extend(kind.map(|kind| Shown {
                call: answer["call"].as_u64().unwrap_or(0),
                answer: kind.to_owned(),
                as_of: answer[kind]["asOf"].as_u64(),
                events: shown_in(answer).collect(),
            }));
        }
    }
    Ok(shown)
}

/// The payload of an entry; `None`: it is erased.
fn payload(ledger: &LedgerReader, seq: u64) -> Result<Option<Value>> {
    let event = ledger.event(seq)?;
    let payload = event.as_ref().and_then(|event| event.payload());
    Ok(payload.and_then(|payload| serde_json::from_str(payload).ok()))
}

/// The member `read` of an end; `None` where it is not there, as in runs that an older release recorded.
fn given_by_readers(read: &Value) -> Option<HashMap<Scope, Vec<[u32; 2]>>> {
    let given = read.as_object()?.iter().map(|(scope, ranges)| {
        Some((
            Scope::new(scope).ok()?,
            serde_json::from_value::<Vec<[u32; 2]>>(ranges.clone()).ok()?,
        ))
    });
    given.collect()
}
