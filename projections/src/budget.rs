//! How much text fits.

/// How much text fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Budget {
    /// Unicode scalar values.
    Characters(u32),
    /// Tokens of a language model: estimated, so that the text rather has fewer.
    Tokens(u32),
}

impl Budget {
    /// What there is to spend.
    pub(crate) fn whole(self) -> usize {
        let (Self::Characters(whole) | Self::Tokens(whole)) = self;
        whole as usize
    }

    /// What a text costs. The cost of two texts together is at most that of each added up.
    pub(crate) fn cost(self, text: &str) -> usize {
        match self {
            Self::Characters(_) => text.chars().count(),
            Self::Tokens(_) => tokens(text),
        }
    }

    /// As much of the beginning of a text as costs at most so much, to the end of a word where it has one.
    pub(crate) fn beginning(self, text: &str, most: usize) -> &str {
        let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        let ends: Vec<usize> = ends.collect();
        let fits = ends.partition_point(|&end| self.cost(text.get(..end).unwrap_or(text)) <= most);
        let cut = ends.get(fits.saturating_sub(1)).copied().unwrap_or(0);
        let kept = text.get(..cut).unwrap_or_default();
        match kept.rfind(' ') {
            Some(space) if cut < text.len() => kept.get(..space).unwrap_or(kept),
            _ => kept,
        }
    }
}

/// The tokenisers of today's models take three to four letters of English for one token, one to three digits, most
/// marks by themselves, and up to three tokens for a character of another script. Small letters are counted by fours,
/// begun ones too; all else that is ASCII, and each two bytes of what is not, as one each.
fn tokens(text: &str) -> usize {
    let (mut tokens, mut small) = (0, 0_usize);
    for c in text.chars() {
        if c.is_ascii_lowercase() {
            tokens += usize::from(small.is_multiple_of(4));
            small += 1;
            continue;
        }
        small = 0;
        tokens += match c {
            // Part of the word that follows.
            ' ' => 0,
            c if c.is_ascii() => 1,
            c => c.len_utf8().div_ceil(2),
        };
    }
    tokens
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn characters_are_counted_and_tokens_are_rather_overestimated() {
        assert_eq!(Budget::Characters(9).cost("žofie 東京"), 8);
        assert_eq!(Budget::Tokens(9).cost("Caroline went hiking with friends."), 10);
        assert_eq!(Budget::Tokens(9).cost("2023-05-08"), 10);
        assert_eq!(Budget::Tokens(9).cost("evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D"), 28);
    }

    #[test]
    fn a_beginning_ends_with_a_word() {
        let budget = Budget::Characters(0);
        assert_eq!(budget.beginning("one two three", 9), "one two");
        assert_eq!(budget.beginning("one two three", 13), "one two three");
        assert_eq!(budget.beginning("onetwothree", 4), "onet");
        assert_eq!(budget.beginning("one", 0), "");
    }

    proptest! {
        #[test]
        fn a_beginning_costs_no_more_than_it_may(text in "\\PC{0,60}", most in 0_usize..40, tokens: bool) {
            let budget = if tokens { Budget::Tokens(0) } else { Budget::Characters(0) };
            prop_assert!(budget.cost(budget.beginning(&text, most)) <= most);
        }

        #[test]
        fn texts_together_cost_no_more_than_each(a in "\\PC{0,30}", b in "\\PC{0,30}") {
            let budget = Budget::Tokens(0);
            let together = format!("{a}{b}");
            prop_assert!(budget.cost(&together) <= budget.cost(&a) + budget.cost(&b));
        }
    }
}
