//! Who sees what.

use std::collections::HashMap;

use quipu_format::{Envelope, RunId, Scope};
use rusqlite::{OptionalExtension, Transaction};

use crate::error::Result;

/// The part of a ledger that an answer may rest on.
#[derive(Debug, Clone)]
pub enum View {
    /// Every scope: for the operator alone, never for a guest.
    Everything {
        /// Entries at or past it are not seen.
        head: u64,
    },
    /// What these handles show, taken together.
    Handles(Vec<Handle>),
}

/// Sight of one scope: its entries below `head`, and all that `run` appended there.
#[derive(Debug, Clone)]
pub struct Handle {
    /// The scope.
    pub scope: Scope,
    /// Entries of others at or past it are not seen.
    pub head: u64,
    /// The run that holds the handle.
    pub run: Option<RunId>,
}

impl View {
    /// Below it, the view shows all that it ever will of its scopes.
    pub(crate) fn head(&self) -> u64 {
        match self {
            Self::Everything { head } => *head,
            Self::Handles(handles) => handles.iter().map(|handle| handle.head).min().unwrap_or(0),
        }
    }

    /// Whether an entry that was read from the log may be shown.
    pub(crate) fn sees(&self, entry: &Envelope) -> bool {
        match self {
            Self::Everything { head } => entry.seq < *head,
            Self::Handles(handles) => handles.iter().any(|handle| {
                handle.scope == entry.scope
                    && (entry.seq < handle.head || (handle.run.is_some() && handle.run == entry.run))
            }),
        }
    }

    /// The view in the projection's own terms, without what is at or past `end`.
    pub(crate) fn sight(&self, tx: &Transaction<'_>, end: u64) -> Result<Sight> {
        let mut scopes = HashMap::<i64, ScopeSight>::new();
        match self {
            Self::Everything { head } => {
                let mut select = tx.prepare_cached("SELECT id FROM scope")?;
                for id in select.query_map([], |row| row.get(0))? {
                    scopes.insert(
                        id?,
                        ScopeSight {
                            head: (*head).min(end),
                            end,
                            runs: Vec::new(),
                        },
                    );
                }
            }
            Self::Handles(handles) => {
                for handle in handles {
                    let mut select = tx.prepare_cached("SELECT id FROM scope WHERE name = ?1")?;
                    let id = select.query_row([handle.scope.as_str()], |row| row.get(0)).optional()?;
                    // A scope without entries shows what one that does not exist shows.
                    let Some(id) = id else { continue };
                    let scope = scopes.entry(id).or_insert(ScopeSight {
                        head: 0,
                        end,
                        runs: Vec::new(),
                    });
                    scope.head = scope.head.max(handle.head.min(end));
                    scope.runs.extend(
                        handle
                            .run
                            .map(|run| run.0.to_bytes())
                            .filter(|run| !scope.runs.contains(run)),
                    );
                }
            }
        }
        for scope in scopes.values_mut().filter(|scope| scope.runs.is_empty()) {
            scope.end = scope.head;
        }
        Ok(Sight(scopes))
    }
}

/// What a view shows of each scope, by the scope's number in the projection.
pub(crate) struct Sight(HashMap<i64, ScopeSight>);

/// What a view shows of one scope: `seq` below `head`, and what `runs` appended below `end`.
pub(crate) struct ScopeSight {
    pub(crate) head: u64,
    pub(crate) end: u64,
    pub(crate) runs: Vec<[u8; 16]>,
}

impl Sight {
    /// The scopes, in the order in which they came into the ledger.
    pub(crate) fn scopes(&self) -> Vec<(i64, &ScopeSight)> {
        let mut scopes: Vec<_> = self.0.iter().map(|(&id, scope)| (id, scope)).collect();
        scopes.sort_by_key(|(id, _)| *id);
        scopes
    }

    /// All of a scope's entries below it are shown.
    pub(crate) fn head(&self, scope: i64) -> u64 {
        self.0.get(&scope).map_or(0, |scope| scope.head)
    }

    /// Whether it shows the entry at `seq`, of this scope and run.
    pub(crate) fn sees(&self, scope: i64, seq: u64, run: Option<&[u8; 16]>) -> bool {
        self.0.get(&scope).is_some_and(|scope| {
            seq < scope.head || (seq < scope.end && run.is_some_and(|run| scope.runs.contains(run)))
        })
    }
}
