//! What the tables hold of one scope, as far as a view shows it.

use rusqlite::{OptionalExtension, Row, Transaction, params, types::ValueRef};

use crate::{
    error::{Cause, Result},
    packing::{Bounds, Place, Shape, bounds, places, shapes, terms},
    pages,
    places::Places,
    schema::{OUTLINE, Outline, Turn, number, position},
    view::ScopeSight,
};

/// The documents of a scope that a view shows, and where the terms of a question are in them. What the view does not
/// show is not here, so that nothing that is counted here can tell of it.
pub(crate) struct Shelf {
    /// By `nth`; [`Shape::NONE`] where there is no document, or the view does not show it.
    pub(crate) shapes: Vec<Shape>,
    /// For each term, in the order in which they were asked for.
    pub(crate) places: Vec<Places>,
    /// What was judged of the documents, by `nth`; the rest is [`Judged::Fits`].
    pub(crate) judged: Vec<Judged>,
    /// The last document so far.
    last: Option<Turn>,
}

/// What a question makes of when a document is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    /// It may be an answer.
    Fits,
    /// It is besides of the month that the question names.
    Month,
    /// It is besides of the day that the question names.
    Day,
    /// It is no answer.
    Barred,
}

/// Terms to look for, and what an answer must be like.
pub(crate) struct Asked<'a, F> {
    pub(crate) terms: &'a [String],
    pub(crate) judge: F,
    /// Documents that never expire have to be judged too.
    pub(crate) judges_all: bool,
    /// What expires by then is no answer.
    pub(crate) now_ms: u64,
}

impl Shelf {
    pub(crate) fn load(
        tx: &Transaction<'_>,
        scope: i64,
        sight: &ScopeSight,
        asked: &Asked<'_, impl Fn(&Bounds) -> Judged>,
    ) -> Result<Self> {
        let mut shelf = Self {
            shapes: Vec::new(),
            places: asked.terms.iter().map(|_| Places::default()).collect(),
            judged: Vec::new(),
            last: None,
        };
        // `nth` rises with `seq`, so that what the view shows to all is what comes before one of them.
        let cut = cut(tx, scope, sight.head)?;
        let blocks = shelf.load_blocks(tx, scope, cut, asked)?;
        for (term, into) in asked.terms.iter().zip(&mut shelf.places) {
            for &(first, size) in &blocks {
                pages::find(tx, scope, first, term.as_bytes(), |count, packed| {
                    if first.saturating_add(size) <= cut {
                        into.add_list(first, count, packed);
                        return Ok(());
                    }
                    push_if(into, first, packed, |nth| nth < cut)
                })?;
            }
        }
        shelf.load_rest(tx, scope, cut, asked)?;
        if !sight.runs.is_empty() && sight.head < sight.end {
            shelf.load_own(tx, scope, sight, cut, asked)?;
        }
        Ok(shelf)
    }

    /// Takes the blocks of documents before `cut`, and returns where they begin and how large they are.
    fn load_blocks(
        &mut self,
        tx: &Transaction<'_>,
        scope: i64,
        cut: u32,
        asked: &Asked<'_, impl Fn(&Bounds) -> Judged>,
    ) -> Result<Vec<(u32, u32)>> {
        let mut select = tx.prepare_cached(
            "SELECT first, size, first_thread, first_ms, last_thread, last_ms, expires_ms, shapes, bounds FROM block
             WHERE scope = ?1 AND first < ?2 ORDER BY first",
        )?;
        let mut rows = select.query(params![scope, cut])?;
        let mut blocks = Vec::new();
        while let Some(row) = rows.next()? {
            let (first, size): (u32, u32) = (row.get(0)?, row.get(1)?);
            let start = self.shapes.len();
            if first as usize != start {
                return Err(Cause::Damaged("the blocks of a scope are out of order".into()));
            }
            blocks.push((first, size));
            self.shapes.extend(shapes(row.get_ref(7)?.as_blob()?, size)?);
            if let Some(turn) = turn(row, 2)? {
                let goes_on = self.last.is_some_and(|last| last.leads_to(&turn));
                let of_block = self.shapes.get_mut(start..).into_iter().flatten();
                if let Some(shape) = of_block.into_iter().find(|shape| shape.is_document()) {
                    *shape = shape.going_on(goes_on);
                }
                self.last = turn_of_last(tx, scope, row, first, size, cut)?;
            }
            let expires: Option<i64> = row.get(6)?;
            if asked.judges_all || expires.is_some_and(|expires| number(asked.now_ms) >= expires) {
                let mut bounds = bounds(row.get_ref(8)?.as_blob()?);
                self.judged.resize(start, Judged::Fits);
                for shape in self.shapes.get(start..).unwrap_or_default() {
                    let judged = match shape.is_document().then(|| bounds.next()).flatten() {
                        Some(bounds) => (asked.judge)(&bounds?),
                        None => Judged::Fits,
                    };
                    self.judged.push(judged);
                }
            }
        }
        self.shapes.truncate(cut as usize);
        self.judged.truncate(cut as usize);
        Ok(blocks)
    }

