//! Documents of a scope that are kept together, with the terms that they have.
//!
//! A scope of n entries has as many blocks as are full, the larger ones first: see [`BLOCKS`]. What a block holds is a
//! function of the documents that there are. The terms of a document are in its row until it is in a block, and then
//! in the block alone.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
};

use rusqlite::{Transaction, params};

use crate::{
    dense,
    document::Document,
    error::Result,
    limits,
    packing::{Place, Shape, put_bounds, put_shapes, terms},
    pages::{self, Pages},
    schema::{BLOCKS, OUTLINE, Outline, number, position},
};

/// A document that is in no table yet.
pub(crate) struct Fresh {
    pub(crate) nth: u32,
    pub(crate) seq: u64,
    pub(crate) run: Option<[u8; 16]>,
    pub(crate) document: Document,
}

/// What has become of a scope since its tables were last written.
#[derive(Default)]
pub(crate) struct Changed {
    /// By rising `nth`.
    pub(crate) fresh: Vec<Fresh>,
    /// Blocks of which documents are gone: their first ones.
    remade: BTreeSet<u32>,
}

impl Changed {
    /// Drops what is known of the documents of a stretch, as if they had been erased before they were folded, and returns
    /// the `seq` of each, the oldest first. Blocks follow in [`settle`](Self::settle), each once.
    pub(crate) fn forget(&mut self, tx: &Transaction<'_>, scope: i64, [first, last]: [u32; 2]) -> Result<Vec<u64>> {
        let start = self.fresh.partition_point(|fresh| fresh.nth < first);
        let end = self.fresh.partition_point(|fresh| fresh.nth <= last);
        let fresh = self.fresh.drain(start..end.max(start)).map(|fresh| fresh.seq);
        let fresh: Vec<_> = fresh.collect();
        let mut select = tx.prepare_cached(
            "SELECT first FROM block WHERE scope = ?1 AND first <= ?3 AND first + size > ?2
             AND EXISTS (SELECT 1 FROM doc WHERE scope = ?1 AND nth BETWEEN max(?2, first) AND min(?3, first + size - 1))",
        )?;
        for block in select.query_map(params![scope, first, last], |row| row.get(0))? {
            self.remade.insert(block?);
        }
        let mut delete =
            tx.prepare_cached("DELETE FROM doc WHERE scope = ?1 AND nth BETWEEN ?2 AND ?3 RETURNING seq")?;
        let written = delete.query_map(params![scope, first, last], |row| row.get(0))?;
        let mut forgotten = written.map(|seq| position(seq?)).collect::<Result<Vec<_>>>()?;
        forgotten.extend(fresh);
        forgotten.sort_unstable();
        Ok(forgotten)
    }

    /// Writes it, as a scope of `before` entries got `entries`, and makes the blocks that became full meanwhile.
    pub(crate) fn settle(&self, tx: &Transaction<'_>, scope: i64, before: u32, entries: u32) -> Result<()> {
        let blocks_end = BLOCKS.last().map_or(0, |size| entries / size * size);
        self.insert(tx, scope, blocks_end)?;
        dense::keep(tx, scope, &self.fresh)?;
        let mut first = 0;
        for size in BLOCKS {
            let end = entries / size * size;
            // Those of this size that were there already stay.
            let mut next = first.max(before / size * size);
            for &of in self.remade.range(first..next) {
                self.make(tx, scope, of, size, of..of)?;
            }
            while next < end {
                let until = next.saturating_add(size);
                self.make(tx, scope, next, size, next..until.min(before).max(next))?;
                next = until;
            }
            first = end;
        }
        Ok(())
    }

