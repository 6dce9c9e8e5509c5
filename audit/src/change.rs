//! What a newer component can do that an older one could not, and the other way round.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{Audit, authority::Authority};

/// The difference between two components.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Change {
    /// What it can do now and could not before: a function, and what that is good for.
    pub widened: Vec<String>,
    /// What it can no longer do.
    pub narrowed: Vec<String>,
    /// What else stands out now and did not before, and the other way round.
    pub noted: Vec<String>,
    /// Not a byte differs.
    pub is_same: bool,
}

impl Change {
    /// From an older component to a newer one.
    pub fn between(old: &Audit, new: &Audit) -> Self {
        let (had, has) = (abilities(old), abilities(new));
        let only = |of: &BTreeSet<String>, not: &BTreeSet<String>| of.difference(not).cloned().collect();
        let (was, is) = (notes(old), notes(new));
        let noted = is.difference(&was).map(|note| format!("new: {note}"));
        let gone = was.difference(&is).map(|note| format!("gone: {note}"));
        Self {
            widened: only(&has, &had),
            narrowed: only(&had, &has),
            noted: noted.chain(gone).collect(),
            is_same: old.anatomy.sha256 == new.anatomy.sha256,
        }
    }

    /// Each difference, and which way it goes: `wider`, `narrower` or `noted`.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let lists = [
            ("wider", &self.widened),
            ("narrower", &self.narrowed),
            ("noted", &self.noted),
        ];
        lists
            .into_iter()
            .flat_map(|(way, list)| list.iter().map(move |each| (way, each.as_str())))
    }

    /// What there is to say where there is no difference.
    pub(crate) fn alike(&self) -> Option<&'static str> {
        match (self.lines().next(), self.is_same) {
            (Some(_), _) => None,
            (None, true) => Some("the same bytes"),
            (None, false) => Some("other bytes, and it can do the same"),
        }
    }

    /// Whether the newer one can do something that the older one could not.
    pub fn widens(&self) -> bool {
        !self.widened.is_empty()
    }
}

/// What it can do, in words that differ where what can be done differs. Whether a function is imported counts, and not in
/// which compatible version.
fn abilities(audit: &Audit) -> BTreeSet<String> {
    let functions = audit.functions.iter().filter_map(|function| {
        let authority = function.authority?;
        let (port, _) = function.port.split_once("@0.1.").unwrap_or((&function.port, ""));
        let name = if function.name.is_empty() {
            String::new()
        } else {
            format!("#{}", function.name)
        };
        Some(format!("{port}{name} ({})", authority.word()))
    });
    // An interface without functions gives nothing to call, and is foreign all the same.
    let empty = audit
        .anatomy
        .imports
        .iter()
        .filter(|port| port.functions.is_empty() && port.authority() != Authority::Types);
    // Who is called by another name does another thing: what a compactor proposes, the host appends.
    let entries = audit
        .worlds
        .iter()
        .map(|world| format!("is called as {}", world.entry()));
    let empty = empty.map(|port| port.name.clone());
    functions.chain(empty).chain(entries).collect()
}

fn notes(audit: &Audit) -> BTreeSet<String> {
    let findings = audit.findings.iter();
    findings.map(|finding| finding.message.clone()).collect()
}
