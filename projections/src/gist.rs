//! What of an event facts are made of, found where the event is read and not where the tables are written.

use serde_json::Value;

use crate::{
    document::Readable,
    limits,
    noise::Rules,
    statements::{Said, states},
    text::beginning,
};

/// What facts and signals want to know of an event.
#[derive(Debug, Default)]
pub(crate) struct Gist {
    /// Of a statement, and of what matches a rule. `None` also where it is erased.
    pub(crate) said: Option<Said>,
    /// Numbers of the rules that it matches.
    pub(crate) rules: Vec<usize>,
}

impl Gist {
    pub(crate) fn of(readable: &Readable<'_>, rules: &Rules) -> Self {
        let Readable { event, body, payload } = readable;
        let kind = &event.envelope.kind;
        let stating = states(kind);
        if !(stating || rules.look_at(kind.as_str())) {
            return Self::default();
        }
        let rules = match payload.get("text").and_then(Value::as_str) {
            Some(text) => rules.matching(kind.as_str(), beginning(text.trim(), limits::INDEXED_BYTES)),
            None => Vec::new(),
        };
        Self {
            said: (stating || !rules.is_empty()).then(|| Said::of_body(event, body, payload)),
            rules,
        }
    }
}
