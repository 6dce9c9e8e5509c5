//! What the tables hold of one scope, as far as a view shows it.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::{
    error::{Cause, Result},
    packing::{Bounds, Place, Shape, bounds, places, shapes, terms},
    schema::{OUTLINE, Outline, Turn, number, position},
    view::ScopeSight,
};

/// The documents of a scope that a view shows, and where the terms of a question are in them. What the view does not
/// show is not here, so that nothing that is counted here can tell of it.
pub(crate) struct Shelf {
    /// By `nth`; [`Shape::NONE`] where there is no document, or the view does not show it.
    pub(crate) shapes: Vec<Shape>,
    /// For each term, in the order in which they were asked for, by rising `nth`.
    pub(crate) places: Vec<Vec<Place>>,
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
            places: vec![Vec::new(); asked.terms.len()],
            judged: Vec::new(),
            last: None,
        };
        // `nth` rises with `seq`, so that what the view shows to all is what comes before one of them.
        let cut = cut(tx, scope, sight.head)?;
        let firsts = shelf.load_blocks(tx, scope, cut, asked)?;
        for (term, into) in asked.terms.iter().zip(&mut shelf.places) {
            load_places(tx, scope, term, &firsts, cut, into)?;
        }
        shelf.load_rest(tx, scope, sight, cut, asked)?;
        Ok(shelf)
    }

    /// Takes the blocks of documents before `cut`, and returns where they begin.
    fn load_blocks(
        &mut self,
        tx: &Transaction<'_>,
        scope: i64,
        cut: u32,
        asked: &Asked<'_, impl Fn(&Bounds) -> Judged>,
    ) -> Result<Vec<u32>> {
        let mut select = tx.prepare_cached(
            "SELECT first, size, first_thread, first_ms, last_thread, last_ms, expires_ms, shapes, bounds FROM block
             WHERE scope = ?1 AND first < ?2 ORDER BY first",
        )?;
        let mut rows = select.query(params![scope, cut])?;
        let mut firsts = Vec::new();
        while let Some(row) = rows.next()? {
            let (first, size): (u32, u32) = (row.get(0)?, row.get(1)?);
            let start = self.shapes.len();
            if first as usize != start {
                return Err(Cause::Damaged("the blocks of a scope are out of order".into()));
            }
            firsts.push(first);
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
        Ok(firsts)
    }

    /// Takes the documents after the last block, and those past the cut that runs of the view appended themselves.
    fn load_rest(
        &mut self,
        tx: &Transaction<'_>,
        scope: i64,
        sight: &ScopeSight,
        cut: u32,
        asked: &Asked<'_, impl Fn(&Bounds) -> Judged>,
    ) -> Result<()> {
        let mut sorted: Vec<_> = asked
            .terms
            .iter()
            .enumerate()
            .map(|(at, term)| (term.as_bytes(), at))
            .collect();
        sorted.sort_unstable();
        let sql = format!("SELECT {OUTLINE}, terms FROM doc WHERE scope = ?1 AND nth >= ?2 AND nth < ?3 ORDER BY nth");
        let mut select = tx.prepare_cached(&sql)?;
        let mut rows = select.query(params![scope, self.shapes.len() as i64, cut])?;
        while let Some(row) = rows.next()? {
            self.put(row, &sorted, asked)?;
        }
        if !sight.runs.is_empty() && sight.head < sight.end {
            let sql = format!(
                "SELECT {OUTLINE}, terms, run FROM doc
                 WHERE scope = ?1 AND nth >= ?2 AND seq < ?3 AND run IS NOT NULL ORDER BY nth"
            );
            let mut select = tx.prepare_cached(&sql)?;
            let mut rows = select.query(params![scope, cut, number(sight.end)])?;
            while let Some(row) = rows.next()? {
                if sight.runs.contains(&row.get(8)?) {
                    self.put(row, &sorted, asked)?;
                }
            }
        }
        Ok(())
    }

    /// Takes a document from its row; `sorted` are the terms, each with its place among those that were asked for.
    fn put(
        &mut self,
        row: &Row<'_>,
        sorted: &[(&[u8], usize)],
        asked: &Asked<'_, impl Fn(&Bounds) -> Judged>,
    ) -> Result<()> {
        let outline = Outline::of(row)?;
        let at = outline.nth as usize;
        if at < self.shapes.len() {
            return Err(Cause::Damaged("the documents of a scope are out of order".into()));
        }
        // Both are sorted: one pass finds all.
        let mut left = sorted.iter().peekable();
        for found in terms(row.get_ref(7)?.as_blob()?) {
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
            if left.peek().is_none() {
                break;
            }
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

/// The places of a term before `cut`, in the blocks that begin with `firsts`.
fn load_places(
    tx: &Transaction<'_>,
    scope: i64,
    term: &str,
    firsts: &[u32],
    cut: u32,
    into: &mut Vec<Place>,
) -> Result<()> {
    let sql = "SELECT places FROM posting WHERE scope = ?1 AND first = ?2 AND term = ?3 ORDER BY part";
    let mut select = tx.prepare_cached(sql)?;
    let mut blob = Vec::new();
    for &first in firsts {
        blob.clear();
        let mut rows = select.query(params![scope, first, term.as_bytes()])?;
        while let Some(row) = rows.next()? {
            blob.extend_from_slice(row.get_ref(0)?.as_blob()?);
        }
        for place in places(&blob, first) {
            let place = place?;
            if place.nth >= cut {
                break;
            }
            into.push(place);
        }
    }
    Ok(())
}
