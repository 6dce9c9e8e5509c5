//! A text made of another one, that knows where each of its parts stood there.

use std::ops::Range;

/// What stands in place of a part of a text.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub(crate) range: Range<usize>,
    pub(crate) with: With,
}

#[derive(Debug, Clone)]
pub(crate) enum With {
    Nothing,
    Char(char),
    Text(String),
}

/// Bytes around an edit that a view shows: names that stand before a secret, and what ends it.
const CONTEXT_BYTES: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) text: String,
    spans: Vec<Span>,
}

/// A part of a view's text, up to the next one.
#[derive(Debug)]
struct Span {
    at: usize,
    from: Range<usize>,
    /// It is the same, byte for byte.
    same: bool,
}

impl View {
    /// All of a text, edited. Edits are in order and do not overlap.
    pub(crate) fn whole(text: &str, edits: &[Edit]) -> Self {
        let mut view = Self::default();
        view.piece(text, 0..text.len(), edits);
        view
    }

    /// What stands around the edits, each piece on lines of its own.
    pub(crate) fn around(text: &str, edits: &[Edit]) -> Self {
        let mut view = Self::default();
        let mut rest = edits;
        while let Some(first) = rest.first() {
            let start = text.floor_char_boundary(first.range.start.saturating_sub(CONTEXT_BYTES));
            let reach = |edit: &Edit| (edit.range.end + CONTEXT_BYTES).min(text.len());
            let mut end = reach(first);
            let mut taken = 1;
            while let Some(next) = rest.get(taken).filter(|next| next.range.start <= end) {
                end = reach(next);
                taken += 1;
            }
            let end = text.ceil_char_boundary(end);
            if !view.text.is_empty() {
                view.put("\n", start..start, false);
            }
            view.piece(text, start..end, &rest[..taken]);
            rest = &rest[taken..];
        }
        view
    }

    fn piece(&mut self, text: &str, range: Range<usize>, edits: &[Edit]) {
        let mut at = range.start;
        for edit in edits {
            self.put(&text[at..edit.range.start], at..edit.range.start, true);
            match &edit.with {
                With::Nothing => {}
                With::Char(with) => self.put(with.encode_utf8(&mut [0; 4]), edit.range.clone(), false),
                With::Text(with) => self.put(with, edit.range.clone(), false),
            }
            at = edit.range.end;
        }
        self.put(&text[at..range.end], at..range.end, true);
    }

    /// Another text behind this one, which stood nowhere.
    pub(crate) fn put(&mut self, text: &str, from: Range<usize>, same: bool) {
        if !text.is_empty() {
            let at = self.text.len();
            self.text.push_str(text);
            self.spans.push(Span { at, from, same });
        }
    }

    /// Where a part of this text stood.
    pub(crate) fn source(&self, range: Range<usize>) -> Range<usize> {
        if self.spans.is_empty() {
            return 0..0;
        }
        let start = {
            let span = self.span_of(range.start);
            if span.same {
                span.from.start + (range.start - span.at)
            } else {
                span.from.start
            }
        };
        let end = {
            let span = self.span_of(range.end.saturating_sub(1).max(range.start));
            if span.same {
                (span.from.start + (range.end.max(span.at) - span.at)).min(span.from.end)
            } else {
                span.from.end
            }
        };
        start..end.max(start)
    }

    /// Where in this text a part of the other one is, if nothing was moved.
    pub(crate) fn places(&self, source: &Range<usize>) -> Range<usize> {
        let start = self.place(source.start);
        start..self.place(source.end).max(start)
    }

    fn place(&self, source: usize) -> usize {
        let nth = self.spans.partition_point(|span| span.from.start < source);
        let after = self.spans.get(nth).map_or(self.text.len(), |span| span.at);
        let Some(span) = nth.checked_sub(1).map(|nth| &self.spans[nth]) else {
            return 0;
        };
        if span.same {
            (span.at + source - span.from.start).min(after)
        } else {
            after
        }
    }

    fn span_of(&self, at: usize) -> &Span {
        let nth = self.spans.partition_point(|span| span.at <= at);
        &self.spans[nth.saturating_sub(1)]
    }
}

/// Edits of several kinds in order; where two overlap, the first one stays.
pub(crate) fn in_order(mut edits: Vec<Edit>) -> Vec<Edit> {
    edits.sort_by_key(|edit| edit.range.start);
    let mut end = 0;
    edits.retain(|edit| {
        let stays = edit.range.start >= end;
        if stays {
            end = edit.range.end;
        }
        stays
    });
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(range: Range<usize>, with: With) -> Edit {
        Edit { range, with }
    }

    #[test]
    fn a_view_knows_where_its_parts_stood() {
        let text = "key=%41%42C end";
        let edits = [edit(4..7, With::Char('A')), edit(7..10, With::Char('B'))];
        let view = View::whole(text, &edits);
        assert_eq!(view.text, "key=ABC end");
        assert_eq!(&text[view.source(4..7)], "%41%42C");
        assert_eq!(&text[view.source(5..6)], "%42");
        assert_eq!(&text[view.source(0..3)], "key");
        assert_eq!(&text[view.source(6..11)], "C end");
    }

    #[test]
    fn what_is_far_from_edits_is_left_out_and_places_hold() {
        let text = "a".repeat(1000) + "X" + &"b".repeat(2000) + "Y" + &"ü".repeat(500);
        let edits = [
            edit(1000..1001, With::Nothing),
            edit(3001..3002, With::Text("yy".into())),
        ];
        let view = View::around(&text, &edits);
        assert_eq!(view.text.len(), 256 + 256 + 1 + 256 + 2 + 256);
        let y = view.text.find("yy").unwrap();
        assert_eq!(view.source(y..y + 2), 3001..3002);
        assert_eq!(view.source(y - 1..y + 1), 3000..3002);
        assert_eq!(view.source(0..1), 744..745);
    }

    #[test]
    fn of_edits_that_overlap_the_first_one_stays() {
        let edits = vec![
            edit(5..9, With::Nothing),
            edit(0..6, With::Nothing),
            edit(6..7, With::Nothing),
        ];
        let ranges: Vec<_> = in_order(edits).into_iter().map(|edit| edit.range).collect();
        assert_eq!(ranges, [0..6, 6..7]);
    }
}
