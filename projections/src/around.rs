//! The turns right before and after one.

use rusqlite::{Transaction, params};

use crate::{
    error::Result,
    packing::Bounds,
    schema::{OUTLINE, Outline, position},
    view::Sight,
};

/// Entries that are looked at on each side for one that is in sight.
const NEAR: u32 = 16;

/// The `seq` of the turn before a document in its conversation and of the one after it, those that are in sight and pass.
pub(crate) fn seqs(
    tx: &Transaction<'_>,
    sight: &Sight,
    scope: i64,
    nth: u32,
    passes: impl Fn(&Bounds) -> bool,
) -> Result<Vec<u64>> {
    let sides = [
        (
            "SELECT {}, seq, run FROM doc WHERE scope = ?1 AND nth < ?2 ORDER BY nth DESC LIMIT ?3",
            true,
        ),
        (
            "SELECT {}, seq, run FROM doc WHERE scope = ?1 AND nth > ?2 ORDER BY nth LIMIT ?3",
            false,
        ),
    ];
    let sql = format!("SELECT {OUTLINE} FROM doc WHERE scope = ?1 AND nth = ?2");
    let here = tx
        .prepare_cached(&sql)?
        .query_row(params![scope, nth], |row| Ok(Outline::of(row)))??;
    let mut seqs = Vec::new();
    for (sql, is_before) in sides {
        let mut select = tx.prepare_cached(&sql.replace("{}", OUTLINE))?;
        let mut rows = select.query(params![scope, nth, NEAR])?;
        while let Some(row) = rows.next()? {
            let (outline, seq) = (Outline::of(row)?, position(row.get(7)?)?);
            if !sight.sees(scope, seq, row.get::<_, Option<[u8; 16]>>(8)?.as_ref()) {
                continue;
            }
            let (earlier, later) = if is_before { (outline, here) } else { (here, outline) };
            if earlier.turn.leads_to(&later.turn) && passes(&outline.bounds) {
                seqs.push(seq);
            }
            break;
        }
    }
    Ok(seqs)
}
