//! Encodings that a person may read past: what is written in them, in their place.

use std::ops::Range;

use crate::view::{Edit, With, in_order};

/// Characters that are shorter than this when decoded are no secret.
const LEAST_BYTES: usize = 8;

/// All that is written in some encoding: `%41`, `\u0041`, `\x41`, `&#65;`, hexadecimal, base64 of both alphabets.
pub(crate) fn edits(text: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    let bytes = text.as_bytes();
    for at in memchr::memchr3_iter(b'%', b'\\', b'&', bytes) {
        let decoded = match bytes[at] {
            b'%' => percent(bytes, at),
            b'\\' => backslash(&text[at..]),
            _ => entity(&text[at..]),
        };
        edits.extend(decoded.map(|(length, with)| Edit {
            range: at..at + length,
            with,
        }));
    }
    let escapes = edits.len();
    for run in runs(bytes, |b| {
        b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_' | b':' | b' ')
    }) {
        edits.extend(pairs(bytes, run));
    }
    for run in runs(bytes, |b| sextet(b).is_some()) {
        match hex(bytes, run.clone()).or_else(|| base64(bytes, run.clone())) {
            Some(edit) => edits.push(edit),
            // A token behind a name: `key_c2VjcmV0`, `basic/c2VjcmV0`.
            None => {
                let parts = runs(&bytes[run.clone()], |b| b.is_ascii_alphanumeric());
                let parts = parts
                    .into_iter()
                    .map(|part| run.start + part.start..run.start + part.end);
                edits.extend(parts.filter_map(|part| hex(bytes, part.clone()).or_else(|| base64(bytes, part))));
            }
        }
    }
    if escapes == edits.len() && escapes < 2 {
        edits
    } else {
        in_order(edits)
    }
}

/// Stretches of such bytes that are long enough to hide something.
fn runs(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut at = 0;
    while let Some(skip) = bytes[at..].iter().position(|b| belongs(*b)) {
        let start = at + skip;
        at = bytes[start..]
            .iter()
            .position(|b| !belongs(*b))
            .map_or(bytes.len(), |length| start + length);
        if at - start > LEAST_BYTES * 4 / 3 {
            runs.push(start..at);
        }
    }
    runs
}

/// A byte as `%41`; several of one character stand for it together.
fn percent(bytes: &[u8], at: usize) -> Option<(usize, With)> {
    let nth = |n: usize| {
        let escape = bytes.get(at + 3 * n..at + 3 * n + 3)?;
        (escape[0] == b'%').then(|| two_digits(escape[1], escape[2]))?
    };
    let first = nth(0)?;
    if first.is_ascii() {
        return Some((3, With::Char(first.into())));
    }
    let length = match first {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => return None,
    };
    let character = (0..length).map(nth).collect::<Option<Vec<u8>>>()?;
    let character = std::str::from_utf8(&character).ok()?.chars().next()?;
    Some((3 * length, With::Char(character)))
}

/// `\u0041`, `\u{41}`, `\U00000041`, `\x41`. Half a surrogate pair is a character that stands for none.
fn backslash(text: &str) -> Option<(usize, With)> {
    let bytes = text.as_bytes();
    let unit = |at: usize, digits: usize| number(text.get(at..at + digits)?, 16);
    let (length, code) = match bytes.get(1)? {
        b'x' => (4, unit(2, 2)?),
        b'U' => (10, unit(2, 8)?),
        b'u' if bytes.get(2) == Some(&b'{') => {
            let end = bytes.iter().take(12).position(|b| *b == b'}')?;
            (end + 1, number(&text[3..end], 16)?)
        }
        b'u' => {
            let high = unit(2, 4)?;
            let low = bytes.get(6..8).filter(|next| next == b"\\u").and_then(|_| unit(8, 4));
            match (high, low) {
                (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
                    (12, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                }
                _ => (6, high),
            }
        }
        _ => return None,
    };
    Some((
        length,
        With::Char(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)),
    ))
}

/// `&#65;`, `&#x41;`, and the five names that XML has.
fn entity(text: &str) -> Option<(usize, With)> {
    let end = text.bytes().take(12).position(|b| b == b';')?;
    let character = match &text[1..end] {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        name => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(digits) => number(digits, 16)?,
                None => number(digits, 10)?,
            };
            char::from_u32(code)?
        }
    };
    Some((end + 1, With::Char(character)))
}

/// Without a sign, unlike what the standard library reads.
fn number(digits: &str, radix: u32) -> Option<u32> {
    let plain = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    plain.then(|| u32::from_str_radix(digits, radix).ok())?
}

