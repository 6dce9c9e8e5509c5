//! Text for people to look at: nothing that came from a log, a guest or a file may steer what shows it.

use std::borrow::Cow;

/// The text on one line, control characters written out: `\n`, `\u{1b}`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escaped_but(text, "")
}

/// As [`escaped`], but lines stay lines.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    escaped_but(text, "\n\t")
}

/// JSON text of the same meaning, on one line and without control characters. Of those below U+0020, JSON has white
/// space between its values alone; the others can stand in its strings as they are.
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    replaced(json, steers, |c, out| {
        if c < ' ' {
            return out.push(' ');
        }
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

fn escaped_but<'a>(text: &'a str, keep: &str) -> Cow<'a, str> {
    replaced(
        text,
        |c| steers(c) && !keep.contains(c),
        |c, out| out.extend(c.escape_default()),
    )
}

fn replaced<'a>(text: &'a str, wanted: impl Fn(char) -> bool, replace: impl Fn(char, &mut String)) -> Cow<'a, str> {
    if !text.contains(&wanted) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if wanted(c) { replace(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Characters that a terminal acts on: controls (C0, DEL, C1), line separators, and those that reorder what follows.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_is_left() {
        let hostile = "a\x1b[2Jb\x7f\u{9b}31m\r\u{202e}c\n\td";
        assert_eq!(escaped(hostile), r"a\u{1b}[2Jb\u{7f}\u{9b}31m\r\u{202e}c\n\td");
        assert_eq!(escaped_lines("a\n\tb\x1b"), "a\n\tb\\u{1b}");
        assert!(matches!(escaped("plain – text"), Cow::Borrowed(_)));
    }

    #[test]
    fn escaped_json_means_the_same() {
        let json = "{\n\t\"text\":\"x\\n\u{7f}\u{9b}2J\u{202e}\"\r\n}";
        let safe = escaped_json(json);
        assert!(safe.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{safe}");
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(value(&safe), value(json));
    }
}
