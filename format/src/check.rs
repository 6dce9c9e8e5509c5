//! Checking what a ledger hands out, with nothing but its verifier keys. What a text is shows from how it begins.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, json};

use crate::{
    Checkpoint, ConsistencyProof, Disclosure, Envelope, Error, Hash, InclusionProof, Result, ScopeCheck, ScopeProof,
    ScopeShown, ScopeStanding, TrustedKeys, VerifierKey, consistency, disclosure, leaf_hash,
    report::{self, Report},
    scope_export, scope_proof,
};

/// What a check is made with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Given {
    /// The ledger's verifier keys, from somebody who is trusted.
    pub keys: TrustedKeys,
    /// The leaf hash of the entry that a proof must be about. Needed where the proof does not bring the entry.
    pub leaf: Option<Hash>,
}

impl Given {
    /// The ledger's only key.
    pub fn new(key: &VerifierKey) -> Self {
        Self::with(key.clone().into())
    }

    /// The keys that the ledger has had, as far as they are trusted.
    pub fn with(keys: TrustedKeys) -> Self {
        Self { keys, leaf: None }
    }
}

/// What a good text shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What it is: `tlog-proof`, `disclosure`, …
    pub kind: &'static str,
    /// What it shows, in one sentence.
    pub shows: String,
    /// What is known from it, by name, in the order to print it in.
    pub facts: Vec<(&'static str, Value)>,
}

/// A kind of text that can be checked.
struct Kind {
    begins: &'static str,
    check: fn(&str, &Given) -> Result<Finding>,
}

/// All of them. A kind has a line here, a function below, and a module for the rest.
const KINDS: &[Kind] = &[
    Kind {
        begins: "c2sp.org/tlog-proof@v1\n",
        check: tlog_proof,
    },
    Kind {
        begins: consistency::FIRST_LINE,
        check: consistency_proof,
    },
    Kind {
        begins: disclosure::BEGINNING,
        check: disclosed_event,
    },
    Kind {
        begins: scope_export::BEGINNING,
        check: scope,
    },
    Kind {
        begins: scope_proof::BEGINNING,
        check: scope_proof,
    },
    Kind {
        begins: report::BEGINNING,
        check: completion_report,
    },
];

/// Checks a text. None: it is none of the kinds that are known. An error says why it is refused.
pub fn check(text: &[u8], given: &Given) -> Option<Result<Finding>> {
    let kind = KINDS.iter().find(|kind| text.starts_with(kind.begins.as_bytes()))?;
    let text = std::str::from_utf8(text).map_err(|_| Error::new("the text is not UTF-8"));
    Some(text.and_then(|text| (kind.check)(text, given)))
}

/// Whether a text begins as the export of a scope, which can be checked line by line with [`ScopeCheck`].
pub fn is_scope_export(beginning: &[u8]) -> bool {
    beginning.starts_with(scope_export::BEGINNING.as_bytes())
}

fn tlog_proof(text: &str, given: &Given) -> Result<Finding> {
    let proof: InclusionProof = text.parse()?;
    let brought = proof.extra.as_deref().map(leaf_hash);
    let leaf = match (given.leaf, brought) {
        (Some(given), Some(brought)) if given != brought => {
            return Err(Error::new("the proof brings another entry than the one that was given"));
        }
        (None, None) => {
            let message = "the proof does not bring its entry: give the entry's envelope, or its leaf hash";
            return Err(Error::new(message));
        }
        (given, brought) => given.or(brought).unwrap_or_else(Hash::of_nothing),
    };
    let checkpoint = proof.verify(&leaf, given.keys.of(&proof.checkpoint)?)?;
    let mut facts = Vec::new();
    if let Some(envelope) = &proof.extra {
        let envelope = Envelope::parse(envelope)?;
        disclosure::is_at(&envelope, proof.index)?;
        facts.push(("envelope", json!(envelope)));
    }
    facts.extend([("seq", json!(proof.index)), ("hash", json!(leaf))]);
    let shows = format!("entry {} is in the ledger {}", proof.index, checkpoint.origin);
    Ok(Finding::new("tlog-proof", shows, facts, &checkpoint))
}

