//! Tokens that were pulled apart.

use crate::view::{Edit, With, in_order};

/// Single characters in a row that make a word which was spaced out.
const SPACED_CHARS: usize = 8;
/// Bytes between two halves of a token: the end of a line and how the next one is set in.
const GAP_BYTES: usize = 24;

/// What has to go so that tokens are whole again: spaces between single characters, and line breaks, spaces and quotes
/// between two halves of what looks random.
pub(crate) fn edits(text: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut spaced = Vec::<Edit>::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    // The gap before `at`, and whether a single character stands before it.
    let mut before: Option<(Edit, bool)> = None;
    loop {
        let start = bytes[at..]
            .iter()
            .position(|b| is_gap(*b))
            .map_or(bytes.len(), |length| at + length);
        let atom = &bytes[at..start];
        match before.take() {
            Some((gap, true)) if begins_alone(atom) && is_spaces(&bytes[gap.range.clone()]) => spaced.push(gap),
            _ => keep_word(&mut spaced, &mut edits),
        }
        if start == bytes.len() {
            break;
        }
        let end = bytes[start..]
            .iter()
            .position(|b| !is_gap(*b))
            .map_or(bytes.len(), |length| start + length);
        let gap = Edit {
            range: start..end,
            with: With::Nothing,
        };
        if end - start <= GAP_BYTES && joins(bytes, &gap) {
            edits.push(gap.clone());
        }
        if atom.len() > 1 {
            keep_word(&mut spaced, &mut edits);
        }
        before = Some((gap, ends_alone(atom)));
        at = end;
    }
    keep_word(&mut spaced, &mut edits);
    in_order(edits)
}

/// A single character, or one behind what comes before a value.
fn ends_alone(atom: &[u8]) -> bool {
    matches!(atom, [_] | [.., b'=' | b':' | b'(' | b'<', _])
}

/// A single character, or one before what ends a sentence.
fn begins_alone(atom: &[u8]) -> bool {
    matches!(atom, [_] | [_, b'.' | b';' | b')' | b'>', ..])
}

fn is_spaces(gap: &[u8]) -> bool {
    gap.len() <= 2 && gap.iter().all(u8::is_ascii_whitespace)
}

/// The spaces of a word that has ended.
fn keep_word(spaced: &mut Vec<Edit>, edits: &mut Vec<Edit>) {
    if spaced.len() + 1 >= SPACED_CHARS {
        edits.append(spaced);
    }
    spaced.clear();
}

fn joins(bytes: &[u8], gap: &Edit) -> bool {
    let (left, right) = (tail(&bytes[..gap.range.start]), head(&bytes[gap.range.end..]));
    let between = &bytes[gap.range.clone()];
    let quotes = between.iter().filter(|b| matches!(b, b'"' | b'\'' | b'`')).count();
    if quotes == 2 && between.len() <= 8 {
        // Behind a name comes its value.
        belong_together(left, right) && (looks_random(left) || left.ends_with(b"-") || left.ends_with(b"_"))
    } else if quotes == 0 && between.contains(&b'\n') {
        belong_together(left, right)
    } else {
        let spaces = between.iter().all(|b| *b == b' ');
        spaces && left.len() >= 4 && right.len() >= 4 && looks_random(left) && looks_random(right)
    }
}

/// Whether what ends with the one and begins with the other may be one token.
pub(crate) fn belong_together(left: &[u8], right: &[u8]) -> bool {
    left.len() >= 2
        && !right.is_empty()
        && left.len() + right.len() >= 12
        && (looks_random(left) || looks_random(right))
}

/// The token that a text ends with.
pub(crate) fn tail(text: &[u8]) -> &[u8] {
    let start = text.iter().rposition(|b| !is_token(*b)).map_or(0, |at| at + 1);
    &text[start..]
}

/// The token that a text begins with.
pub(crate) fn head(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|b| !is_token(*b)).unwrap_or(text.len());
    &text[..end]
}

/// No word of a language: digits among letters, many digits, capitals behind small letters, or capitals alone.
fn looks_random(token: &[u8]) -> bool {
    let digits = token.iter().filter(|b| b.is_ascii_digit()).count();
    let letters = token.iter().any(u8::is_ascii_alphabetic);
    let capitals = token.iter().filter(|b| b.is_ascii_uppercase()).count();
    digits > 0 && letters
        || digits >= 8
        || capitals >= 6 && capitals == token.len()
        || token
            .windows(2)
            .any(|two| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'_' | b'-' | b'+' | b'/' | b'=' | b'.' | b'~' | b':' | b'@' | b'|' | b'?' | b'%'
        )
}

/// What may stand between the halves of a token.
fn is_gap(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b'>' | b'#' | b'*' | b'&' | b',')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::View;

    fn joined(text: &str) -> String {
        View::whole(text, &edits(text)).text
    }

    #[test]
    fn what_was_pulled_apart_is_joined() {
        for (apart, whole) in [
            ("it is \"s k - a n t - a p i\".", "it is \"sk-ant-api\"."),
            ("key=s k - a n t - a p i.", "key=sk-ant-api."),
            ("AKIAQYLP\nMN5HFIQR\n7XYA", "AKIAQYLPMN5HFIQR7XYA"),
            ("AKIAQYLP \\\n    MN5HFIQR7XYA", "AKIAQYLPMN5HFIQR7XYA"),
            ("> ghp_k3Jw9Qz\n> T7bXe2RnV5", "> ghp_k3Jw9QzT7bXe2RnV5"),
            ("\"ghp_k3Jw9Qz\", \"T7bXe2RnV5\"", "\"ghp_k3Jw9QzT7bXe2RnV5\""),
            ("ghp_k3Jw9Qz T7bXe2RnV5", "ghp_k3Jw9QzT7bXe2RnV5"),
        ] {
            assert_eq!(joined(apart), whole, "{apart}");
        }
    }

    #[test]
    fn words_stay_apart() {
        for text in [
            "I would like\nan answer to a question",
            "a b c d e f",
            "\"one\", \"two\", \"three\"",
            "the key is\nunder the mat",
            "room 12 at 9 am on 3 May",
        ] {
            assert_eq!(joined(text), text);
        }
    }
}
