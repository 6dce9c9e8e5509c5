//! Whether a reason quotes what is erased: the reason stays, and so would the quotation.

use std::collections::HashSet;

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode::Indifferent, GeneralPurpose, GeneralPurposeConfig},
};
use quipu_format::Body;
use serde_json::Value;

/// Words in a row that a reason may not have in common with a text.
const WORDS: usize = 5;
/// Characters in a row.
const CHARS: usize = 20;
/// Characters of the shortest text that a reason may not hold whole.
const WHOLE: usize = 6;

/// A reason, ready to be compared with many texts.
pub(crate) struct Reason {
    /// Its words, in lower case, each between two spaces; behind them those of what is encoded in it.
    text: String,
    words: HashSet<String>,
    chars: HashSet<String>,
}

impl Reason {
    pub(crate) fn new(reason: &str) -> Self {
        let encoded = encoded(reason);
        let text = plain(&[reason, &encoded].join(" "));
        Self {
            words: runs_of_words(&text).collect(),
            chars: runs_of_chars(&text).collect(),
            text,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// What it has in common with a body, if that is too much.
    pub(crate) fn quotes(&self, body: &Body) -> Option<String> {
        let source = body
            .source
            .as_ref()
            .and_then(|source| serde_json::to_value(source).ok());
        let payload = serde_json::from_str(body.payload.get()).ok();
        let mut found = None;
        for value in source.iter().chain(&payload) {
            each_string(value, &mut |text| {
                if found.is_none() {
                    found = self.common(&plain(text));
                }
            });
        }
        found
    }

    fn common(&self, text: &str) -> Option<String> {
        let whole = text.trim().chars().count() >= WHOLE && self.text.contains(text);
        if whole {
            return Some("a whole text".into());
        }
        if runs_of_words(text).any(|run| self.words.contains(&run)) {
            return Some(format!("{WORDS} words in a row"));
        }
        if runs_of_chars(text).any(|run| self.chars.contains(&run)) {
            return Some(format!("{CHARS} characters in a row"));
        }
        None
    }
}

/// What is in a text as base64, as hexadecimal digits or behind percent signs, as tokens, dumps and addresses have it.
fn encoded(text: &str) -> String {
    let base64 = GeneralPurposeConfig::new()
        .with_decode_padding_mode(Indifferent)
        .with_decode_allow_trailing_bits(true);
    let base64 = GeneralPurpose::new(&STANDARD, base64);
    let runs = text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/-_".contains(c)));
    let mut found = Vec::new();
    for run in runs.filter(|run| run.len() >= WHOLE) {
        found.extend(base64.decode(run.replace('-', "+").replace('_', "/")));
        found.push(pairs(run.as_bytes()));
    }
    let mut parts = text.split('%');
    let mut unescaped = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.as_bytes().split_at(part.len().min(2));
        unescaped.extend(pairs(digits));
        unescaped.extend(rest);
    }
    if text.contains('%') {
        found.push(unescaped);
    }
    let found: Vec<_> = found.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    found.join(" ")
}

/// The bytes that pairs of hexadecimal digits are; none where there is another character.
fn pairs(digits: &[u8]) -> Vec<u8> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let digits: Option<Vec<_>> = digits.iter().map(digit).collect();
    let digits = digits.unwrap_or_default();
    let pairs = digits.chunks_exact(2);
    pairs
        .filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok())
        .collect()
}

/// A text's letters and digits in lower case, and a space for all that stands between, before and behind them.
fn plain(text: &str) -> String {
    let mut plain = String::from(" ");
    for c in text.chars() {
        if c.is_alphanumeric() {
            plain.extend(c.to_lowercase());
        } else if !plain.ends_with(' ') {
            plain.push(' ');
        }
    }
    if !plain.ends_with(' ') {
        plain.push(' ');
    }
    plain
}

fn runs_of_words(text: &str) -> impl Iterator<Item = String> {
    let words: Vec<_> = text.split_whitespace().collect();
    let runs: Vec<_> = words.windows(WORDS).map(|run| run.join(" ")).collect();
    runs.into_iter()
}

/// Spaces do not count: a number is the same however its digits are grouped.
fn runs_of_chars(text: &str) -> impl Iterator<Item = String> {
    let chars: Vec<_> = text.chars().filter(|c| *c != ' ').collect();
    let runs: Vec<_> = chars.windows(CHARS).map(|run| run.iter().collect()).collect();
    runs.into_iter()
}

fn each_string(value: &Value, each: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => each(text),
        Value::Number(number) => each(&number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| each_string(item, each)),
        Value::Object(members) => members.values().for_each(|member| each_string(member, each)),
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotes(reason: &str, payload: &str) -> bool {
        let body = Body::new(None, payload).unwrap();
        Reason::new(reason).quotes(&body).is_some()
    }

    #[test]
    fn a_reason_that_quotes_is_found_out_whatever_it_is_written_like() {
        let payload =
            r#"{"text":"Her card is 4929 1234 5678 9012, and the PIN is 4711.","note":["Anna Schmidt"],"n":7203331}"#;
        for reason in [
            "she asked that HER CARD IS 4929-1234 be forgotten",
            "card 4929123456789012andth",
            "Anna  Schmidt asked",
            "ticket 7203331",
        ] {
            assert!(quotes(reason, payload), "{reason}");
        }
        for reason in ["request of 3 May", "a card number", "Anna asked", "is 4929 1234", ""] {
            assert!(!quotes(reason, payload), "{reason}");
        }
    }

    #[test]
    fn a_quotation_that_is_encoded_is_found_out() {
        let payload = r#"{"text":"Her card is 4929 1234 5678 9012, says M\u00fcller?"}"#;
        for reason in [
            "the token SGVyIGNhcmQgaXMgNDkyOSAxMjM0IDU2NzggOTAxMg== slipped in",
            "SGVyIGNhcmQgaXMgNDkyOSAxMjM0IDU2NzggOTAxMiwgc2F5cyBNw7xsbGVyPw",
            "it began with IGNhcmQgaXMgNDkyOSAxMjM0IDU2Nzgg",
            "48657220636172642069732034393239203132333420353637382039303132",
            "was at /q?t=Her%20card%20is%204929%201234%205678",
            "9012%2C+says+M%C3%BCller%3F+Her%20card%20is+4929%201234%205678",
        ] {
            assert!(quotes(reason, payload), "{reason}");
        }
        for reason in [
            "100% of what was asked for, by 7 percent%",
            "request 48657220, see the-file-of-counsel_2026",
            "%4",
            "%é%%%C3",
            "====",
        ] {
            assert!(!quotes(reason, payload), "{reason}");
        }
    }

    #[test]
    fn the_runs_have_their_lengths() {
        let text = |length: usize| format!(r#"{{"text":"{} more"}}"#, "x".repeat(length));
        assert!(quotes(&"x".repeat(20), &text(20)));
        assert!(!quotes(&"x".repeat(19), &text(40)));
        assert!(quotes("a b c d e", r#"{"text":"z a b c d e z"}"#));
        assert!(!quotes("a b c d", r#"{"text":"z a b c d z"}"#));
        assert!(quotes("it was secret", r#"{"text":"Secret!"}"#));
        assert!(!quotes("it was blue", r#"{"text":"Blue!"}"#));
    }
}
