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
mod originals;
mod standing;
mod told;

use quipu_format::{Actor, Body, Event, EventId, Hash, Kind, Scope, Timestamp};
use quipu_log::Draft;
use rusqlite::Transaction;
use serde_json::{Value, json};

pub(crate) use self::told::summary;
pub use self::{
    lines::Covers,
    told::{Summary, SummaryLine},
};
use self::{originals::Originals, standing::Standing};
use crate::{
    Error, Projections,
    error::{Cause, Result},
    limits,
    noise::{NoiseRules, Rules},
    statements::{RETRACT, SUMMARY, rule_digest},
    text::Analyzer,
};

/// Name of the rule that makes the summaries, as their payload says.
const RULE: &str = "extract";
/// Its version: other texts or other groups of the same entries are another version.
const VERSION: u32 = 2;

/// What the compactor's idempotency keys begin with. They follow from what is in the log, so that whoever runs in the
/// compactor's name could take them: the host lets no guest use keys that begin with `quipu:`.
pub const KEYS: &str = "quipu:compact:";

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
    /// Rules that collapse noise into signals; `None`: the ledger's own. Summaries by other rules are replaced.
    pub rules: Option<NoiseRules>,
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
    /// How often something of the scope was taken back when it was planned.
    undone: u64,
}

impl TierPlan {
    /// Whether there is nothing to append.
    pub fn is_done(&self) -> bool {
        self.new.is_empty() && self.obsolete.is_empty()
    }
}

impl Projections {
    /// The newest summary of a scope below `head` that stands and of which nothing that it covers was taken back. `None`: it
    /// has none.
    pub fn summary(&self, scope: &Scope, head: u64) -> std::result::Result<Option<Summary>, Error> {
        Ok(self.answer(|tx| summary(tx, self.how_far(tx)?, scope, head, &|seq| self.event(seq)))?)
    }

    /// What is to be appended so that the summaries of a tier of the scope are as they should be. Catch up before: what is not
    /// folded is not there.
    pub fn compaction(&self, compaction: &Compaction, tier: u32) -> std::result::Result<TierPlan, Error> {
        self.making(compaction, |maker| maker.plan(compaction, tier.clamp(1, limits::TIERS)))
    }

    /// The draft of a summary that a plan wants.
    ///
    /// # Errors
    /// `Invalid` where something that it covers was erased since it was planned.
    pub fn summarised(
        &self,
        compaction: &Compaction,
        tier: u32,
        new: &NewSummary,
    ) -> std::result::Result<Draft, Error> {
        self.making(compaction, |maker| maker.draft(compaction, tier, new))
    }

    /// The draft that takes obsolete summaries of a plan back, at most 256.
    pub fn taken_back(&self, compaction: &Compaction, obsolete: &[EventId]) -> std::result::Result<Draft, Error> {
        self.making(compaction, |maker| maker.retraction(compaction, obsolete))
    }

    fn making<T>(
        &self,
        compaction: &Compaction,
        make: impl Fn(&Maker<'_>) -> Result<T>,
    ) -> std::result::Result<T, Error> {
        let rules = match &compaction.rules {
            Some(NoiseRules(rules)) => rules.clone(),
            None => self.rules()?,
        };
        Ok(self.answer(|tx| {
            make(&Maker {
                tx,
                head: self.folded(tx)?,
                rules: &rules,
                event: &|seq| self.event(seq),
            })
        })?)
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
        standing.plan(self, &compaction.scope, tier, parts)
    }

    /// What is to be appended for one of a plan's new summaries.
    pub(crate) fn draft(&self, compaction: &Compaction, tier: u32, new: &NewSummary) -> Result<Draft> {
        let (mut evidence, mut covers) = (Vec::with_capacity(new.covers.len()), None::<Covers>);
        let (mut originals, mut summaries) = (Originals::new(self.rules), Vec::new());
        for &seq in &new.covers {
            let event = (self.event)(seq)?.filter(|event| event.body().is_some());
            let gone = || Cause::Invalid(format!("entry {seq} was erased or damaged meanwhile: compact again"));
            let event = event.ok_or_else(gone)?;
            evidence.push(event.envelope.id);
            let its = covered::interval(&event);
            covers = Some(match covers {
                Some(covers) => covered::together(covers, its),
                None => its,
            });
            match tier {
                1 => originals.add(&event),
                _ => summaries.push(event),
            }
        }
        let covers = covers.ok_or_else(|| Cause::Invalid("a summary covers something".into()))?;
        let mut analyzer = Analyzer::new();
        let told = match tier {
            1 => originals.told(&mut analyzer),
            _ => lines::of_summaries(&summaries, &mut analyzer),
        };
        let payload = lines::payload(&told, tier, &self.rule(), &covers).to_string();
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
        draft.evidence = evidence;
        draft.supersedes = replaces;
        draft.key = Some(self.key(tier, &draft, new.undone));
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
    fn key(&self, tier: u32, draft: &Draft, undone: u64) -> String {
        let ids = |ids: &[EventId]| ids.iter().map(EventId::to_string).collect::<Vec<_>>().join(" ");
        let parts = format!(
            "{}\n{tier}\n{}\n{}\n{undone}",
            self.rule(),
            ids(&draft.evidence),
            ids(&draft.supersedes)
        );
        format!("{KEYS}{}", Hash::of(&[parts.as_bytes()]).to_hex())
    }
}
