//! Who can read and write what: agents against scopes.

use std::collections::BTreeMap;

use quipu_format::{AgentGrant, Scope, ScopePattern};

use crate::widening::{appends, reads};

/// The scopes, and beginnings of scopes, that grants name, each with the scopes of a ledger that it covers: none where it
/// is no beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach(BTreeMap<ScopePattern, Option<Vec<Scope>>>);

impl Reach {
    /// All that these grants name, in a ledger with these scopes.
    pub fn of<'a>(grants: impl IntoIterator<Item = &'a AgentGrant>, there: &[Scope]) -> Self {
        let mut columns = BTreeMap::new();
        for grant in grants {
            for pattern in reads(grant).chain(appends(grant).map(ScopePattern::from)) {
                columns.entry(pattern).or_insert_with_key(|pattern| {
                    let covered = || there.iter().filter(|scope| pattern.matches(scope)).cloned().collect();
                    pattern.is_open().then(covered)
                });
            }
        }
        Self(columns)
    }

    /// What is named, in the order of the names.
    pub fn columns(&self) -> impl Iterator<Item = (&ScopePattern, Option<&[Scope]>)> {
        self.0.iter().map(|(pattern, covered)| (pattern, covered.as_deref()))
    }

    /// What a grant allows there: `r`, reads; `a`, appends; `ra`; or nothing. Of a beginning: with each scope that it covers.
    pub fn access(grant: &AgentGrant, column: &ScopePattern) -> &'static str {
        let read = reads(grant).any(|pattern| pattern.covers(column));
        let append = appends(grant).any(|scope| ScopePattern::from(scope).covers(column));
        match (read, append) {
            (true, true) => "ra",
            (true, false) => "r",
            (false, true) => "a",
            (false, false) => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Agents;

    #[test]
    fn a_cell_says_what_a_grant_allows_also_through_a_beginning() {
        let agents = Agents::parse(
            "[agents.a]\ncomponent = \"a\"\nactor = \"agent:a\"\nhome = \"team:a\"\nread = [\"customer:*\"]\n\
             append = [\"log\"]\n[agents.b]\ncomponent = \"b\"\nactor = \"agent:b\"\nhome = \"customer:1\"\n\
             read = [\"log\", \"*\"]\n",
        )
        .unwrap();
        let grants: Vec<_> = agents.iter().map(|agent| &agent.grant).collect();
        let there: Vec<_> = ["customer:1", "customer:2", "quipu:ledger", "team:a"]
            .map(|name| Scope::new(name).unwrap())
            .into();
        let reach = Reach::of(grants.iter().copied(), &there);
        let rows: Vec<_> = reach
            .columns()
            .map(|(column, covered)| {
                let cells: Vec<_> = grants.iter().map(|grant| Reach::access(grant, column)).collect();
                (column.to_string(), cells.join(" "), covered.map(<[Scope]>::len))
            })
            .collect();
        let expected = [
            ("*", " r", Some(3)),
            ("customer:*", "r r", Some(2)),
            ("customer:1", "r ra", None),
            ("log", "a r", None),
            ("team:a", "ra r", None),
        ];
        let expected = expected.map(|(name, cells, covered)| (name.to_owned(), cells.to_owned(), covered));
        assert_eq!(rows, expected);
    }
}
