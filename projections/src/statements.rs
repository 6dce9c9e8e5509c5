//! What states a fact, who is heard to state it, and when two state the same.
//!
//! This is the one place that says what a fact is. A *statement* is an event of a kind that begins with `memory.`
//! (`memory.write`, or a kind of one's own such as `memory.preference`), save `memory.retract` and `memory.summary`,
//! whose payload has a `text` with a letter or digit in it. What was merely said (`message`), seen (`observation`),
//! thought (`thought.…`), done or decided is no fact, but may be the evidence that statements rest on.
//!
//! Two statements of a scope say the same if their texts are equal after [`normal`], and both name the same
//! `payload.key` or neither names one. A key is a slot: of several texts under one key the newest holds.

use std::collections::BTreeSet;

use caseless::Caseless;
use quipu_format::{Body, Event, Hash, Kind, Source};
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization;

use crate::{
    confidence::{STATED, WITNESSED},
    document::{expiry, original, tags},
    limits,
};

/// Takes entries out of recall.
pub const RETRACT: &str = "memory.retract";
/// Holds a scope's summary.
pub const SUMMARY: &str = "memory.summary";

/// 16 bytes that stand for a text, a fact or a source.
pub(crate) type Digest = [u8; 16];

/// Whether events of this kind state facts.
pub(crate) fn states(kind: &Kind) -> bool {
    kind.as_str().starts_with("memory.") && ![RETRACT, SUMMARY].contains(&kind.as_str())
}

/// What an event says, as far as facts go.
#[derive(Debug, PartialEq)]
pub(crate) struct Said {
    /// Who is heard. Repeats from one source make nothing more certain.
    ///
    /// An event that no run appended has as its source the actor (of an imported one the original actor) together
    /// with its channel and conversation. What a run appends has the run's actor alone: a guest could name a new
    /// conversation each time.
    pub(crate) source: Digest,
    /// How sure it is, 0 to 1.
    pub(crate) confidence: f64,
    pub(crate) time_ms: u64,
    pub(crate) expires_ms: Option<u64>,
    /// Of an imported event, the actor whom it speaks for.
    pub(crate) speaker: Option<String>,
    pub(crate) states: Option<Stated>,
}

/// What a statement states.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stated {
    /// The fact: this text, under this key, in this scope.
    pub(crate) fact: Digest,
    pub(crate) text: Digest,
    /// The key, in this scope.
    pub(crate) slot: Option<Digest>,
    pub(crate) tags: BTreeSet<String>,
}

impl Said {
    /// `None`: it is erased, or of the host's own kinds.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        let body = event.body().filter(|_| !event.envelope.kind.is_reserved())?;
        let payload: Map<String, Value> = serde_json::from_str(body.payload.get()).unwrap_or_default();
        Some(Self::of_body(event, body, &payload))
    }

    /// Of an event that is neither, whose payload was read.
    pub(crate) fn of_body(event: &Event, body: &Body, payload: &Map<String, Value>) -> Self {
        let envelope = &event.envelope;
        // What a run appends has no original: a guest must neither back-date itself nor lend itself another's name.
        let source = body.source.as_ref().filter(|_| envelope.run.is_none());
        let original = |member| source.and_then(original)?.get(member)?.as_str();
        let time = original("ts")
            .and_then(|ts| quipu_format::Timestamp::parse_rfc3339(ts).ok())
            .unwrap_or(envelope.ts);
        let speaker = original("actor");
        let states = Stated::of(event, payload);
        let confidence = payload.get("confidence").and_then(Value::as_f64);
        let unsaid = if states.is_some() { STATED } else { WITNESSED };
        Self {
            source: source_of(speaker.unwrap_or(envelope.actor.as_str()), source),
            confidence: confidence.unwrap_or(unsaid).clamp(0.0, 1.0) + 0.0,
            time_ms: time.as_ms(),
            expires_ms: expiry(time, payload).map(|expires| expires.as_ms()),
            speaker: speaker.map(str::to_owned),
            states,
        }
    }
}

