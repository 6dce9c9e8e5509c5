use std::str::FromStr;

use quipu_format::{Actor, Kind, Scope, Timestamp};
use quipu_log::LedgerReader;
use quipu_projections::{Handle, Projections, Query, View};

use crate::{failure::Failure, log::time, terminal};

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
    /// As if the ledger ended before this position, or with the last entry before this time
    #[arg(long, value_name = "SEQ|TIME")]
    as_of: Option<AsOf>,
}

/// Up to where the ledger is looked at.
#[derive(Clone, Copy)]
enum AsOf {
    Seq(u64),
    Time(Timestamp),
}

impl FromStr for AsOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(seq) => Ok(Self::Seq(seq)),
            Err(_) => time(text).map(Self::Time),
        }
    }
}

/// A question, and what answers it.
pub(crate) struct Question {
    pub(crate) projections: Projections,
    pub(crate) view: View,
    pub(crate) query: Query,
}

impl Filter {
    /// Puts a question to a ledger; what is derived has caught up with it.
    pub(crate) fn question(self, reader: &LedgerReader, text: String, limit: usize) -> Result<Question, Failure> {
        let head = reader.head();
        let projections = Projections::open(reader)?;
        projections.catch_up(head)?;
        let handle = |scope| Handle { scope, head, run: None };
        let view = match self.scopes.is_empty() {
            true => View::Everything { head },
            false => View::Handles(self.scopes.into_iter().map(handle).collect()),
        };
        let mut query = Query::default();
        query.text = text;
        query.limit = limit;
        query.kinds = self.kinds.iter().map(Kind::to_string).collect();
        query.tags = self.tags;
        query.actors = self.actors.iter().map(Actor::to_string).collect();
        (query.since, query.until) = (self.since, self.until);
        query.min_confidence = self.min_confidence;
        query.now = terminal::now();
        query.as_of = match self.as_of {
            None => None,
            Some(AsOf::Seq(seq)) => Some(seq),
            Some(AsOf::Time(time)) => {
                // What had not expired then is an answer.
                query.now = time;
                Some(reader.seq_at(time)?)
            }
        };
        Ok(Question {
            projections,
            view,
            query,
        })
    }
}

fn confidence(text: &str) -> Result<f64, String> {
    let confidence = text.parse().ok().filter(|confidence| (0.0..=1.0).contains(confidence));
    confidence.ok_or_else(|| "a confidence is a number from 0 to 1".to_owned())
}
