//! Characters that look like others, or like nothing.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::view::{Edit, With};

/// What has to be done to a text so that its letters and digits are the plain ones, and nothing invisible is between them:
/// compatibility forms (NFKC), what is not shown, and marks over plain letters.
pub(crate) fn edits(text: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    if text.is_ascii() {
        return edits;
    }
    let mut after_plain = false;
    for (at, char) in text.char_indices() {
        if char.is_ascii() {
            after_plain = char.is_ascii_alphanumeric();
            continue;
        }
        let range = at..at + char.len_utf8();
        if is_invisible(char) || after_plain && is_combining_mark(char) {
            let with = With::Nothing;
            edits.push(Edit { range, with });
            continue;
        }
        after_plain = false;
        let mut folded = std::iter::once(char).nfkc();
        match (folded.next(), folded.next()) {
            (Some(one), None) if one == char => {}
            (Some(one), None) => edits.push(Edit {
                range,
                with: With::Char(one),
            }),
            (Some(one), Some(two)) => edits.push(Edit {
                range,
                with: With::Text([one, two].into_iter().chain(folded).collect()),
            }),
            (None, _) => {}
        }
    }
    edits
}

/// What is not shown (Unicode: Default_Ignorable_Code_Point, and the controls of direction).
fn is_invisible(char: char) -> bool {
    matches!(u32::from(char),
        0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f | 0x202a..=0x202e
        | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0x1bca0..=0x1bca3
        | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::View;

    #[test]
    fn plain_letters_are_left() {
        let fold = |text: &str| View::whole(text, &edits(text)).text;
        assert_eq!(fold("ｓｋ－ａｎｔ"), "sk-ant");
        assert_eq!(fold("s\u{200b}k\u{2060}-\u{ad}a"), "sk-a");
        assert_eq!(fold("𝗮𝓫𝕔①ﬁ"), "abc1fi");
        assert_eq!(fold("s\u{336}k\u{336}"), "sk");
        for kept in ["naïve Größe, “quoted” – 日本", "plain"] {
            assert_eq!(fold(kept), kept);
        }
    }
}
