//! Makes the large ledger, or takes the one that is there.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use quipu_format::Body;
use quipu_log::Ledger;
use serde_json::{Value, json};

use super::{TEXT_BYTES, files};
use crate::{Result, ledger, ledger::Writer, payload::payload, settings::Settings};

/// What is on the disk.
pub(super) struct Built {
    pub(super) path: PathBuf,
    /// Entries of the ledger, at least those that were asked for.
    pub(super) events: u64,
    /// Events a second at which it was built. None: it was there.
    pub(super) rate: Option<f64>,
}

/// Beside the ledger, once it is whole: what it was made of.
const MADE_OF: &str = "made-of.json";

/// More than an event takes on the disk, whatever the ledger keeps beside its line.
const ROOM_PER_EVENT: u64 = 1_300;
const ROOM: u64 = 1 << 30;

/// Drafts in one append, and tasks that append.
const BATCH: usize = 1_000;
const TASKS: usize = 4;

pub(super) fn ledger(settings: &Settings) -> Result<Built> {
    let made_of = json!({ "events": settings.events, "scopes": settings.scopes, "text_bytes": TEXT_BYTES });
    let (path, mark) = (settings.folder.join("ledger"), settings.folder.join(MADE_OF));
    if path.exists() {
        let folder = settings.folder.display();
        let Ok(there) = fs::read(&mark) else {
            return Err(format!("the ledger in {folder} was not written to its end: remove it first").into());
        };
        let there: Value = serde_json::from_slice(&there)?;
        if there != made_of {
            return Err(format!("the ledger in {folder} is made of {there}, not of {made_of}: remove it first").into());
        }
        let events = Ledger::open_read_only(&path)?.head();
        Ok(Built {
            path,
            events,
            rate: None,
        })
    } else {
        check_room(settings)?;
        eprintln!("large: writing {} events", settings.events);
        let (ledger, _) = ledger::create(&settings.folder)?;
        let begin = Instant::now();
        fill(&ledger, settings.events, settings.scopes)?;
        let rate = Some(settings.events as f64 / begin.elapsed().as_secs_f64());
        let events = ledger.reader().head();
        ledger.close()?;
        fs::write(mark, made_of.to_string())?;
        Ok(Built { path, events, rate })
    }
}

/// Bytes of a body's plaintext.
pub(super) fn plaintext_bytes() -> Result<usize> {
    Ok(Body::new(None, &payload(0, TEXT_BYTES))?.to_bytes()?.len())
}

fn check_room(settings: &Settings) -> Result<()> {
    let needed = ROOM + settings.events as u64 * ROOM_PER_EVENT;
    let free = files::free_bytes(&settings.folder)?;
    let gb = |bytes: u64| bytes as f64 / 1e9;
    if free < needed {
        return Err(format!(
            "{} events need up to {:.1} GB in {}, and {:.1} GB are free there: choose another --folder, or fewer \
             --events",
            settings.events,
            gb(needed),
            settings.folder.display(),
            gb(free)
        )
        .into());
    }
    eprintln!(
        "large: it needs up to {:.1} GB; {:.1} GB are free",
        gb(needed),
        gb(free)
    );
    Ok(())
}

/// The scopes take turns, as where many agents write: a scope's entries are spread over the whole log.
fn fill(ledger: &Ledger, events: usize, scopes: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let next = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (ledger, next) = (ledger.clone(), next.clone());
            runtime.spawn(async move {
                loop {
                    let first = next.fetch_add(BATCH, Ordering::Relaxed);
                    if first >= events {
                        return Ok(());
                    }
                    let drafts = (first..events.min(first + BATCH))
                        .map(|i| Writer::new(i % scopes).draft(&payload(i as u64, TEXT_BYTES)))
                        .collect::<Result<Vec<_>>>()?;
                    ledger.append_all(drafts).await?;
                    if first.is_multiple_of(500_000) {
                        eprintln!("large: {first} of {events}");
                    }
                }
            })
        })
        .collect();
    tasks.into_iter().try_for_each(|task| runtime.block_on(task)?)
}
