use std::path::{Path, PathBuf};

use quipu_format::{Actor, Body, EventId, Kind, RunId, Scope, Source, Timestamp};
use quipu_log::{CreateOptions, Draft, Ledger, Receipt};
use quipu_projections::{Handle, Projections, Query, View};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A ledger of its own and its projections.
pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) ledger: Ledger,
    pub(crate) projections: Projections,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::create(&folder.path().join("ledger"), CreateOptions::new("example.com/test")).unwrap();
        let projections = Projections::open(ledger.reader()).unwrap();
        Self {
            folder,
            ledger,
            projections,
        }
    }

    pub(crate) fn head(&self) -> u64 {
        self.ledger.reader().head()
    }

    pub(crate) fn append(&self, draft: Draft) -> Receipt {
        self.append_all(vec![draft]).remove(0)
    }

    pub(crate) fn append_all(&self, drafts: Vec<Draft>) -> Vec<Receipt> {
        self.ledger.append_all_blocking(drafts).unwrap()
    }

    pub(crate) fn say(&self, scope: &str, text: &str) -> EventId {
        self.append(say(scope, text)).id
    }

    pub(crate) fn catch_up(&self) -> u64 {
        self.projections.catch_up(u64::MAX).unwrap()
    }

    /// What a handle on each of the scopes finds now, best first.
    pub(crate) fn search(&self, scopes: &[&str], query: &Query) -> Vec<(EventId, f64)> {
        self.catch_up();
        self.find(&self.pinned(scopes), query)
    }

    /// The same without catching up.
    pub(crate) fn find(&self, view: &View, query: &Query) -> Vec<(EventId, f64)> {
        let answer = self.projections.search(view, query).unwrap();
        answer
            .hits
            .into_iter()
            .map(|hit| (hit.event.envelope.id, hit.score))
            .collect()
    }

    /// Handles on the scopes, pinned to the present.
    pub(crate) fn pinned(&self, scopes: &[&str]) -> View {
        View::Handles(
            scopes
                .iter()
                .map(|name| Handle {
                    scope: scope(name),
                    head: self.head(),
                    run: None,
                })
                .collect(),
        )
    }

    pub(crate) fn dump(&self) -> String {
        dump(&self.projections)
    }

    pub(crate) fn file(&self) -> PathBuf {
        file(&self.folder.path().join("ledger"))
    }
}

/// The projection's file of the ledger in a folder.
pub(crate) fn file(ledger: &Path) -> PathBuf {
    ledger.join("projections").join("recall.sqlite")
}

pub(crate) fn dump(projections: &Projections) -> String {
    let mut out = Vec::new();
    projections.dump(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

pub(crate) fn scope(name: &str) -> Scope {
    Scope::new(name).unwrap()
}

pub(crate) fn words(text: &str) -> Query {
    let mut query = Query::default();
    query.text = text.into();
    query
}

/// Query with everything set by a closure.
pub(crate) fn query(text: &str, set: impl FnOnce(&mut Query)) -> Query {
    let mut query = words(text);
    set(&mut query);
    query
}

pub(crate) fn say(scope: &str, text: &str) -> Draft {
    payload(scope, json!({ "text": text }))
}

pub(crate) fn payload(scope_name: &str, payload: Value) -> Draft {
    let body = Body::new(None, &payload.to_string()).unwrap();
    let actor = Actor::new("agent:teddy").unwrap();
    Draft::new(scope(scope_name), actor, Kind::new("memory.write").unwrap(), body)
}

pub(crate) fn resting_on(mut draft: Draft, evidence: &[EventId]) -> Draft {
    draft.evidence = evidence.to_vec();
    draft
}

pub(crate) fn superseding(mut draft: Draft, earlier: EventId) -> Draft {
    draft.supersedes = vec![earlier];
    draft
}

/// What an import makes of an event: its time and actor are kept in the source.
pub(crate) fn imported(scope: &str, payload_value: Value, ts: &str, actor: &str) -> Draft {
    let mut draft = payload(scope, payload_value);
    let original = json!({ "channel": "import", "original": { "ts": ts, "actor": actor } });
    draft.body.source = Some(serde_json::from_value::<Source>(original).unwrap());
    draft
}

pub(crate) fn ids(hits: &[(EventId, f64)]) -> Vec<EventId> {
    hits.iter().map(|(id, _)| *id).collect()
}

/// Bits, so that equal means equal.
pub(crate) fn bits(hits: &[(EventId, f64)]) -> Vec<(EventId, u64)> {
    hits.iter().map(|(id, score)| (*id, score.to_bits())).collect()
}

pub(crate) fn run(name: &str) -> RunId {
    format!("01ARZ3NDEKTSV4RRFFQ69G5{name}").parse().unwrap()
}

pub(crate) fn instant(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}
