//! What documents mean, by the operator's word vectors: tables that are there where such a file is. They are made with all
//! others and thrown away with them, when the file becomes another one.
//!
//! `vectors` has the SHA-256 of the file, `meaning` of 64 documents of a scope a number of 8 bits for each dimension, all
//! zeros where a document means nothing, is erased, or is not there. A row of zeros alone is not there.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Transaction, params};

use crate::{
    blocks::Fresh,
    error::{Cause, Result},
    limits,
    packing::Shape,
    vectors::{Meaning, Vectors},
};

/// Documents of a row.
const ROW: u32 = 64;

/// The tables, where they are not there.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS vectors (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), sha256 BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS meaning (
    scope INTEGER NOT NULL, part INTEGER NOT NULL, numbers BLOB NOT NULL, PRIMARY KEY (scope, part)
) STRICT;
";

/// The rows of each, in their order.
pub(crate) const ROWS: [(&str, &str); 2] = [
    ("vectors", "SELECT * FROM vectors"),
    ("meaning", "SELECT * FROM meaning ORDER BY scope, part"),
];

/// Makes the tables ready for what is folded by a table of words.
pub(crate) fn prepare(tx: &Transaction<'_>, vectors: &Vectors) -> Result<()> {
    tx.execute_batch(TABLES)?;
    tx.prepare_cached("INSERT OR IGNORE INTO vectors VALUES (1, ?1)")?
        .execute([vectors.sha256.as_bytes()])?;
    Ok(())
}

/// Keeps what new documents of a scope mean.
pub(crate) fn keep(tx: &Transaction<'_>, scope: i64, fresh: &[Fresh]) -> Result<()> {
    let mut parts = BTreeMap::<u32, Vec<(u32, &Meaning)>>::new();
    for Fresh { nth, document, .. } in fresh {
        if let Some(meaning) = &document.meaning {
            parts.entry(nth / ROW).or_default().push((nth % ROW, meaning));
        }
    }
    for (part, of) in parts {
        let mut numbers = row(tx, scope, part)?.unwrap_or_default();
        for (at, meaning) in of {
            let size = meaning.bytes().len();
            numbers.resize(size * ROW as usize, 0);
            let place = numbers.iter_mut().skip(at as usize * size);
            place.zip(meaning.bytes()).for_each(|(place, byte)| *place = byte);
        }
        tx.prepare_cached("INSERT INTO meaning VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET numbers = ?3")?
            .execute(params![scope, part, numbers])?;
    }
    Ok(())
}

/// Forgets what the documents of a stretch of a scope mean.
pub(crate) fn forget(tx: &Transaction<'_>, scope: i64, [first, last]: [u32; 2]) -> Result<()> {
    let mut select = tx.prepare_cached("SELECT part FROM meaning WHERE scope = ?1 AND part BETWEEN ?2 AND ?3")?;
    let parts = select.query_map(params![scope, first / ROW, last / ROW], |row| row.get(0))?;
    for part in parts.collect::<rusqlite::Result<Vec<u32>>>()? {
        let mut numbers = row(tx, scope, part)?.unwrap_or_default();
        let size = (numbers.len() / ROW as usize).max(1);
        let forgotten = |nth: u64| (u64::from(first)..=u64::from(last)).contains(&nth);
        let start = u64::from(part) * u64::from(ROW);
        for (nth, of) in (start..).zip(numbers.chunks_mut(size)) {
            if forgotten(nth) {
                of.fill(0);
            }
        }
        if numbers.iter().any(|number| *number != 0) {
            tx.prepare_cached("UPDATE meaning SET numbers = ?3 WHERE scope = ?1 AND part = ?2")?
                .execute(params![scope, part, numbers])?;
        } else {
            tx.prepare_cached("DELETE FROM meaning WHERE scope = ?1 AND part = ?2")?
                .execute(params![scope, part])?;
        }
    }
    Ok(())
}

fn row(tx: &Transaction<'_>, scope: i64, part: u32) -> Result<Option<Vec<u8>>> {
    let mut select = tx.prepare_cached("SELECT numbers FROM meaning WHERE scope = ?1 AND part = ?2")?;
    Ok(select.query_row(params![scope, part], |row| row.get(0)).optional()?)
}

