//! Facts that certain events have a part in.

use std::collections::{BTreeMap, BTreeSet};

use quipu_format::Event;
use rusqlite::{OptionalExtension, Transaction};

use crate::{
    asking::{Asking, Believed},
    error::Result,
    facts::Fact,
    noise::Rules,
    schema::number,
    search::Query,
    signals::Signal,
    statements::Digest,
    view::View,
};

/// Facts that one of these entries states and is heard to state, or that are a signal of it; the surest first.
pub(crate) fn facts(
    tx: &Transaction<'_>,
    folded: u64,
    rules: &Rules,
    view: &View,
    query: &Query,
    seqs: &BTreeSet<u64>,
    event: impl Fn(u64) -> Result<Option<Event>>,
) -> Result<Vec<Fact>> {
    let sight = view.sight(tx, folded)?;
    let asking = Asking::new(tx, &sight, query)?;
    let stated = stated(tx, seqs)?;
    let mut facts = Vec::new();
    for (scope, shown) in sight.scopes() {
        let Some(stated) = stated.get(&scope) else { continue };
        let (place, signals) = asking.place(rules, scope, shown)?;
        let theirs = |signal: &Signal| signal.events.iter().any(|seq| seqs.contains(seq));
        facts.extend(signals.into_iter().filter(theirs).map(|signal| signal.fact));
        for (fact, by) in stated {
            if let Some(believed) = asking.believed(&place, fact)?
                && has_part(tx, &believed, by)?
            {
                facts.extend(asking.fact(fact, believed, view, &event)?);
            }
        }
    }
    facts.sort_by(|a, b| {
        b.confidence
            .total_cmp(&a.confidence)
            .then(b.last_seen.cmp(&a.last_seen))
    });
    Ok(facts)
}

/// By scope, the facts that entries state, and which of them do. A scope that only has other entries has no facts here.
fn stated(tx: &Transaction<'_>, seqs: &BTreeSet<u64>) -> Result<BTreeMap<i64, BTreeMap<Digest, Vec<u64>>>> {
    let mut select =
        tx.prepare_cached("SELECT entry.scope, fact FROM entry LEFT JOIN saying USING (seq) WHERE entry.seq = ?1")?;
    let mut stated = BTreeMap::<i64, BTreeMap<Digest, Vec<u64>>>::new();
    for &seq in seqs {
        let row = select.query_row([number(seq)], |row| Ok((row.get(0)?, row.get::<_, Option<Digest>>(1)?)));
        if let Some((scope, fact)) = row.optional()? {
            let facts = stated.entry(scope).or_default();
            if let Some(fact) = fact {
                facts.entry(fact).or_default().push(seq);
            }
        }
    }
    Ok(stated)
}

/// Whether one of the entries is heard to state the fact.
fn has_part(tx: &Transaction<'_>, believed: &Believed, by: &[u64]) -> Result<bool> {
    if let Some(heard) = &believed.heard {
        return Ok(heard.iter().any(|(seq, _)| by.contains(seq)));
    }
    let mut select = tx.prepare_cached(
        "SELECT 1 FROM saying JOIN statement USING (scope, fact, seq) WHERE saying.seq = ?1 AND length(voices) > 0",
    )?;
    for seq in by {
        if select.exists([number(*seq)])? {
            return Ok(true);
        }
    }
    Ok(false)
}
