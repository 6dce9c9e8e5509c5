//! Group `peers`: quipu and what else one would take, on one disk, round by round.
//!
//! Each peer keeps a payload under the next number and nothing else: no chain, no seal, no scope. Each is measured
//! plainly, where a writer commits its own payload, and behind one thread that commits all payloads that wait
//! ([`group_commit`]), which is what a careful user writes.

mod fjall;
mod group_commit;
mod redb;
mod report;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sqlite;

use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
};

use crate::{
    Result,
    closed_loop::{self, Measured},
    figure::Figure,
    quipu::{self, Api},
    raw,
    settings::Settings,
};
use group_commit::GroupCommit;

/// A store in a folder, with the options that make it durable.
trait Store: Send + Sync + Sized + 'static {
    /// Makes it, or opens it again.
    fn open(folder: &Path) -> Result<Self>;

    /// Keeps the payloads under the next numbers, all or none; returns when they are durable.
    fn commit(&self, payloads: &[String]) -> Result<()>;

    /// How many payloads it holds.
    fn count(&self) -> Result<u64>;
}

/// Whoever is measured.
struct Contestant {
    name: &'static str,
    role: Role,
    measure: Measure,
}

/// Measures with so many writers.
type Measure = fn(&Settings, usize) -> Result<Measured>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// What the disk gives.
    Limit,
    Quipu,
    Peer,
}

/// What was measured of one contestant with so many writers: one element a round.
struct Row {
    contestant: Contestant,
    rounds: Vec<Measured>,
}

fn contestants(settings: &Settings) -> Result<Vec<Contestant>> {
    use Role::{Limit, Peer, Quipu};
    let all: &[(&'static str, Role, Measure)] = &[
        ("limit", Limit, raw::measure),
        ("quipu-async", Quipu, |s, n| Ok(quipu::measure(s, Api::Async, n)?.0)),
        ("quipu-blocking", Quipu, |s, n| {
            Ok(quipu::measure(s, Api::Blocking, n)?.0)
        }),
        ("quipu-guest", Quipu, |s, n| Ok(quipu::measure(s, Api::Guest, n)?.0)),
        ("sqlite", Peer, plainly::<sqlite::Sqlite>),
        ("sqlite-grouped", Peer, grouped::<sqlite::Sqlite>),
        ("redb", Peer, plainly::<redb::Redb>),
        ("redb-grouped", Peer, grouped::<redb::Redb>),
        ("fjall", Peer, plainly::<fjall::Fjall>),
        ("fjall-grouped", Peer, grouped::<fjall::Fjall>),
        #[cfg(feature = "rocksdb")]
        ("rocksdb", Peer, plainly::<rocksdb::RocksDb>),
        #[cfg(feature = "rocksdb")]
        ("rocksdb-grouped", Peer, grouped::<rocksdb::RocksDb>),
    ];
    let named = |name: &str| all.iter().any(|(contestant, ..)| *contestant == name);
    if let Some(unknown) = settings.only.iter().flatten().find(|name| !named(name)) {
        return Err(format!("--only {unknown}: there is no such contestant").into());
    }
    let is_wanted = |name: &str| settings.only.as_ref().is_none_or(|only| only.iter().any(|o| o == name));
    Ok(all
        .iter()
        .filter(|(name, ..)| is_wanted(name))
        .map(|&(name, role, measure)| Contestant { name, role, measure })
        .collect())
}

/// Measures all contestants in each round, so that a change of the disk meets all of them.
pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>> {
    if !cfg!(feature = "rocksdb") {
        println!(
            "\npeers: RocksDB is left out; `cargo xtask bench --rocksdb` takes it in, where the system has librocksdb"
        );
    }
    let rounds = settings.repetitions.unwrap_or(7);
    let mut figures = Vec::new();
    for &writers in &settings.writers {
        let mut rows: Vec<Row> = contestants(settings)?
            .into_iter()
            .map(|contestant| Row {
                contestant,
                rounds: Vec::new(),
            })
            .collect();
        for round in 1..=rounds {
            eprintln!("peers: {writers} writers, round {round} of {rounds}");
            // Nobody is always the first.
            rows.rotate_left(1);
            for row in &mut rows {
                let name = row.contestant.name;
                let measured = (row.contestant.measure)(settings, writers)
                    .and_then(|measured| check_flushes(writers, measured))
                    .map_err(|e| format!("{name}, {writers} writers: {e}"))?;
                row.rounds.push(measured);
                // What was removed is written now, and not while the next one is measured.
                File::open(&settings.folder)?.sync_all()?;
            }
        }
        let turned = rounds % rows.len();
        rows.rotate_right(turned);
        report::print(writers, &rows);
        figures.extend(report::figures(writers, &rows, settings));
    }
    Ok(figures)
}

/// So many writers have so many payloads outstanding, so one flush of the disk's cache makes no more of them durable.
/// Fewer flushes than that: somebody acknowledged what was not on the disk.
fn check_flushes(writers: usize, measured: Measured) -> Result<Measured> {
    match measured.load.flushes {
        // The window's ends are not the counter's ends, so some more is allowed.
        Some(flushes) if (flushes * 1.05 + 5.0) * (writers as f64) < measured.rate => Err(format!(
            "{:.0} payloads a second with {flushes:.0} flushes of the disk: they were not durable",
            measured.rate
        )
        .into()),
        _ => Ok(measured),
    }
}

/// One thread a writer, each commit one payload.
fn plainly<S: Store>(settings: &Settings, writers: usize) -> Result<Measured> {
    with_store(settings, |store: Arc<S>| {
        let append = |_| {
            let store = store.clone();
            move |payload: String| store.commit(&[payload])
        };
        closed_loop::threads(settings, (0..writers).map(append).collect())
    })
}

/// One task a writer, and one thread that commits.
fn grouped<S: Store>(settings: &Settings, writers: usize) -> Result<Measured> {
    with_store(settings, |store: Arc<S>| {
        let group = Arc::new(GroupCommit::start(store));
        let append = |_| {
            let group = group.clone();
            move |payload: String| {
                let group = group.clone();
                async move { group.append(payload).await }
            }
        };
        let measured = closed_loop::tasks(settings, (0..writers).map(append).collect());
        group.finish()?;
        measured
    })
}

/// Measures on a new store, and looks whether what was acknowledged is there when it is opened again.
fn with_store<S: Store>(settings: &Settings, measure: impl FnOnce(Arc<S>) -> Result<Measured>) -> Result<Measured> {
    let folder = settings.folder.join("peer");
    fs::create_dir(&folder)?;
    let measured = measure(Arc::new(S::open(&folder)?))?;
    let there = S::open(&folder)?.count()?;
    if there < measured.payloads as u64 {
        return Err(format!(
            "{} payloads were acknowledged, and {there} are there",
            measured.payloads
        )
        .into());
    }
    fs::remove_dir_all(folder)?;
    Ok(measured)
}