impl Stated {
    fn of(event: &Event, payload: &Map<String, Value>) -> Option<Self> {
        let scope = event.envelope.scope.as_str();
        let text = payload.get("text").and_then(Value::as_str);
        let text = text.filter(|_| states(&event.envelope.kind)).map(normal)?;
        if text.is_empty() {
            return None;
        }
        let key = payload.get("key").and_then(Value::as_str).map(normal);
        let key = key.filter(|key| !key.is_empty());
        Some(Self {
            fact: fact(scope, key.as_deref(), &text),
            text: text_digest(&text),
            slot: key.map(|key| digest(&["slot", scope, &key])),
            tags: tags(payload)
                .filter(|tag| tag.len() <= limits::LABEL_BYTES)
                .take(limits::TAGS)
                .map(str::to_owned)
                .collect(),
        })
    }
}

/// A normal text.
pub(crate) fn text_digest(text: &str) -> Digest {
    digest(&["text", text])
}

/// What a summary's payload says of the rule that made it; `None`: nothing.
pub(crate) fn rule_digest(rule: &Value) -> Option<Digest> {
    rule.is_object().then(|| digest(&["rule", &rule.to_string()]))
}

/// The signal of a rule in a scope.
pub(crate) fn signal_digest(scope: &str, rule: &str) -> Digest {
    digest(&["signal", scope, rule])
}

/// The fact of a scope that has this normal text, under this normal key.
pub(crate) fn fact(scope: &str, key: Option<&str>, text: &str) -> Digest {
    match key {
        None => digest(&["fact", scope, text]),
        Some(key) => digest(&["fact", scope, text, key]),
    }
}

/// A text as facts are compared: compatibility forms composed (NFKC), case folded, white space as one blank, and no
/// punctuation at the end. Empty where there is no letter and no digit.
pub(crate) fn normal(text: &str) -> String {
    let folded: String = match text.is_ascii() {
        // The same, and most texts are.
        true => text.to_ascii_lowercase(),
        false => text.nfkc().default_case_fold().nfkc().collect(),
    };
    let words: Vec<_> = folded.split_whitespace().collect();
    let mut normal = words.join(" ");
    if !normal.contains(char::is_alphanumeric) {
        return String::new();
    }
    let end = normal
        .trim_end_matches(|c: char| c.is_whitespace() || ENDINGS.contains(&c))
        .len();
    normal.truncate(end);
    normal
}

/// Punctuation that ends a sentence, in the scripts that have their own. NFKC has made `…` and full-width forms plain.
const ENDINGS: [char; 12] = ['.', '!', '?', ',', ';', ':', '。', '、', '।', '؟', '۔', '؛'];

fn source_of(actor: &str, source: Option<&Source>) -> Digest {
    let channel = source.map_or("", |source| &source.channel);
    let conversation = source.and_then(|source| source.conversation_id.as_deref());
    digest(&["source", actor, channel, conversation.unwrap_or("")])
}

fn digest(parts: &[&str]) -> Digest {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part.as_bytes());
    }
    let Hash(hash) = Hash::of(&[&bytes]);
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash[..16]);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_look_alike_are_the_same() {
        let same = "prefers csv exports";
        for text in [
            "Prefers CSV exports.",
            "  prefers\n\tCSV   exports !?",
            "ＰＲＥＦＥＲＳ csv exports…",
            same,
        ] {
            assert_eq!(normal(text), same, "{text}");
        }
        assert_eq!(normal("STRASSE"), normal("Straße"));
        assert_eq!(normal("ΟΔΟΣ"), normal("οδος"));
        assert_ne!(normal("pays in €"), normal("pays in $"));
        assert_eq!(normal("e.g. 1.5"), "e.g. 1.5");
        assert_eq!(normal("?! …"), "");
    }

    #[test]
    fn what_is_one_name_is_not_another_by_where_it_is_cut() {
        assert_ne!(fact("a", None, "bc"), fact("ab", None, "c"));
        assert_ne!(fact("a", Some("c"), "b"), fact("a", None, "bc"));
        assert_ne!(fact("a", Some("c"), "b"), fact("a", Some("b"), "c"));
    }

    #[test]
    fn beliefs_are_facts_and_turns_are_not() {
        let states = |kind: &str| states(&Kind::new(kind).unwrap());
        assert!(states("memory.write") && states("memory.preference"));
        for kind in [
            "message",
            "observation",
            "thought.reflection",
            "decision",
            RETRACT,
            SUMMARY,
            "quipu.run",
        ] {
            assert!(!states(kind), "{kind}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_normal_stays_so(text in "\\PC{0,60}") {
            let once = normal(&text);
            proptest::prop_assert_eq!(normal(&once), once);
        }
    }
}
