//! The built-in compactor: what a scope's summaries should be, and what is to be appended so that they are.
//!
//! The originals that count (neither superseded, retracted, erased nor expired) fall into groups: the sessions of a
//! conversation, and months for what is no turn of one. Each group is cut into parts of at most as many entries as one
//! entry may name; a summary of tier 1 covers a part, one of tier 2 summaries of tier 1, and so on up to the one that
//! covers all of the scope. Which summaries that makes is a function of what is in the log. Those that are there already
//! are kept, the others appended, each in place of those that it shares something with; so a second run finds nothing to
//! do, a run that was broken off is gone on with by the next, and what a retraction or erasure has touched is made anew.
//!
//! Whose summaries count as there already is told by the actor, which the host stamps, and by the rule in the payload.

mod covered;
mod extract;
pub(crate) mod lines;
mod standing;
mod told;

use quipu_format::{Actor, Body, Event, EventId, Hash, Kind, Scope, Timestamp};
use quipu_log::Draft;
use rusqlite::Transaction;
use serde_json::{Value, json};

use self::standing::Standing;
pub(crate) use self::told::summary;
pub use self::{
    lines::Covers,
    told::{Summary, SummaryLine},
};
use crate::{
    error::{Cause, Result},
    noise::Rules,
    statements::{RETRACT, SUMMARY, rule_digest},
    text::Analyzer,
    tiers,
};

/// Name of the rule that makes the summaries, as their payload says.
const RULE: &str = "extract";
/// Its version: other texts or other groups of the same entries are another version.
const VERSION: u32 = 1;

/// What is to be compacted, and in whose name.
#[derive(Debug, Clone)]
pub struct Compaction {
    /// The scope.
    pub scope: Scope,
    /// Whom the summaries are of.
    pub actor: Actor,
    /// What has expired by then is left out.
    pub now: Timestamp,
    /// What happened at that instant or later is left alone, unless a summary covers it already.
    pub before: Option<Timestamp>,
}

/// What is to be appended so that the summaries of one tier are as they should be.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TierPlan {
    /// The tier, from 1.
    pub tier: u32,
    /// Summaries that are there already.
    pub kept: usize,
    /// Summaries to be appended.
    pub new: Vec<NewSummary>,
    /// Summaries of which nothing is left that they cover, to be retracted; with those that they had replaced.
    pub obsolete: Vec<EventId>,
    /// There are summaries of higher tiers, or are to be.
    pub more: bool,
}

/// A summary that is to be appended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewSummary {
    /// The `seq` of the entries that it covers, rising; at most 256.
    pub covers: Vec<u64>,
    /// The `seq` of the summaries that it replaces; at most 256.
    pub replaces: Vec<u64>,
}

impl TierPlan {
    /// Whether there is nothing to append.
    pub fn is_done(&self) -> bool {
        self.new.is_empty() && self.obsolete.is_empty()
    }
}

/// What a summary is made with.
pub(crate) struct Maker<'a> {
    pub(crate) tx: &'a Transaction<'a>,
    /// Entries below it are seen.
    pub(crate) head: u64,
    pub(crate) rules: &'a Rules,
    pub(crate) event: &'a dyn Fn(u64) -> Result<Option<Event>>,
}

impl Maker<'_> {
    pub(crate) fn plan(&self, compaction: &Compaction, tier: u32) -> Result<TierPlan> {
        let rule = rule_digest(&self.rule());
        let standing = Standing::load(self.tx, compaction, rule, self.head)?;
        let parts = match tier {
            1 => covered::originals(self.tx, compaction, &standing, self.head)?,
            _ => covered::summaries(&standing, tier),
        };
        standing.plan(self, tier, parts)
    }

    /// What is to be appended for one of a plan's new summaries.
    pub(crate) fn draft(&self, compaction: &Compaction, tier: u32, new: &NewSummary) -> Result<Draft> {
        let mut events = Vec::with_capacity(new.covers.len());
        for &seq in &new.covers {
            let event = (self.event)(seq)?.filter(|event| event.body().is_some());
            let gone = || Cause::Invalid(format!("entry {seq} was erased or damaged meanwhile: compact again"));
            events.push(event.ok_or_else(gone)?);
        }
        let mut analyzer = Analyzer::new();
        let lines = match tier {
            1 => lines::of_originals(&events, self.rules, &mut analyzer),
            _ => lines::of_summaries(&events, &mut analyzer),
        };
        let covers = covered::interval(&events).ok_or_else(|| Cause::Invalid("a summary covers something".into()))?;
        let payload = lines::payload(&lines, tier, &self.rule(), &covers).to_string();
        let mut replaces = Vec::with_capacity(new.replaces.len());
        for &seq in &new.replaces {
            replaces.extend((self.event)(seq)?.map(|event| event.envelope.id));
        }
        let wrong = |error: quipu_format::Error| Cause::Invalid(error.to_string());
        let (kind, body) = (
            Kind::new(SUMMARY).map_err(wrong)?,
            Body::new(None, &payload).map_err(wrong)?,
        );
        let mut draft = Draft::new(compaction.scope.clone(), compaction.actor.clone(), kind, body);
        draft.evidence = events.iter().map(|event| event.envelope.id).collect();
        draft.supersedes = replaces;
        draft.key = Some(self.key(tier, &draft)?);
        Ok(draft)
    }

    /// What is to be appended to take obsolete summaries back.
    pub(crate) fn retraction(&self, compaction: &Compaction, obsolete: &[EventId]) -> Result<Draft> {
        let wrong = |error: quipu_format::Error| Cause::Invalid(error.to_string());
        let payload = json!({ "reason": "nothing is left of what it covers" }).to_string();
        let (kind, body) = (
            Kind::new(RETRACT).map_err(wrong)?,
            Body::new(None, &payload).map_err(wrong)?,
        );
        let mut draft = Draft::new(compaction.scope.clone(), compaction.actor.clone(), kind, body);
        draft.supersedes = obsolete.to_vec();
        Ok(draft)
    }

    /// The rule, its version and the rules for noise: what the text of a summary depends on besides what it covers.
    fn rule(&self) -> Value {
        json!({ "name": RULE, "version": VERSION, "noise": self.rules.digest.to_string() })
    }

    /// What is appended twice under one key is there once. A summary that was itself erased or retracted has used its key up,
    /// so how often something was taken back is a part of it.
    fn key(&self, tier: u32, draft: &Draft) -> Result<String> {
        let undone = tiers::undone(self.tx, &draft.scope, self.head)?;
        let ids = |ids: &[EventId]| ids.iter().map(EventId::to_string).collect::<Vec<_>>().join(" ");
        let parts = format!(
            "{}\n{tier}\n{}\n{}\n{undone}",
            self.rule(),
            ids(&draft.evidence),
            ids(&draft.supersedes)
        );
        Ok(format!("compact:{}", Hash::of(&[parts.as_bytes()]).to_hex()))
    }
}
