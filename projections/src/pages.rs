//! Pages of the table `posting`: the terms of a block in order, each with the documents that have it, cut into rows.

use rusqlite::{Transaction, params};

use crate::{
    error::Result,
    limits,
    packing::{Group, Place, groups, places, put_group, put_place},
};

/// Writes the pages of a block. What they are is a function of the terms and places alone.
pub(crate) struct Pages<'t> {
    tx: &'t Transaction<'t>,
    scope: i64,
    /// The block that the rows are written under.
    under: i64,
    /// The block's first document.
    first: u32,
    page: Vec<u8>,
    /// The first term and document of the page.
    start: (Vec<u8>, u32),
    /// The last term of the page.
    last: Vec<u8>,
}

impl<'t> Pages<'t> {
    pub(crate) fn new(tx: &'t Transaction<'t>, scope: i64, under: i64, first: u32) -> Self {
        Self {
            tx,
            scope,
            under,
            first,
            page: Vec::new(),
            start: (Vec::new(), 0),
            last: Vec::new(),
        }
    }

    /// Adds a term, greater than the one before, and where it is.
    pub(crate) fn put(&mut self, term: &[u8], mut all: &[Place]) -> Result<()> {
        let mut packed = Vec::new();
        while let Some(from) = all.first() {
            let room = limits::POSTING_BYTES.saturating_sub(self.page.len() + term.len() + 8);
            packed.clear();
            let (mut count, mut next) = (0, self.first);
            for place in all {
                let before = packed.len();
                put_place(&mut packed, *place, next);
                // On a page of its own some always fit.
                if packed.len() > room && !(self.page.is_empty() && count == 0) {
                    packed.truncate(before);
                    break;
                }
                count += 1;
                next = place.nth.saturating_add(1);
            }
            if count == 0 {
                self.end()?;
                continue;
            }
            if self.page.is_empty() {
                self.start = (term.to_vec(), from.nth);
            }
            let group = Group {
                term,
                count,
                places: &packed,
            };
            put_group(&mut self.page, &self.last, &group);
            self.last.clear();
            self.last.extend_from_slice(term);
            all = all.get(count as usize..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends the page.
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.page.is_empty() {
            return Ok(());
        }
        self.tx
            .prepare_cached("INSERT INTO posting VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![self.scope, self.under, self.start.0, self.start.1, self.page])?;
        self.page.clear();
        self.last.clear();
        Ok(())
    }
}

/// Gives `each` all terms of a block and where they are, in order.
pub(crate) fn for_each(
    tx: &Transaction<'_>,
    scope: i64,
    first: u32,
    mut each: impl FnMut(&[u8], Place) -> Result<()>,
) -> Result<()> {
    let mut select =
        tx.prepare_cached("SELECT page FROM posting WHERE scope = ?1 AND first = ?2 ORDER BY term, nth")?;
    let mut rows = select.query(params![scope, first])?;
    while let Some(row) = rows.next()? {
        groups(row.get_ref(0)?.as_blob()?, |group| {
            for place in places(group.places, first) {
                each(group.term, place?)?;
            }
            Ok(true)
        })?;
    }
    Ok(())
}

/// Gives `each` what the pages of a block say of one term, by rising `nth`: how many documents, and which, packed.
pub(crate) fn find(
    tx: &Transaction<'_>,
    scope: i64,
    first: u32,
    term: &[u8],
    mut each: impl FnMut(u32, &[u8]) -> Result<()>,
) -> Result<()> {
    // A term may begin on a page that begins with one before it.
    let sql =
        "SELECT term, page FROM posting WHERE scope = ?1 AND first = ?2 AND term <= ?3 ORDER BY term DESC, nth DESC";
    let mut select = tx.prepare_cached(sql)?;
    let mut rows = select.query(params![scope, first, term])?;
    let mut found: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut goes_on = true;
    while goes_on && let Some(row) = rows.next()? {
        goes_on = row.get_ref(0)?.as_blob()? == term;
        groups(row.get_ref(1)?.as_blob()?, |group| {
            if group.term == term {
                found.push((group.count, group.places.to_vec()));
            }
            Ok(group.term < term)
        })?;
    }
    for (count, packed) in found.iter().rev() {
        each(*count, packed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Terms of one place and terms that fill pages, as they come.
        #[test]
        fn what_is_on_pages_is_found_there(
            lists in prop::collection::btree_map("[a-c]{1,5}", (0_u32..9_000, 1_u16..3, 1_u32..4), 0..200),
        ) {
            let first = 70_000;
            let lists: BTreeMap<Vec<u8>, Vec<Place>> = lists
                .into_iter()
                .map(|(term, (count, times, step))| {
                    let count = if count < 8_000 { 1 + count % 5 } else { count };
                    let places = (0..count).map(|at| Place { nth: first + at * step, times });
                    (term.into_bytes(), places.collect())
                })
                .collect();
            let mut db = Connection::open_in_memory().unwrap();
            db.execute_batch("CREATE TABLE posting (scope, first, term, nth, page, PRIMARY KEY (scope, first, term, nth))")
                .unwrap();
            let tx = db.transaction().unwrap();
            let mut pages = Pages::new(&tx, 1, first.into(), first);
            for (term, places) in &lists {
                pages.put(term, places).unwrap();
            }
            pages.end().unwrap();
            let longest: i64 = tx
                .query_row("SELECT coalesce(max(length(page)), 0) FROM posting", [], |row| row.get(0))
                .unwrap();
            prop_assert!(longest <= limits::POSTING_BYTES as i64);

            let mut back = BTreeMap::<Vec<u8>, Vec<Place>>::new();
            for_each(&tx, 1, first, |term, place| {
                back.entry(term.to_vec()).or_default().push(place);
                Ok(())
            }).unwrap();
            prop_assert_eq!(&back, &lists);
            for (term, all) in &lists {
                let (mut found, mut counted) = (Vec::new(), 0);
                find(&tx, 1, first, term, |count, packed| {
                    counted += count;
                    found.extend(places(packed, first).map(|place| place.unwrap()));
                    Ok(())
                }).unwrap();
                prop_assert_eq!(&found, all);
                prop_assert_eq!(counted as usize, all.len());
            }
            for absent in ["a0", "", "zz"] {
                find(&tx, 1, first, absent.as_bytes(), |_, _| panic!("{absent}")).unwrap();
            }
        }
    }
}