/// How alike to a question the documents of a scope mean, by `nth`: of the last of those that are shown, as many as the
/// limit says; the others and those that are not shown are not alike.
pub(crate) fn likenesses(tx: &Transaction<'_>, scope: i64, shown: &[Shape], question: &Meaning) -> Result<Vec<f64>> {
    likenesses_of(tx, scope, shown, question, limits::MEANING_DOCUMENTS)
}

fn likenesses_of(
    tx: &Transaction<'_>,
    scope: i64,
    shown: &[Shape],
    question: &Meaning,
    most: usize,
) -> Result<Vec<f64>> {
    let mut alike = vec![0.0; shown.len()];
    let Some(last) = shown.len().checked_sub(1) else {
        return Ok(alike);
    };
    let (size, row) = (question.bytes().len(), ROW as usize);
    let mut select = tx.prepare_cached(
        "SELECT part, numbers FROM meaning WHERE scope = ?1 AND part BETWEEN ?2 AND ?3 ORDER BY part DESC",
    )?;
    let first = shown.len().saturating_sub(most);
    let mut rows = select.query(params![scope, (first / row) as i64, (last / row) as i64])?;
    while let Some(of) = rows.next()? {
        let start = of.get::<_, u32>(0)? as usize * row;
        let numbers = of.get_ref(1)?.as_blob()?;
        if numbers.len() != size * row {
            return Err(Cause::Damaged("what documents mean has another length".into()));
        }
        let places = alike.iter_mut().zip(shown).enumerate().skip(start).take(row);
        for ((nth, (alike, shape)), other) in places.zip(numbers.chunks_exact(size)) {
            if nth >= first && shape.is_document() {
                *alike = question.likeness(other);
            }
        }
    }
    Ok(alike)
}

#[cfg(test)]
mod tests {
    use quipu_format::Timestamp;
    use rusqlite::Connection;

    use super::*;
    use crate::document::Document;

    #[test]
    fn only_so_many_of_the_newest_are_looked_at_and_none_that_is_not_shown() {
        let vectors = Vectors::read(&b"car 1 0\nbus 0 1\n"[..], 99).unwrap();
        let (car, bus) = (vectors.of("car").unwrap(), vectors.of("bus").unwrap());
        let fresh = |nth: u32| Fresh {
            nth,
            seq: nth.into(),
            run: None,
            document: Document {
                time: Timestamp::FIRST,
                expires: None,
                confidence: None,
                thread: 0,
                asks: false,
                length: 1,
                terms: Vec::new(),
                meaning: Some(if nth.is_multiple_of(2) {
                    car.clone()
                } else {
                    bus.clone()
                }),
            },
        };
        let mut db = Connection::open_in_memory().unwrap();
        let tx = db.transaction().unwrap();
        prepare(&tx, &vectors).unwrap();
        for some in [0..70, 70..71, 71..200] {
            keep(&tx, 1, &some.map(fresh).collect::<Vec<_>>()).unwrap();
        }
        keep(&tx, 2, &[fresh(3)]).unwrap();
        forget(&tx, 1, [180, 182]).unwrap();
        forget(&tx, 2, [0, u32::MAX]).unwrap();
        let mut shown = vec![Shape::new(1, false); 195];
        shown[120] = Shape::NONE;
        let alike = |most| {
            let all = likenesses_of(&tx, 1, &shown, &car, most).unwrap();
            let alike = all.iter().enumerate().filter(|(_, alike)| **alike > 0.0);
            alike.map(|(nth, _)| nth).collect::<Vec<_>>()
        };
        let expected = |first| (first..195).filter(|nth| nth % 2 == 0 && ![120, 180, 182].contains(nth));
        assert_eq!(alike(usize::MAX), expected(0).collect::<Vec<_>>());
        assert_eq!(alike(100), expected(95).collect::<Vec<_>>());
        assert!(alike(0).is_empty());
        let left: i64 = tx
            .query_row("SELECT count(*) FROM meaning WHERE scope = 2", [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 0, "what is all zeros is not there");
        let longer = Vectors::read(&b"car 1 0 0\n"[..], 99).unwrap().of("car").unwrap();
        assert!(likenesses(&tx, 1, &shown, &longer).is_err_and(|error| error.is_damage()));
    }
}