    /// Writes the rows of the fresh documents; of those below `blocks_end` the terms will be in blocks.
    fn insert(&self, tx: &Transaction<'_>, scope: i64, blocks_end: u32) -> Result<()> {
        let mut insert = tx.prepare_cached("INSERT INTO doc VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?;
        for Fresh {
            nth,
            seq,
            run,
            document,
        } in &self.fresh
        {
            insert.execute(params![
                scope,
                nth,
                number(*seq),
                run,
                number(document.time.as_ms()),
                document.expires.map(|expires| number(expires.as_ms())),
                document.confidence,
                document.thread,
                document.asks,
                document.length,
                (*nth >= blocks_end).then_some(&document.terms),
            ])?;
        }
        Ok(())
    }

    /// Makes a block of the documents that there are. `before` are those of them that were in the tables before, in
    /// smaller blocks or in none; empty, where the block itself was there.
    fn make(&self, tx: &Transaction<'_>, scope: i64, first: u32, size: u32, before: Range<u32>) -> Result<()> {
        let range = first..first.saturating_add(size);
        let outlines = outlines(tx, scope, &range)?;
        let was_there = self.remade.contains(&first) && before.is_empty();
        let old = match was_there {
            true => vec![first],
            false => firsts(tx, scope, &before)?,
        };
        let mut there = vec![false; size as usize];
        for outline in &outlines {
            if let Some(there) = there.get_mut((outline.nth - first) as usize) {
                *there = true;
            }
        }
        let source = Source {
            tx,
            scope,
            range: range.clone(),
            old: &old,
            before,
            fresh: &self.fresh,
            there,
        };
        // What is made of blocks is written beside them, until all of it is read.
        let under = if old.is_empty() { first.into() } else { BESIDE };
        let mut written = Pages::new(tx, scope, under, first);
        let mut from = Some(Vec::new().into_boxed_slice());
        while let Some(least) = from {
            let (mut lists, rest) = source.lists(&least, limits::BLOCK_BYTES)?;
            lists.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            for (term, places) in &lists {
                written.put(term, places)?;
            }
            from = rest;
        }
        written.end()?;
        for old in &old {
            for sql in [
                "DELETE FROM block WHERE scope = ?1 AND first = ?2",
                "DELETE FROM posting WHERE scope = ?1 AND first = ?2",
            ] {
                tx.prepare_cached(sql)?.execute(params![scope, old])?;
            }
        }
        if under == BESIDE {
            tx.prepare_cached("UPDATE posting SET first = ?2 WHERE scope = ?1 AND first = ?3")?
                .execute(params![scope, first, BESIDE])?;
        }
        if !source.before.is_empty() {
            tx.prepare_cached(
                "UPDATE doc SET terms = NULL WHERE scope = ?1 AND nth >= ?2 AND nth < ?3 AND terms IS NOT NULL",
            )?
            .execute(params![scope, source.before.start, source.before.end])?;
        }
        insert_block(tx, scope, first, size, &outlines)
    }
}

/// In place of a block's first document, while it is made.
const BESIDE: i64 = -1;

/// Where a block's documents have their terms from.
struct Source<'a> {
    tx: &'a Transaction<'a>,
    scope: i64,
    range: Range<u32>,
    /// Blocks that it takes the place of.
    old: &'a [u32],
    before: Range<u32>,
    fresh: &'a [Fresh],
    /// Which of the range's documents there are.
    there: Vec<bool>,
}

/// Terms, and where they are.
type Lists = Vec<(Box<[u8]>, Vec<Place>)>;

impl Source<'_> {
    /// The terms from `least` on, as many as so many bytes hold, and where they go on. Mostly that is all.
    fn lists(&self, least: &[u8], most: usize) -> Result<(Lists, Option<Box<[u8]>>)> {
        let mut lists = HashMap::<Box<[u8]>, Vec<Place>, foldhash::fast::RandomState>::default();
        let (mut end, mut held) = (None::<Box<[u8]>>, 0);
        self.for_each(|term, place| {
            if term < least || end.as_deref().is_some_and(|end| term >= end) {
                return Ok(());
            }
            held += size_of::<Place>();
            match lists.get_mut(term) {
                Some(places) => places.push(place),
                None => {
                    held += LIST_BYTES + term.len();
                    lists.insert(term.into(), vec![place]);
                }
            }
            if held > most && lists.len() > 1 {
                let mut terms: Vec<_> = lists.keys().cloned().collect();
                let middle = terms.len() / 2;
                let (_, middle, _) = terms.select_nth_unstable(middle);
                lists.retain(|term, _| *term < *middle);
                held = lists
                    .iter()
                    .map(|(term, places)| LIST_BYTES + term.len() + places.len() * size_of::<Place>())
                    .sum();
                end = Some(middle.clone());
            }
            Ok(())
        })?;
        Ok((lists.into_iter().collect(), end))
    }

    /// Each place of each term, those of one term by rising `nth`.
    fn for_each(&self, mut each: impl FnMut(&[u8], Place) -> Result<()>) -> Result<()> {
        let first = self.range.start;
        for &old in self.old {
            pages::for_each(self.tx, self.scope, old, |term, place| {
                let there = self.there.get(place.nth.wrapping_sub(first) as usize);
                match there.is_some_and(|there| *there) {
                    true => each(term, place),
                    false => Ok(()),
                }
            })?;
        }
        if !self.before.is_empty() {
            let sql = "SELECT nth, terms FROM doc WHERE scope = ?1 AND nth >= ?2 AND nth < ?3 AND terms IS NOT NULL ORDER BY nth";
            let mut select = self.tx.prepare_cached(sql)?;
            let mut rows = select.query(params![self.scope, self.before.start, self.before.end])?;
            while let Some(row) = rows.next()? {
                let nth = row.get(0)?;
                for term in terms(row.get_ref(1)?.as_blob()?) {
                    let (term, times) = term?;
                    each(term, Place { nth, times })?;
                }
            }
        }
        let start = self.fresh.partition_point(|fresh| fresh.nth < first);
        let fresh = self.fresh.get(start..).unwrap_or_default();
        for Fresh { nth, document, .. } in fresh.iter().take_while(|fresh| fresh.nth < self.range.end) {
            for term in terms(&document.terms) {
                let (term, times) = term?;
                each(term, Place { nth: *nth, times })?;
            }
        }
        Ok(())
    }
}

