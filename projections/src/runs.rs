//! What a run knew, as its own entries tell. docs/FORMAT.md, "Host's and operators' entries".

use std::collections::{HashMap, HashSet};

use quipu_format::{Envelope, EventId, RunId, Scope};
use quipu_log::LedgerReader;
use rusqlite::Transaction;
use serde_json::Value;

use crate::{error::Result, schema::position};

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
    /// Reads what is recorded of a run.
    pub(crate) fn load(tx: &Transaction<'_>, ledger: &LedgerReader, id: RunId) -> Result<Self> {
        let mut select = tx.prepare_cached("SELECT seq FROM entry WHERE run = ?1 ORDER BY seq")?;
        let seqs = select.query_map([id.0.to_bytes()], |row| row.get(0))?;
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
                "quipu.run.told" => match payload(ledger, seq)? {
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
            let ids = |list: &Value| list.as_array().cloned().unwrap_or_default();
            let hits = ids(&answer["hits"]["hits"]).into_iter().map(|hit| hit[0].clone());
            let shown = hits
                .chain(ids(&answer["trail"]["events"]))
                .chain(ids(&answer["context"]["events"]));
            self.shown
                .extend(shown.filter_map(|id| id.as_str()?.parse::<EventId>().ok()));
            if let (Some(to), Read::Anything { head, .. }) = (answer["head"].as_u64(), &mut self.read) {
                *head = to.max(*head);
            }
        }
    }
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
