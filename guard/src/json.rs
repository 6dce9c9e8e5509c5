//! The strings of a JSON text: where they stand, and what they say.

use std::ops::Range;

use crate::{
    join,
    view::{Edit, View, With},
};

/// A string, by what stands between its quotes.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) range: Range<usize>,
    /// It is the name of a member.
    pub(crate) is_name: bool,
    /// The name of the innermost member that it is in, between its quotes.
    pub(crate) name: Range<usize>,
}

/// All strings of a JSON text, in order. What is no JSON has some, too.
pub(crate) fn texts(json: &str) -> Vec<Text> {
    let bytes = json.as_bytes();
    let mut texts = Vec::<Text>::new();
    // Of each object and array that is open, the name that it is in.
    let mut open = Vec::new();
    let mut name = 0..0;
    let mut at = 0;
    while let Some(skip) = bytes[at..]
        .iter()
        .position(|b| matches!(b, b'"' | b'{' | b'[' | b'}' | b']' | b':'))
    {
        at += skip + 1;
        match bytes[at - 1] {
            b'{' | b'[' => open.push(name.clone()),
            b'}' | b']' => name = open.pop().unwrap_or_default(),
            b':' => {
                // The string before it was a name.
                if let Some(last) = texts
                    .last_mut()
                    .filter(|text| is_space(&bytes[text.range.end + 1..at - 1]))
                {
                    last.is_name = true;
                    name = last.range.clone();
                }
            }
            _ => {
                let end = end_of_string(bytes, at);
                texts.push(Text {
                    range: at..end,
                    is_name: false,
                    name: name.clone(),
                });
                at = (end + 1).min(bytes.len());
            }
        }
    }
    texts
}

fn is_space(between: &[u8]) -> bool {
    between.iter().all(u8::is_ascii_whitespace)
}

fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(skip) = memchr::memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) {
        at += skip;
        if bytes[at] == b'"' {
            return at;
        }
        at += 2;
    }
    bytes.len()
}

/// A JSON text with its escapes undone.
pub(crate) fn opened(json: &str) -> View {
    let bytes = json.as_bytes();
    let mut edits = Vec::new();
    let mut at = 0;
    while let Some(skip) = memchr::memchr(b'\\', &bytes[at..]) {
        at += skip;
        let length = match bytes.get(at + 1) {
            Some(b'u') => {
                let high = unit(bytes, at);
                let low = unit(bytes, at + 6);
                let character = match (high, low) {
                    (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) => {
                        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                    }
                    (Some(code), _) => char::from_u32(code),
                    (None, _) => None,
                };
                let length = if character.is_some_and(|c| u32::from(c) > 0xffff) {
                    12
                } else {
                    6
                };
                let length = json.ceil_char_boundary((at + length).min(bytes.len())) - at;
                edits.push(Edit {
                    range: at..at + length,
                    with: With::Char(character.unwrap_or(char::REPLACEMENT_CHARACTER)),
                });
                length
            }
            Some(b) if b.is_ascii() => {
                let character = match b {
                    b'n' => '\n',
                    b't' => '\t',
                    b'r' => '\r',
                    b'b' | b'f' => ' ',
                    other => char::from(*other),
                };
                edits.push(Edit {
                    range: at..at + 2,
                    with: With::Char(character),
                });
                2
            }
            _ => 1,
        };
        at += length;
    }
    View::whole(json, &edits)
}

fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let escape = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    escape
        .iter()
        .try_fold(0, |code, b| Some(code << 4 | char::from(*b).to_digit(16)?))
}

/// What is left out where only names and the beginnings of their values are of interest: the rest of long ones.
pub(crate) fn without_rests(opened: &str, values: &[Range<usize>]) -> View {
    let rest = |value: &Range<usize>| {
        let start = opened.ceil_char_boundary((value.start + BEGINNING_BYTES).min(value.end));
        (start < value.end).then_some(Edit {
            range: start..value.end,
            with: With::Nothing,
        })
    };
    let edits: Vec<_> = values.iter().filter_map(rest).collect();
    View::whole(opened, &edits)
}

/// Bytes of a value that its name may say something about.
const BEGINNING_BYTES: usize = 512;

/// What has to go so that values that follow one another are one text, where a token may have been split there.
pub(crate) fn between_values(json: &str, texts: &[Text]) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut values = texts.iter().filter(|text| !text.is_name).peekable();
    while let (Some(one), Some(next)) = (values.next(), values.peek()) {
        let bytes = json.as_bytes();
        let (left, right) = (
            join::tail(&bytes[one.range.clone()]),
            join::head(&bytes[next.range.clone()]),
        );
        if join::belong_together(left, right) {
            edits.push(Edit {
                range: one.range.end..next.range.start,
                with: With::Nothing,
            });
        }
    }
    edits
}

/// Names on the way to a place, for messages. A name that may itself be a secret is not shown.
pub(crate) fn field(json: &str, texts: &[Text], place: &Range<usize>) -> String {
    let at = texts.partition_point(|text| text.range.end < place.start);
    let touched = texts.get(at).filter(|text| text.range.start < place.end);
    let Some(text) = touched else {
        return String::new();
    };
    let name = &json[text.name.clone()];
    let plain = |b: u8| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-');
    if text.is_name {
        "the name of a member".to_owned()
    } else if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
        String::new()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_know_their_names() {
        let json = r#"{"a" : {"b\"c":["x","y"],"d":"z"}, "e":["",1,{"f":":"}],"g":"{"}"#;
        let said = |text: &Text| {
            (
                json[text.range.clone()].to_owned(),
                text.is_name,
                json[text.name.clone()].to_owned(),
            )
        };
        let all: Vec<_> = texts(json).iter().map(said).collect();
        let values: Vec<_> = all
            .iter()
            .filter(|t| !t.1)
            .map(|t| (t.0.as_str(), t.2.as_str()))
            .collect();
        assert_eq!(
            values,
            [
                ("x", r#"b\"c"#),
                ("y", r#"b\"c"#),
                ("z", "d"),
                ("", "e"),
                (":", "f"),
                ("{", "g")
            ]
        );
        assert_eq!(all.iter().filter(|t| t.1).count(), 6);
    }

    #[test]
    fn escapes_are_undone_and_places_kept() {
        let json = r#"{"a":"x\n\u0041\ud83d\ude00\ud83d\"y\\"}"#;
        let view = opened(json);
        assert_eq!(view.text, "{\"a\":\"x\nA😀\u{fffd}\"y\\\"}");
        let at = view.text.find('A').unwrap();
        assert_eq!(&json[view.source(at..at + 1)], r"\u0041");
        for broken in [
            "\"\\",
            "\\u",
            "\\u12",
            "\\uzzzzü",
            "\\ü",
            "\"abc\\\"",
            "\\ud83dü\\ude00",
        ] {
            let _ = opened(broken);
        }
    }

    #[test]
    fn a_field_names_no_secret() {
        let json = r#"{"text":"abc","ghp4":{"x":"abc"},"AKIA1234":"abc","names":["abc"]}"#;
        let texts = texts(json);
        let fields: Vec<_> = texts.iter().map(|text| field(json, &texts, &text.range)).collect();
        let name = "the name of a member";
        assert_eq!(fields, [name, "text", name, name, "x", name, "", name, "names"]);
    }
}
