use quipu_format::{Actor, Kind, Scope, Timestamp};
use quipu_projections::{Query, View};

use crate::{
    failure::Failure,
    ledger::LedgerDir,
    log::time,
    scene::{Looking, Scene},
};

/// What may be an answer.
#[derive(clap::Args)]
pub(crate) struct Filter {
    /// Only this scope; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// Only this kind; may be given several times
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<Kind>,
    /// Only with this tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only this actor; may be given several times
    #[arg(long = "actor", value_name = "ACTOR")]
    actors: Vec<Actor>,
    /// Only what happened then or later: a date, or a time as 2026-02-20T02:11:43Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only what happened before
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Not what says of itself that it is less sure than this, 0 to 1
    #[arg(long, value_name = "CONFIDENCE", value_parser = confidence)]
    min_confidence: Option<f64>,
    /// Only summaries of this tier; 0: only what is no summary [default: all, summaries last]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=16))]
    tier: Option<u32>,
    #[command(flatten)]
    looking: Looking,
}

/// A question, and what answers it.
pub(crate) struct Question {
    pub(crate) scene: Scene,
    pub(crate) view: View,
    pub(crate) query: Query,
}

impl Filter {
    /// Puts a question to a ledger; what is derived has caught up with it.
    pub(crate) fn question(self, ledger: &LedgerDir, text: String, limit: usize) -> Result<Question, Failure> {
        let scene = Scene::open(ledger, &self.looking)?;
        let view = scene.view(&self.scopes);
        let mut query = Query::default();
        query.text = text;
        query.limit = limit;
        query.kinds = self.kinds.iter().map(Kind::to_string).collect();
        query.tags = self.tags;
        query.actors = self.actors.iter().map(Actor::to_string).collect();
        (query.since, query.until) = (self.since, self.until);
        query.min_confidence = self.min_confidence;
        query.tier = self.tier;
        // What had not expired then is an answer.
        query.now = scene.now;
        Ok(Question { scene, view, query })
    }
}

fn confidence(text: &str) -> Result<f64, String> {
    let confidence = text.parse().ok().filter(|confidence| (0.0..=1.0).contains(confidence));
    confidence.ok_or_else(|| "a confidence is a number from 0 to 1".to_owned())
}