    /// Takes the documents after the last block.
    fn load_rest(
        &mut self,
        tx: &Transaction<'_>,
        scope: i64,
        cut: u32,
        asked: &Asked<'_, impl Fn(&Bounds) -> Judged>,
    ) -> Result<()> {
        let sorted = sorted(asked.terms);
        let sql = format!("SELECT {OUTLINE}, terms FROM doc WHERE scope = ?1 AND nth >= ?2 AND nth < ?3 ORDER BY nth");
        let mut select = tx.prepare_cached(&sql)?;
        let mut rows = select.query(params![scope, self.shapes.len() as i64, cut])?;
        while let Some(row) = rows.next()? {
            self.put(&Outline::of(row)?, asked)?;
            self.put_terms(row, &sorted)?;
        }
        Ok(())
    }

    /// Takes the documents past the cut that runs of the view appended themselves.
    fn load_own(
        &mut self,
        tx: &Transaction<'_>,
        scope: i64,
        sight: &ScopeSight,
        cut: u32,
        asked: &Asked<'_, impl Fn(&Bounds) -> Judged>,
    ) -> Result<()> {
        let sorted = sorted(asked.terms);
        let sql = format!(
            "SELECT {OUTLINE}, terms, run FROM doc
             WHERE scope = ?1 AND nth >= ?2 AND seq < ?3 AND run IS NOT NULL ORDER BY nth"
        );
        let mut select = tx.prepare_cached(&sql)?;
        let mut rows = select.query(params![scope, cut, number(sight.end)])?;
        let mut in_blocks = Vec::new();
        while let Some(row) = rows.next()? {
            if !sight.runs.contains(&row.get(8)?) {
                continue;
            }
            let outline = Outline::of(row)?;
            self.put(&outline, asked)?;
            if row.get_ref(7)? == ValueRef::Null {
                in_blocks.push(outline.nth);
                continue;
            }
            // Those that are in no block come last.
            self.put_blocks(tx, scope, &std::mem::take(&mut in_blocks), asked.terms)?;
            self.put_terms(row, &sorted)?;
        }
        self.put_blocks(tx, scope, &in_blocks, asked.terms)
    }

    /// Takes where the terms are in documents that are in blocks.
    fn put_blocks(&mut self, tx: &Transaction<'_>, scope: i64, nths: &[u32], terms: &[String]) -> Result<()> {
        let (Some(least), Some(greatest)) = (nths.first(), nths.last()) else {
            return Ok(());
        };
        let mut select = tx.prepare_cached(
            "SELECT first FROM block WHERE scope = ?1 AND first + size > ?2 AND first <= ?3 ORDER BY first",
        )?;
        let firsts = select.query_map(params![scope, least, greatest], |row| row.get(0))?;
        for first in firsts {
            let first = first?;
            for (term, into) in terms.iter().zip(&mut self.places) {
                pages::find(tx, scope, first, term.as_bytes(), |_, packed| {
                    push_if(into, first, packed, |nth| nths.binary_search(&nth).is_ok())
                })?;
            }
        }
        Ok(())
    }

