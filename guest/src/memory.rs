use crate::{Budget, Context, Error, FactAnswer, Query, Reader, Result, SearchAnswer, Trail, bindings::recall};

/// All that a run may read: a [`Reader`] for each granted scope, the home scope's first.
///
/// What it recalls, it recalls from all of them together; to leave some out, call [`recall`] with those you want.
#[derive(Debug)]
pub struct Memory {
    home: Reader,
    others: Vec<Reader>,
}

impl Memory {
    /// Takes the handles as the host passes them.
    #[doc(hidden)]
    pub fn new(readers: Vec<Reader>) -> Result<Self> {
        let mut readers = readers.into_iter();
        let home = readers
            .next()
            .ok_or_else(|| Error::invalid("the host handed over no home scope"))?;
        Ok(Self {
            home,
            others: readers.collect(),
        })
    }

    /// The scope that drafts go to unless they name another.
    pub fn home(&self) -> &Reader {
        &self.home
    }

    /// All of them, the home scope first.
    pub fn readers(&self) -> impl Iterator<Item = &Reader> {
        std::iter::once(&self.home).chain(&self.others)
    }

    /// The scope of that name. None: it was not handed over.
    pub fn scope(&self, name: &str) -> Option<&Reader> {
        self.readers().find(|reader| reader.scope() == name)
    }

    /// What is believed now, the most certain first.
    pub fn facts(&self, query: Query) -> Result<FactAnswer> {
        Ok(recall::facts(&self.handles(), query.as_raw())?)
    }

    /// Events that match, the best first. Superseded, expired and erased ones are left out.
    pub fn search(&self, query: Query) -> Result<SearchAnswer> {
        Ok(recall::search(&self.handles(), query.as_raw())?)
    }

    /// What an event rests on, back to its roots. `not-found` if no handle sees it.
    pub fn why(&self, id: &str) -> Result<Trail> {
        Ok(recall::why(&self.handles(), id)?)
    }

    /// What rests on an event. `not-found` if no handle sees it.
    pub fn impact(&self, id: &str) -> Result<Trail> {
        Ok(recall::impact(&self.handles(), id)?)
    }

    /// Text for a prompt: facts, hits and the turns around them, fitted to a budget.
    pub fn compose(&self, query: Query, budget: Budget) -> Result<Context> {
        Ok(recall::compose(&self.handles(), query.as_raw(), budget)?)
    }

    fn handles(&self) -> Vec<&Reader> {
        self.readers().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_a_home_is_refused() {
        assert_eq!(
            Memory::new(Vec::new()).unwrap_err().to_string(),
            "invalid: the host handed over no home scope"
        );
    }
}