fn consistency_proof(text: &str, given: &Given) -> Result<Finding> {
    let proof: ConsistencyProof = text.parse()?;
    let (old, new) = given.keys.of_both(&proof.old, &proof.new)?;
    let (old, new) = proof.verify_with(old, new)?;
    let shows = format!(
        "the ledger {} only grew from {} to {} entries",
        new.origin, old.size, new.size
    );
    let facts = vec![("oldSize", json!(old.size)), ("oldRoot", json!(old.root))];
    Ok(Finding::new("consistency proof", shows, facts, &new))
}

fn disclosed_event(text: &str, given: &Given) -> Result<Finding> {
    let disclosure: Disclosure = text.parse()?;
    let (event, checkpoint) = disclosure.verify(given.keys.of(&disclosure.proof.checkpoint)?)?;
    if given.leaf.is_some_and(|leaf| leaf != event.hash) {
        return Err(Error::new("it discloses another entry than the one that was given"));
    }
    let shows = format!(
        "{} is in the ledger {}, and this is what it says",
        event.envelope.id, checkpoint.origin
    );
    Ok(Finding::new(
        "disclosure",
        shows,
        vec![("event", json!(event))],
        &checkpoint,
    ))
}

fn completion_report(text: &str, given: &Given) -> Result<Finding> {
    let key = given.keys.signer_of(text)?;
    let report = Report::open(text.as_bytes(), key)?;
    given.keys.check_size(key, report.size)?;
    let shows = format!(
        "the ledger {} reports on request {}: {} entries were erased, by {} acts that are in it",
        given.keys.name(),
        report.request.id,
        report.entries,
        report.erased.len()
    );
    Ok(Finding {
        kind: "completion report",
        shows,
        facts: vec![("report", json!(report))],
    })
}

fn scope(text: &str, given: &Given) -> Result<Finding> {
    let text = text
        .strip_suffix('\n')
        .ok_or_else(|| Error::new("the last line has no end"))?;
    let mut lines = text.split('\n');
    let mut check = ScopeCheck::begin(lines.next().unwrap_or_default(), &given.keys)?;
    for line in lines {
        check.entry(line)?;
    }
    Ok(check.end()?.into())
}

fn scope_proof(text: &str, given: &Given) -> Result<Finding> {
    Ok(text.parse::<ScopeProof>()?.verify_with(&given.keys)?.into())
}

impl From<ScopeStanding> for Finding {
    fn from(standing: ScopeStanding) -> Self {
        let (count, last) = standing
            .state
            .map_or((0, None), |state| (state.count, Some(state.last)));
        let shows = format!(
            "among the first {} entries of the ledger {} are {count} of {}, and no more",
            standing.size, standing.checkpoint.origin, standing.scope
        );
        let facts = vec![
            ("scope", json!(standing.scope)),
            ("covers", json!(standing.size)),
            ("entries", json!(count)),
            ("lastHash", json!(last)),
        ];
        Self::new("scope proof", shows, facts, &standing.checkpoint)
    }
}

impl From<ScopeShown> for Finding {
    fn from(shown: ScopeShown) -> Self {
        let shows = format!(
            "these are the first {} entries of {} in the ledger {}, without a gap",
            shown.entries, shown.scope, shown.checkpoint.origin
        );
        let facts = vec![
            ("scope", json!(shown.scope)),
            ("entries", json!(shown.entries)),
            ("opened", json!(shown.opened)),
            ("envelopesOnly", json!(shown.entries - shown.opened)),
            ("lastSeq", json!(shown.last_seq)),
            ("lastHash", json!(shown.last)),
        ];
        Self::new("scope export", shows, facts, &shown.checkpoint)
    }
}

impl Finding {
    /// A finding in the tree of a checkpoint, which is named last.
    fn new(kind: &'static str, shows: String, mut facts: Vec<(&'static str, Value)>, checkpoint: &Checkpoint) -> Self {
        facts.extend([
            ("origin", json!(checkpoint.origin)),
            ("size", json!(checkpoint.size)),
            ("root", json!(checkpoint.root)),
        ]);
        Self { kind, shows, facts }
    }
}

/// One object: `kind`, `shows`, and the facts.
impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind)?;
        map.serialize_entry("shows", &self.shows)?;
        for (name, value) in &self.facts {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
