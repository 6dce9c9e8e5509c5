//! States of projection components, as they were last kept: what spares folding the log from its beginning.
//!
//! A state may hold anything that its component was fed, so each erasure that is folded drops them all; the components
//! are then fed again, without what was erased.

use quipu_format::{Hash, ProjectionName};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::{
    Error, Projections,
    error::{Cause, Result},
    schema::{self, number, position},
};

/// A projection component's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// SHA-256 of the component that gave it.
    pub component: Hash,
    /// The entry that says which events the component is fed: its `seq`.
    pub setting: u64,
    /// Entries below it are in it.
    pub as_of: u64,
    /// What it gave.
    pub state: Vec<u8>,
}

impl Projections {
    /// What was kept of the projection component of that name, if anything.
    pub fn snapshot(&self, name: &ProjectionName) -> std::result::Result<Option<Snapshot>, Error> {
        Ok(self.answer(|tx| match self.reached(tx)? {
            Some(_) => load(tx, name),
            None => Ok(None),
        })?)
    }

    /// The `seq` behind the last erasure that has been folded, 0 if there is none: to be asked before a component is fed.
    pub fn erasures(&self) -> std::result::Result<u64, Error> {
        Ok(self.answer(|tx| schema::meta(tx).map(|meta| meta.map_or(0, |meta| meta.erasures)))?)
    }

    /// Whether all erasures that have been folded are carried out. For a moment one may be in the log, and what it covers
    /// still be read: what a component is fed then is not to be kept, or told.
    pub fn is_all_erased(&self) -> std::result::Result<bool, Error> {
        let folded = self.erasures()?;
        Ok(self.ledger.erased_below().map_err(Cause::from)? >= folded)
    }

    /// Keeps a state, in place of the one that was there. False: what it holds may have been erased since
    /// [`erasures`](Self::erasures) said so, or is to be, or it is ahead of what is folded; nothing was kept.
    pub fn keep_snapshot(
        &self,
        name: &ProjectionName,
        snapshot: &Snapshot,
        erasures: u64,
    ) -> std::result::Result<bool, Error> {
        Ok(self.store.write(|tx| {
            let folded = self.reached(tx)?;
            let same = schema::meta(tx)?.is_some_and(|meta| meta.erasures == erasures);
            let carried_out = self.ledger.erased_below()? >= erasures;
            if !same || !carried_out || folded.is_none_or(|folded| folded < snapshot.as_of) {
                return Ok(false);
            }
            tx.prepare_cached("INSERT OR REPLACE INTO snapshot VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![
                    name.as_str(),
                    snapshot.component.as_bytes(),
                    number(snapshot.setting),
                    number(snapshot.as_of),
                    snapshot.state
                ])?;
            Ok(true)
        })?)
    }

    /// Drops what was kept of that name.
    pub fn drop_snapshot(&self, name: &ProjectionName) -> std::result::Result<(), Error> {
        Ok(self.store.write(|tx| {
            tx.execute("DELETE FROM snapshot WHERE name = ?1", [name.as_str()])?;
            Ok(())
        })?)
    }
}

fn load(tx: &Transaction<'_>, name: &ProjectionName) -> Result<Option<Snapshot>> {
    let mut select = tx.prepare_cached("SELECT component, setting, as_of, state FROM snapshot WHERE name = ?1")?;
    let found = select
        .query_row([name.as_str()], |row| {
            Ok((
                row.get::<_, [u8; 32]>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, i64>(2)?,
                row.get(3)?,
            ))
        })
        .optional()?;
    let Some((component, setting, as_of, state)) = found else {
        return Ok(None);
    };
    Ok(Some(Snapshot {
        component: Hash(component),
        setting: position(setting)?,
        as_of: position(as_of)?,
        state,
    }))
}

/// Drops all states, for they may hold what the erasure at `seq` erases, which is folded now.
pub(crate) fn forget(tx: &Transaction<'_>, seq: u64) -> Result<()> {
    tx.execute("DELETE FROM snapshot", [])?;
    tx.execute("UPDATE meta SET erasures = ?1", [number(seq + 1)])?;
    Ok(())
}
