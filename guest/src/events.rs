use std::{fmt, vec};

use crate::{Event, Page, Reader, Result, Seq};

/// Events a page asks for, unless it is told otherwise: large enough that calls are few, small enough that a page of
/// usual events takes well under a megabyte.
const PAGE: u32 = 256;

impl Reader {
    /// All its events, the oldest first. Pages are fetched as the iterator goes.
    pub fn events(&self) -> Events<'_> {
        Events::new(|start, limit| Ok(self.read(start, limit)?))
    }

    /// All its events, the newest first.
    pub fn events_back(&self) -> Events<'_> {
        Events::new(|end, limit| Ok(self.read_back(end, limit)?))
    }
}

/// Events of a scope, page by page. It ends after the first error.
pub struct Events<'a> {
    fetch: Box<dyn FnMut(Option<Seq>, u32) -> Result<Page> + 'a>,
    limit: u32,
    /// Where the next page begins; None when there is none.
    next: Option<Option<Seq>>,
    page: vec::IntoIter<Event>,
}

impl<'a> Events<'a> {
    fn new(fetch: impl FnMut(Option<Seq>, u32) -> Result<Page> + 'a) -> Self {
        Self {
            fetch: Box::new(fetch),
            limit: PAGE,
            next: Some(None),
            page: Vec::new().into_iter(),
        }
    }

    /// Begins at this position: oldest first, with the event there or after it; newest first, with the one before it.
    /// To be called before the first event is taken.
    #[must_use]
    pub fn from(mut self, seq: Seq) -> Self {
        self.next = Some(Some(seq));
        self
    }

    /// Events to fetch in one call, 1 to 1,000; else 256.
    #[must_use]
    pub fn page_size(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.page.next() {
                return Some(Ok(event));
            }
            let start = self.next.take()?;
            match (self.fetch)(start, self.limit) {
                Ok(page) => {
                    self.next = page.next.map(Some);
                    self.page = page.events.into_iter();
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl std::iter::FusedIterator for Events<'_> {}

impl fmt::Debug for Events<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("limit", &self.limit)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind, event::tests::event};

    /// A scope whose events are at every third position below 30.
    fn read(start: Option<Seq>, limit: u32) -> Result<Page> {
        let mut rest = (0..30).step_by(3).filter(|seq| *seq >= start.unwrap_or(0));
        let events: Vec<_> = rest.by_ref().take(limit as usize).map(|seq| event(seq, None)).collect();
        Ok(Page {
            events,
            next: rest.next(),
        })
    }

    fn seqs(events: Events<'_>) -> Vec<Seq> {
        events.map(|event| event.unwrap().seq).collect()
    }

    #[test]
    fn pages_are_joined_without_gap_or_repeat() {
        let all = [0, 3, 6, 9, 12, 15, 18, 21, 24, 27];
        for limit in [1, 3, 10, 1_000] {
            assert_eq!(seqs(Events::new(read).page_size(limit)), all, "page size {limit}");
        }
        assert_eq!(seqs(Events::new(read).from(20).page_size(2)), [21, 24, 27]);
        assert_eq!(seqs(Events::new(read).from(28)), [] as [Seq; 0]);
    }

    #[test]
    fn an_empty_page_that_is_not_the_last_does_not_end_the_events() {
        let mut calls = 0;
        let events = Events::new(|start, limit| {
            calls += 1;
            if calls == 1 {
                Ok(Page {
                    events: Vec::new(),
                    next: Some(24),
                })
            } else {
                read(start, limit)
            }
        });
        assert_eq!(seqs(events), [24, 27]);
    }

    #[test]
    fn an_error_is_the_last_item() {
        let mut calls = 0;
        let mut events = Events::new(|start, limit| {
            calls += 1;
            if calls == 1 {
                read(start, limit)
            } else {
                Err(Error::new(ErrorKind::Unavailable, "later"))
            }
        })
        .page_size(1);
        assert!(events.next().unwrap().is_ok());
        assert_eq!(events.next().unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(events.next().is_none());
    }
}
