//! How facts changed between two positions.

use std::collections::BTreeMap;

use quipu_format::{Event, Scope};
use rusqlite::Transaction;
use serde::Serialize;

use crate::{
    asking::Asking,
    error::Result,
    facts::Fact,
    noise::Rules,
    search::Query,
    statements::{Digest, signal_digest},
    view::{Handle, View},
};

/// How a fact of a scope changed between two positions.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FactChange {
    /// As it was; `None`: it was not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Fact>,
    /// As it is; `None`: it is not believed any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Fact>,
}

/// What changed of a scope's facts between the heads `from` and `to`, at one instant; in the order of the newest
/// statements.
pub(crate) fn changes(
    tx: &Transaction<'_>,
    folded: u64,
    rules: &Rules,
    scope: &Scope,
    [from, to]: [u64; 2],
    query: &Query,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<Vec<FactChange>> {
    let mut found = BTreeMap::<(u64, Digest), FactChange>::new();
    let mut places = BTreeMap::<Digest, u64>::new();
    for (is_after, head) in [(false, from), (true, to)] {
        let handle = Handle {
            scope: scope.clone(),
            head,
            run: None,
        };
        let view = View::Handles(vec![handle]);
        let sight = view.sight(tx, folded)?;
        let asking = Asking::new(tx, &sight, query)?;
        for (scope, shown) in sight.scopes() {
            let (place, signals) = asking.place(rules, scope, shown)?;
            let mut now = Vec::new();
            for signal in signals {
                let rule = signal.fact.rule.as_deref().unwrap_or_default();
                now.push((
                    signal_digest(signal.fact.scope.as_str(), rule),
                    signal.newest,
                    signal.fact,
                ));
            }
            for fact in asking.may_differ(scope, from)? {
                if let Some(believed) = asking.believed(&place, &fact)? {
                    let newest = believed.tally.newest;
                    let told = asking.fact(&fact, believed, &view, &event)?;
                    now.extend(told.map(|told| (fact, newest, told)));
                }
            }
            for (digest, newest, fact) in now {
                let place = *places.entry(digest).or_insert(newest);
                let change = found.entry((place, digest)).or_insert(FactChange {
                    before: None,
                    after: None,
                });
                match is_after {
                    false => change.before = Some(fact),
                    true => change.after = Some(fact),
                }
            }
        }
    }
    Ok(found
        .into_values()
        .filter(|change| change.before != change.after)
        .collect())
}