    /// Takes a document.
    fn put(&mut self, outline: &Outline, asked: &Asked<'_, impl Fn(&Bounds) -> Judged>) -> Result<()> {
        let at = outline.nth as usize;
        if at < self.shapes.len() {
            return Err(Cause::Damaged("the documents of a scope are out of order".into()));
        }
        let goes_on = self.last.is_some_and(|last| last.leads_to(&outline.turn));
        self.shapes.resize(at, Shape::NONE);
        self.shapes.push(outline.shape.going_on(goes_on));
        self.last = Some(outline.turn);
        let judged = (asked.judge)(&outline.bounds);
        if judged != Judged::Fits {
            self.judged.resize(at, Judged::Fits);
            self.judged.push(judged);
        }
        Ok(())
    }

    /// Takes what the terms of a row say of the document that was put last; `sorted` are those that are asked for, each
    /// with its place among them.
    fn put_terms(&mut self, row: &Row<'_>, sorted: &[(&[u8], usize)]) -> Result<()> {
        let nth = row.get(0)?;
        // Both are sorted: one pass finds all.
        let mut left = sorted.iter().peekable();
        for found in terms(row.get_ref(7)?.as_blob()?) {
            let (found, times) = found?;
            while left.next_if(|(term, _)| *term < found).is_some() {}
            while let Some((_, at)) = left.next_if(|(term, _)| *term == found) {
                if let Some(places) = self.places.get_mut(*at) {
                    places.push(Place { nth, times });
                }
            }
            if left.peek().is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// Terms in order, each with its place.
fn sorted(all: &[String]) -> Vec<(&[u8], usize)> {
    let mut sorted: Vec<_> = all.iter().enumerate().map(|(at, term)| (term.as_bytes(), at)).collect();
    sorted.sort_unstable();
    sorted
}

/// Adds those of a list that are `wanted`.
fn push_if(into: &mut Places, first: u32, packed: &[u8], wanted: impl Fn(u32) -> bool) -> Result<()> {
    for place in places(packed, first) {
        let place = place?;
        if wanted(place.nth) {
            into.push(place);
        }
    }
    Ok(())
}

/// The `nth` that a scope's first entry at or past `head` has, or one of those before it that are no documents.
fn cut(tx: &Transaction<'_>, scope: i64, head: u64) -> Result<u32> {
    let mut select = tx.prepare_cached("SELECT nth, seq FROM doc WHERE scope = ?1 ORDER BY nth DESC LIMIT 1")?;
    let last = select.query_row([scope], |row| Ok((row.get::<_, u32>(0)?, row.get(1)?)));
    let Some((last, seq)) = last.optional()? else {
        return Ok(0);
    };
    let (mut low, mut high) = (0, last.saturating_add(1));
    if position(seq)? < head {
        return Ok(high);
    }
    let mut select =
        tx.prepare_cached("SELECT nth, seq FROM doc WHERE scope = ?1 AND nth >= ?2 ORDER BY nth LIMIT 1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        let next = select.query_row(params![scope, middle], |row| Ok((row.get::<_, u32>(0)?, row.get(1)?)));
        match next.optional()? {
            Some((nth, seq)) if position(seq)? < head => low = nth.saturating_add(1),
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The turn in two columns of a row of `block`.
fn turn(row: &Row<'_>, column: usize) -> Result<Option<Turn>> {
    let thread: Option<u32> = row.get(column)?;
    let time_ms: Option<i64> = row.get(column + 1)?;
    match (thread, time_ms) {
        (Some(thread), Some(time_ms)) => Ok(Some(Turn {
            thread,
            time_ms: position(time_ms)?,
        })),
        _ => Ok(None),
    }
}

/// The turn of a block's last document before `cut`.
fn turn_of_last(
    tx: &Transaction<'_>,
    scope: i64,
    row: &Row<'_>,
    first: u32,
    size: u32,
    cut: u32,
) -> Result<Option<Turn>> {
    if first.saturating_add(size) <= cut {
        return turn(row, 4);
    }
    let sql = format!("SELECT {OUTLINE} FROM doc WHERE scope = ?1 AND nth < ?2 ORDER BY nth DESC LIMIT 1");
    let mut select = tx.prepare_cached(&sql)?;
    let mut rows = select.query(params![scope, cut])?;
    rows.next()?.map(|row| Ok(Outline::of(row)?.turn)).transpose()
}
