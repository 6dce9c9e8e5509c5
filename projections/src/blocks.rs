//! Documents of a scope that are kept together, with the terms that they have.
//!
//! A scope of n entries has as many blocks as are full, the larger ones first: see [`BLOCKS`]. What a block holds is a
//! function of the documents that there are.

use std::{collections::HashMap, ops::Range};

use rusqlite::{Transaction, params};

use crate::{
    error::Result,
    limits,
    packing::{Place, Shape, put_bounds, put_place, put_shapes, terms},
    schema::{BLOCKS, OUTLINE, Outline, number, position},
};

/// Makes the blocks that became full when a scope of `before` entries got `entries`.
pub(crate) fn settle(tx: &Transaction<'_>, scope: i64, before: u32, entries: u32) -> Result<()> {
    let mut first = 0;
    for size in BLOCKS {
        let end = entries / size * size;
        // Those of this size that were there already stay.
        let mut next = first.max(before / size * size);
        while next < end {
            if next < before {
                // Smaller ones that it takes the place of.
                drop_blocks(tx, scope, next..next.saturating_add(size))?;
            }
            make(tx, scope, next, size)?;
            next = next.saturating_add(size);
        }
        first = end;
    }
    Ok(())
}

/// Drops what is known of the documents of a stretch, as if they had been erased before they were folded.
pub(crate) fn forget(tx: &Transaction<'_>, scope: i64, [first, last]: [u32; 2]) -> Result<()> {
    let mut select = tx.prepare_cached(
        "SELECT first, size FROM block WHERE scope = ?1 AND first <= ?3 AND first + size > ?2
         AND EXISTS (SELECT 1 FROM doc WHERE scope = ?1 AND nth BETWEEN max(?2, first) AND min(?3, first + size - 1))",
    )?;
    let blocks: Vec<(u32, u32)> = select
        .query_map(params![scope, first, last], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    tx.prepare_cached("DELETE FROM doc WHERE scope = ?1 AND nth BETWEEN ?2 AND ?3")?
        .execute(params![scope, first, last])?;
    for (first, size) in blocks {
        drop_blocks(tx, scope, first..first.saturating_add(1))?;
        make(tx, scope, first, size)?;
    }
    Ok(())
}

/// Drops the blocks that begin in a range.
fn drop_blocks(tx: &Transaction<'_>, scope: i64, firsts: Range<u32>) -> Result<()> {
    for sql in [
        "DELETE FROM block WHERE scope = ?1 AND first >= ?2 AND first < ?3",
        "DELETE FROM posting WHERE scope = ?1 AND first >= ?2 AND first < ?3",
    ] {
        tx.prepare_cached(sql)?
            .execute(params![scope, firsts.start, firsts.end])?;
    }
    Ok(())
}

/// Makes a block of the documents that there are.
fn make(tx: &Transaction<'_>, scope: i64, first: u32, size: u32) -> Result<()> {
    let range = first..first.saturating_add(size);
    let outlines = outlines(tx, scope, &range)?;
    let mut shapes = vec![Shape::NONE; size as usize];
    let (mut bounds, mut before_ms) = (Vec::new(), 0);
    let mut before: Option<&Outline> = None;
    for outline in &outlines {
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

    // Mostly one; so many that memory stays bounded however much the documents say.
    let bytes: Option<i64> = tx
        .prepare_cached("SELECT sum(length(terms)) FROM doc WHERE scope = ?1 AND nth >= ?2 AND nth < ?3")?
        .query_row(params![scope, range.start, range.end], |row| row.get(0))?;
    let parts = position(bytes.unwrap_or(0))? / limits::BLOCK_BYTES + 1;
    for part in 0..parts {
        post(tx, scope, &range, |term| parts == 1 || part_of(term) % parts == part)?;
    }
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

/// Writes where the documents of a range have the terms that are `wanted`.
fn post(tx: &Transaction<'_>, scope: i64, range: &Range<u32>, wanted: impl Fn(&[u8]) -> bool) -> Result<()> {
    // For each term the places so far, and the `nth` that may come next.
    let mut lists = HashMap::<Box<[u8]>, (Vec<u8>, u32)>::new();
    let sql = "SELECT nth, terms FROM doc WHERE scope = ?1 AND nth >= ?2 AND nth < ?3 ORDER BY nth";
    let mut select = tx.prepare_cached(sql)?;
    let mut rows = select.query(params![scope, range.start, range.end])?;
    while let Some(row) = rows.next()? {
        let nth: u32 = row.get(0)?;
        for term in terms(row.get_ref(1)?.as_blob()?) {
            let (term, times) = term?;
            if !wanted(term) {
                continue;
            }
            if !lists.contains_key(term) {
                lists.insert(term.into(), (Vec::new(), range.start));
            }
            if let Some((places, next)) = lists.get_mut(term) {
                put_place(places, Place { nth, times }, *next);
                *next = nth.saturating_add(1);
            }
        }
    }
    let mut lists: Vec<_> = lists.into_iter().collect();
    lists.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let mut insert = tx.prepare_cached("INSERT INTO posting VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (term, (places, _)) in lists {
        for (part, places) in (0_u32..).zip(places.chunks(limits::PART_BYTES)) {
            insert.execute(params![scope, range.start, &*term, part, places])?;
        }
    }
    Ok(())
}

/// A number for a term, the same in each run (FNV-1a).
fn part_of(term: &[u8]) -> u64 {
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    term.iter().fold(0xcbf2_9ce4_8422_2325, hash)
}
