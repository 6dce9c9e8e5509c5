//! Where a run that is executed again is not the recorded one.

use std::fmt;

use quipu_format::EventId;
use serde::Serialize;

/// The first difference that the record shows. Texts in it are what a guest or a log says, at most some hundred
/// characters: make them harmless before they are shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Difference {
    /// The number of the call, from 1; none: it is no call's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<u64>,
    /// What was called now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// What differs.
    #[serde(flatten)]
    pub what: Differs,
}

/// What of a run differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "differs", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Differs {
    /// Another function was called then.
    Function {
        /// Which; several where the record does not tell them apart.
        recorded: &'static str,
    },
    /// The record has no answer to such a call here: something else was called then.
    Untold,
    /// The call's name or arguments were others then, or those of one shortly before it.
    Arguments {
        /// The first call that may be it.
        since: u64,
        /// The arguments now.
        given: String,
    },
    /// A draft was another one then.
    Draft {
        /// The entry that it became.
        entry: EventId,
        /// Which draft of the call, from 0.
        nth: usize,
        /// The members that differ.
        members: Vec<Member>,
    },
    /// The recorded run appended no more.
    ExtraDraft {
        /// Which draft of the call, from 0.
        nth: usize,
        /// What it says.
        payload: String,
    },
    /// The recorded run appended this too.
    MissingDraft {
        /// The entry.
        entry: EventId,
    },
    /// Under the run's name there is an entry before its beginning or behind its end, or a second beginning.
    NotDrafted {
        /// The entry.
        entry: EventId,
    },
    /// It is refused now, and was not then.
    Refused {
        /// The refusal's kind in the WIT.
        kind: &'static str,
        /// Its message.
        message: String,
    },
    /// The recorded run made no more calls than these.
    MoreCalls {
        /// How many.
        recorded: u64,
    },
    /// The recorded run made more calls.
    FewerCalls {
        /// How many.
        recorded: u64,
        /// How many there were now.
        given: u64,
    },
    /// It ended otherwise.
    Outcome {
        /// `ok`, `failed`, `trapped` or `deadline`, and what was said.
        recorded: String,
        /// The same, now.
        given: String,
    },
    /// It answered something else.
    Output {
        /// Around the first place that differs.
        recorded: String,
        /// The same, now.
        given: String,
    },
    /// It called the same and was answered otherwise, as far as the marks tell: the log or what is recorded of it differs.
    Answers,
    /// Something in its calls or their answers differs, and the record does not show what.
    Transcript,
}

/// A member of a draft that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// What the entry has, around the first place that differs.
    pub recorded: String,
    /// What the draft has now.
    pub given: String,
}

impl Difference {
    /// Of a call.
    pub(crate) fn of_call(call: u64, function: &'static str, what: Differs) -> Self {
        Self {
            call: Some(call),
            function: Some(function.to_owned()),
            what,
        }
    }

    /// Of the whole run.
    pub(crate) fn of_run(what: Differs) -> Self {
        Self {
            call: None,
            function: None,
            what,
        }
    }
}

impl Member {
    /// Where both are not the same.
    pub(crate) fn compare(name: &'static str, recorded: &str, given: &str) -> Option<Self> {
        let (recorded, given) = (recorded != given).then(|| apart(recorded, given))?;
        Some(Self { name, recorded, given })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(call), Some(function)) = (self.call, &self.function) {
            write!(f, "call {call}, {function}: ")?;
        }
        match &self.what {
            Differs::Function { recorded } => write!(f, "the recorded run called {recorded}"),
            Differs::Untold => f.write_str("the recorded run called something else"),
            Differs::Arguments { since, given } => {
                match self.call {
                    Some(call) if *since < call => {
                        write!(f, "the recorded run made another call, here or from call {since} on")?;
                    }
                    _ => f.write_str("the recorded run called with other arguments, or something else")?,
                }
                write!(f, "; now: {given}")
            }
            Differs::Draft { entry, nth, members } => {
                write!(f, "draft {nth} is not what was appended as {entry}")?;
                for Member { name, recorded, given } in members {
                    write!(f, "\n  {name}\n    recorded: {recorded}\n    now:      {given}")?;
                }
                Ok(())
            }
            Differs::ExtraDraft { nth, payload } => {
                write!(f, "draft {nth}: the recorded run appended no more; now: {payload}")
            }
            Differs::MissingDraft { entry } => write!(f, "{entry} was appended by the recorded run, and not now"),
            Differs::NotDrafted { entry } => write!(
                f,
                "{entry} is an entry under this run that it did not draft: it is not between the run's beginning and its end, \
                 or is a second beginning"
            ),
            Differs::Refused { kind, message } => write!(f, "refused now, and not then: {kind}: {message}"),
            Differs::MoreCalls { recorded } => write!(f, "the recorded run ended after {recorded} calls"),
            Differs::FewerCalls { recorded, given } => {
                write!(f, "it made {given} calls, and the recorded run {recorded}")
            }
            Differs::Outcome { recorded, given } => {
                write!(f, "it ended otherwise\n    recorded: {recorded}\n    now:      {given}")
            }
            Differs::Output { recorded, given } => {
                write!(f, "its answer differs\n    recorded: {recorded}\n    now:      {given}")
            }
            Differs::Answers => f.write_str(
                "its calls are the recorded ones, and what they were answered is not: what the log gives now differs from \
                 what it gave then",
            ),
            Differs::Transcript => f.write_str(
                "its calls or their answers differ from the recorded ones; the record does not show which of them",
            ),
        }
    }
}

/// Characters of a text that are shown.
const SHOWN: usize = 240;
/// Of them, those before the first place that differs.
const BEFORE: usize = 60;

/// The beginning of a text.
pub(crate) fn beginning(text: &str) -> String {
    excerpt(text, 0)
}

/// Both texts around the first place where they differ.
pub(crate) fn apart(one: &str, other: &str) -> (String, String) {
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let from = match one.chars().count().max(other.chars().count()) <= SHOWN {
        true => 0,
        false => same.saturating_sub(BEFORE),
    };
    (excerpt(one, from), excerpt(other, from))
}

fn excerpt(text: &str, from: usize) -> String {
    let mut shown: String = if from > 0 { "…".into() } else { String::new() };
    let mut rest = text.chars().skip(from);
    shown.extend(rest.by_ref().take(SHOWN));
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_shown_around_where_they_differ() {
        assert_eq!(apart("ab", "ac"), ("ab".into(), "ac".into()));
        let long = "ä".repeat(1_000);
        let (one, other) = apart(&format!("{long}x{long}"), &format!("{long}y"));
        assert!(one.starts_with("…ä") && one.ends_with("ä…") && one.contains('x'));
        assert!(other.ends_with("äy") && other.chars().count() == BEFORE + 2);
        assert!(one.chars().count() <= SHOWN + 2);
        // One that ends before the other differs where it ends.
        let (one, other) = apart(&long, &format!("{long}z"));
        assert!(!one.ends_with('z') && other.ends_with('z'));
    }
}