fn two_digits(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Bytes in hexadecimal.
fn hex(bytes: &[u8], run: Range<usize>) -> Option<Edit> {
    let digits = bytes[run.clone()].strip_prefix(b"0x").unwrap_or(&bytes[run.clone()]);
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let decoded = digits
        .chunks_exact(2)
        .map(|pair| two_digits(pair[0], pair[1]).filter(|b| is_text(*b)));
    edit(run, decoded.collect::<Option<Vec<u8>>>()?)
}

/// Bytes in hexadecimal with something between them: `41 42 43`, `41:42:43`.
fn pairs(bytes: &[u8], run: Range<usize>) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut at = run.start;
    while at + 3 * LEAST_BYTES - 1 <= run.end {
        let separator = bytes[at + 2];
        let mut decoded = Vec::new();
        let mut end = at;
        if matches!(separator, b' ' | b':' | b'-' | b'_') {
            // A pair, and behind it the separator or the end of what is written so.
            while let Some(byte) = bytes.get(end..end + 2).and_then(|pair| two_digits(pair[0], pair[1]))
                && end + 2 <= run.end
                // Words of hexadecimal digits stand around it: `be`, `added`.
                && byte.is_ascii()
                && is_text(byte)
            {
                decoded.push(byte);
                end += 2;
                if end >= run.end || bytes[end] != separator {
                    break;
                }
                end += 1;
            }
        }
        // Behind what was no text, too: nothing is read twice.
        let range = at..end.min(run.end);
        at = range.end.max(at + 1);
        edits.extend(edit(range, decoded));
    }
    edits
}

/// Bytes in base64, of whichever alphabet, with or without padding. What stands before them without a gap may shift them.
fn base64(bytes: &[u8], run: Range<usize>) -> Option<Edit> {
    let padding = bytes[run.end..].iter().take(2).take_while(|b| **b == b'=').count();
    (0..4).find_map(|shift| {
        let from = run.start + shift..run.end;
        let mut decoded = Vec::new();
        for group in bytes.get(from.clone())?.chunks(4) {
            let bits = group
                .iter()
                .try_fold(0, |bits, b| Some(bits << 6 | u32::from(sextet(*b)?)))?;
            let whole = (bits << (6 * (4 - group.len()))).to_be_bytes();
            let count = group.len() * 6 / 8;
            if !whole[1..=count].iter().all(|b| is_text(*b)) {
                return None;
            }
            decoded.extend_from_slice(&whole[1..=count]);
        }
        edit(from.start..from.end + padding, decoded)
    })
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

/// Control characters mean that it was no text: random letters are not decoded.
fn is_text(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || matches!(byte, b'\t' | b'\n' | b'\r')
}

fn edit(range: Range<usize>, decoded: Vec<u8>) -> Option<Edit> {
    let text = String::from_utf8(decoded)
        .ok()
        .filter(|text| text.len() >= LEAST_BYTES)?;
    let with = With::Text(text);
    Some(Edit { range, with })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::View;

    fn decoded(text: &str) -> String {
        View::whole(text, &edits(text)).text
    }

    #[test]
    fn what_is_encoded_is_read() {
        for (encoded, plain) in [
            ("a=%73%6b%2Dant", "a=sk-ant"),
            ("%C3%BCber", "über"),
            (r"\u0073\u006b\u{2d}\x61\U0000006e", "sk-an"),
            (r"\ud83d\ude00 \ud83d", "😀 \u{fffd}"),
            ("&#115;&#x6B;&amp;&lt;", "sk&<"),
            ("token 736b2d616e742d6170693033!", "token sk-ant-api03!"),
            ("0x736b2d616e742d6170693033", "sk-ant-api03"),
            ("73 6b 2d 61 6e 74 2d 61 70 69 30 33.", "sk-ant-api03."),
            ("at 73:6b:2d:61:6e:74:2d:61:70:69:30:33", "at sk-ant-api03"),
            ("auth=c2stYW50LWFwaTAzLXh5eg==;", "auth=sk-ant-api03-xyz;"),
            ("Pz8/Pz8/Pj4+Pj4+", "??????>>>>>>"),
            ("Pz8_Pz8_Pj4-Pj4-", "??????>>>>>>"),
            ("key_c2stYW50LWFwaTAzLXh5eg", "key_sk-ant-api03-xyz"),
        ] {
            assert_eq!(decoded(encoded), plain, "{encoded}");
        }
    }

    #[test]
    fn what_is_not_encoded_is_left() {
        for text in [
            "100% of %zz \\u12 &#; &nope; \\",
            "a word that is internationalization or 1234567890123456",
            "src/projections/building.rs and 3f2504e04f8941d39a0c0305e82c3301",
            "%ff%fe %c3",
            "\\ud83dü \\u",
        ] {
            let left = decoded(text);
            assert!(left == text || left.contains('\u{fffd}'), "{text}: {left}");
        }
    }
}
