//! What the tables hold of one scope, as far as a view shows it.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Transaction, params};

use crate::{
    error::{Cause, Result},
    packing::{Outline, Place, outlines, places, terms},
    schema::{BLOCK, number, outline},
    view::ScopeSight,
};

/// The documents of a scope that a view shows, and where the terms of a question are in them. What the view does not
/// show is not here, so that nothing that is counted here can tell of it.
pub(crate) struct Shelf {
    /// By `nth`; `None` where there is no document, or the view does not show it.
    pub(crate) documents: Vec<Option<Outline>>,
    /// For each term, in the order in which they were asked for, by rising `nth`.
    pub(crate) places: Vec<Vec<Place>>,
    /// Entries of the scope, whatever the view shows of them.
    entries: u32,
}

impl Shelf {
    pub(crate) fn load(tx: &Transaction<'_>, scope: i64, sight: &ScopeSight, asked: &[String]) -> Result<Self> {
        let mut select = tx.prepare_cached("SELECT entries FROM scope WHERE id = ?1")?;
        let entries = select.query_row([scope], |row| row.get(0)).optional()?.unwrap_or(0);
        let mut shelf = Self {
            documents: Vec::new(),
            places: vec![Vec::new(); asked.len()],
            entries,
        };
        let full = entries / BLOCK;
        // Blocks rise in `seq`: those that begin past the end of the view are not looked at.
        let blocks = shelf.load_blocks(tx, scope, sight, full)?;
        for (term, places) in asked.iter().zip(&mut shelf.places) {
            load_places(tx, scope, term, blocks, places)?;
        }
        if blocks == full {
            shelf.load_rest(tx, scope, sight, full, asked)?;
        }
        shelf.hide(tx, scope, sight)?;
        Ok(shelf)
    }

    /// Takes up to `full` blocks, and returns how many it took.
    fn load_blocks(&mut self, tx: &Transaction<'_>, scope: i64, sight: &ScopeSight, full: u32) -> Result<u32> {
        let mut select = tx.prepare_cached("SELECT block, outlines FROM block WHERE scope = ?1 ORDER BY block")?;
        let mut rows = select.query([scope])?;
        let mut past_end = false;
        while let Some(row) = rows.next()? {
            let block: u32 = row.get(0)?;
            if past_end {
                return Ok(block);
            }
            for outline in outlines(row.get_ref(1)?.as_blob()?, block.saturating_mul(BLOCK)) {
                let outline = outline?;
                past_end |= outline.seq >= sight.end;
                self.put(outline)?;
            }
        }
        Ok(full)
    }

    /// Takes the documents after the last full block.
    fn load_rest(
        &mut self,
        tx: &Transaction<'_>,
        scope: i64,
        sight: &ScopeSight,
        full: u32,
        asked: &[String],
    ) -> Result<()> {
        let mut sorted: Vec<_> = asked
            .iter()
            .enumerate()
            .map(|(at, term)| (term.as_bytes(), at))
            .collect();
        sorted.sort_unstable();
        let sql = "SELECT * FROM doc WHERE scope = ?1 AND nth >= ?2 AND seq < ?3 ORDER BY nth";
        let mut select = tx.prepare_cached(sql)?;
        let mut rows = select.query(params![scope, full.saturating_mul(BLOCK), number(sight.end)])?;
        while let Some(row) = rows.next()? {
            let outline = outline(row)?;
            // Both are sorted: one pass finds all.
            let mut left = sorted.iter().peekable();
            for found in terms(row.get_ref("terms")?.as_blob()?) {
                let (found, times) = found?;
                while left.next_if(|(term, _)| *term < found).is_some() {}
                while let Some((_, places)) = left.next_if(|(term, _)| *term == found) {
                    if let Some(places) = self.places.get_mut(*places) {
                        places.push(Place {
                            nth: outline.nth,
                            times,
                        });
                    }
                }
            }
            self.put(outline)?;
        }
        Ok(())
    }

    fn put(&mut self, outline: Outline) -> Result<()> {
        let at = outline.nth as usize;
        if self.documents.len() > at || outline.nth >= self.entries {
            return Err(Cause::Damaged("the documents of a scope are out of order".into()));
        }
        self.documents.resize(at, None);
        self.documents.push(Some(outline));
        Ok(())
    }

    /// Takes away what the view does not show.
    fn hide(&mut self, tx: &Transaction<'_>, scope: i64, sight: &ScopeSight) -> Result<()> {
        let past_head = |document: &Option<Outline>| document.is_some_and(|document| document.seq >= sight.head);
        let pinned = self
            .documents
            .iter()
            .position(past_head)
            .unwrap_or(self.documents.len());
        let mut own = HashSet::new();
        if pinned < self.documents.len() {
            for run in &sight.runs {
                let sql = "SELECT nth FROM doc WHERE scope = ?1 AND nth >= ?2 AND seq < ?3 AND run = ?4";
                let mut select = tx.prepare_cached(sql)?;
                let mut rows = select.query(params![scope, pinned as i64, number(sight.end), run])?;
                while let Some(row) = rows.next()? {
                    own.insert(row.get::<_, u32>(0)?);
                }
            }
        }
        for document in self.documents.iter_mut().skip(pinned) {
            document.take_if(|document| !own.contains(&document.nth));
        }
        for places in &mut self.places {
            places.retain(|place| self.documents.get(place.nth as usize).is_some_and(Option::is_some));
        }
        Ok(())
    }
}

/// The places of a term in the first `blocks` blocks.
fn load_places(tx: &Transaction<'_>, scope: i64, term: &str, blocks: u32, into: &mut Vec<Place>) -> Result<()> {
    let sql = "SELECT block, places FROM posting WHERE scope = ?1 AND term = ?2 AND block < ?3 ORDER BY block";
    let mut select = tx.prepare_cached(sql)?;
    let mut rows = select.query(params![scope, term.as_bytes(), blocks])?;
    while let Some(row) = rows.next()? {
        for place in places(row.get_ref(1)?.as_blob()?, row.get::<_, u32>(0)?.saturating_mul(BLOCK)) {
            into.push(place?);
        }
    }
    Ok(())
}
