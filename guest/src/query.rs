use crate::{Seq, Timestamp, bindings::recall};

/// What to recall: words, and what else must hold.
///
/// ```
/// # use quipu_guest::Query;
/// let query = Query::new("invoice format").kinds(["memory.write", "decision"]).tags(["billing"]).limit(5);
/// ```
#[derive(Debug, Clone)]
pub struct Query(recall::Query);

impl Query {
    /// Most results wanted, unless [`limit`](Self::limit) says otherwise.
    pub const LIMIT: u32 = 10;

    /// Looks for these words, in any order and form, at most 4,096 bytes. Empty: for everything, the newest first.
    pub fn new(text: impl Into<String>) -> Self {
        Self(recall::Query {
            text: text.into(),
            limit: Self::LIMIT,
            kinds: Vec::new(),
            tags: Vec::new(),
            actors: Vec::new(),
            since: None,
            until: None,
            as_of: None,
        })
    }

    /// Most results wanted, 1 to 1,000.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.0.limit = limit;
        self
    }

    /// Only these kinds.
    #[must_use]
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.kinds = texts(kinds);
        self
    }

    /// Only what has all of these tags.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.tags = texts(tags);
        self
    }

    /// Only what these actors appended; of an imported event, the actor whom it speaks for counts as well. To be sure
    /// who wrote a hit, look at its event's `actor` and `run`.
    #[must_use]
    pub fn actors(mut self, actors: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.actors = texts(actors);
        self
    }

    /// Only what happened at this instant or later.
    #[must_use]
    pub fn since(mut self, instant: impl Into<Timestamp>) -> Self {
        self.0.since = Some(instant.into());
        self
    }

    /// Only what happened before this instant.
    #[must_use]
    pub fn until(mut self, instant: impl Into<Timestamp>) -> Self {
        self.0.until = Some(instant.into());
        self
    }

    /// As if the ledger ended before this position.
    #[must_use]
    pub fn as_of(mut self, seq: Seq) -> Self {
        self.0.as_of = Some(seq);
        self
    }

    /// As the interface has it.
    pub fn as_raw(&self) -> &recall::Query {
        &self.0
    }
}

fn texts(items: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    items.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_restriction_reaches_the_interface() {
        let query = Query::new("csv")
            .limit(3)
            .kinds(["memory.write"])
            .tags(["billing", "preference"])
            .actors(["agent:support"])
            .since("2026-01-01T00:00:00.000Z")
            .until("2026-02-01T00:00:00.000Z")
            .as_of(7);
        let raw = query.as_raw();
        assert_eq!((raw.text.as_str(), raw.limit, raw.as_of), ("csv", 3, Some(7)));
        assert_eq!((raw.kinds.len(), raw.tags.len(), raw.actors.len()), (1, 2, 1));
        assert_eq!(raw.since.as_deref(), Some("2026-01-01T00:00:00.000Z"));
        assert_eq!(raw.until.as_deref(), Some("2026-02-01T00:00:00.000Z"));
    }

    #[test]
    fn a_bare_query_restricts_nothing() {
        let query = Query::new("");
        let raw = query.as_raw();
        assert_eq!(raw.limit, Query::LIMIT);
        assert!(raw.kinds.is_empty() && raw.tags.is_empty() && raw.actors.is_empty());
        assert!(raw.since.is_none() && raw.until.is_none() && raw.as_of.is_none());
    }
}