/// Bytes that a list takes besides its places and its term, about.
const LIST_BYTES: usize = 64;

/// The blocks that begin in a range.
fn firsts(tx: &Transaction<'_>, scope: i64, range: &Range<u32>) -> Result<Vec<u32>> {
    let mut select =
        tx.prepare_cached("SELECT first FROM block WHERE scope = ?1 AND first >= ?2 AND first < ?3 ORDER BY first")?;
    let firsts = select.query_map(params![scope, range.start, range.end], |row| row.get(0))?;
    Ok(firsts.collect::<rusqlite::Result<_>>()?)
}

/// Writes what a block says of its documents apart from their terms.
fn insert_block(tx: &Transaction<'_>, scope: i64, first: u32, size: u32, outlines: &[Outline]) -> Result<()> {
    let mut shapes = vec![Shape::NONE; size as usize];
    let (mut bounds, mut before_ms) = (Vec::new(), 0);
    let mut before: Option<&Outline> = None;
    for outline in outlines {
        // Whether the first goes on with what is before the block is for whoever reads both.
        let goes_on = before.is_some_and(|before| before.turn.leads_to(&outline.turn));
        if let Some(shape) = shapes.get_mut((outline.nth - first) as usize) {
            *shape = outline.shape.going_on(goes_on);
        }
        put_bounds(&mut bounds, &outline.bounds, before_ms);
        before_ms = outline.bounds.time_ms;
        before = Some(outline);
    }
    let end = |outline: Option<&Outline>| {
        let turn = outline.map(|outline| outline.turn);
        (turn.map(|turn| turn.thread), turn.map(|turn| number(turn.time_ms)))
    };
    let (first_thread, first_ms) = end(outlines.first());
    let (last_thread, last_ms) = end(outlines.last());
    let expires = outlines.iter().map(|outline| outline.bounds.expires_ms).min();
    let expires = expires.filter(|expires| *expires < u64::MAX).map(number);
    tx.prepare_cached("INSERT INTO block VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
        .execute(params![
            scope,
            first,
            size,
            first_thread,
            first_ms,
            last_thread,
            last_ms,
            expires,
            put_shapes(&shapes),
            bounds
        ])?;
    Ok(())
}

/// The outlines of the documents of a range.
fn outlines(tx: &Transaction<'_>, scope: i64, range: &Range<u32>) -> Result<Vec<Outline>> {
    let sql = format!("SELECT {OUTLINE} FROM doc WHERE scope = ?1 AND nth >= ?2 AND nth < ?3 ORDER BY nth");
    let mut select = tx.prepare_cached(&sql)?;
    let mut rows = select.query(params![scope, range.start, range.end])?;
    let mut outlines = Vec::new();
    while let Some(row) = rows.next()? {
        outlines.push(Outline::of(row)?);
    }
    Ok(outlines)
}

#[cfg(test)]
mod tests {
    use quipu_format::Timestamp;
    use rusqlite::Connection;

    use super::*;
    use crate::packing::put_term;

    #[test]
    fn terms_that_memory_is_too_small_for_come_in_several_goes() {
        let document = |nth: u32| {
            let mut packed = Vec::new();
            for term in nth..nth + 40 {
                put_term(&mut packed, &format!("term{term:03}"), 1 + (nth % 3) as u16);
            }
            Document {
                time: Timestamp::FIRST,
                expires: None,
                confidence: None,
                thread: 0,
                asks: false,
                length: 40,
                terms: packed,
                meaning: None,
            }
        };
        let fresh = |nth| Fresh {
            nth,
            seq: nth.into(),
            run: None,
            document: document(nth),
        };
        let fresh: Vec<_> = (0..200).map(fresh).collect();
        let mut db = Connection::open_in_memory().unwrap();
        let tx = db.transaction().unwrap();
        let source = Source {
            tx: &tx,
            scope: 1,
            range: 0..200,
            old: &[],
            before: 0..0,
            fresh: &fresh,
            there: vec![true; 200],
        };
        let all = |most| {
            let (mut all, mut from, mut goes) = (Lists::new(), Some(Box::default()), 0);
            while let Some(least) = from {
                let (mut lists, rest) = source.lists(&least, most).unwrap();
                lists.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
                all.extend(lists);
                from = rest;
                goes += 1;
            }
            (all, goes)
        };
        let (whole, one) = all(usize::MAX);
        assert_eq!((whole.len(), one), (239, 1));
        let (parts, several) = all(4_000);
        assert!(several > 5, "{several}");
        assert_eq!(parts, whole);
        assert_eq!(all(1).0, whole);
    }
}
