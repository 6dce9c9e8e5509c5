//! Damages acknowledged entries in the middle of a log, of quipu and of its peers, and counts what a restart says:
//! `quipu-damage [EVENTS]`. docs/RELIABILITY.md, "Damage, beside its peers", has the figures and what they mean.
//!
//! Each store keeps so many events, each durable before the next, and is copied as a kill would leave it. On a copy, one
//! thing is damaged that holds the event in the middle: one bit of each byte in turn, a sector, or all that follows.

mod stores;

use std::{
    fs,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use stores::{Fjall, Quipu, Redb, Sqlite, Store};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Bytes of an event's text.
const TEXT_BYTES: usize = 512;
const SECTOR: usize = 512;

/// What was read of a store, with an answer for each event.
#[derive(Default)]
struct Seen {
    /// Somebody was told: opening, reading or checking gave an error.
    told: bool,
    /// Events that are there as they were, and those that are there otherwise.
    intact: Vec<usize>,
    altered: usize,
}

/// What was counted over some restarts.
#[derive(Default)]
struct Counts {
    restarts: usize,
    told: usize,
    /// Nobody was told, and events are missing or others than they were.
    lost: usize,
    altered: usize,
    /// Nobody was told, and all events are there.
    unnoticed: usize,
    /// Restarts after which every event outside the damage could be read, and the fewest that could.
    all_outside: usize,
    fewest_outside: Option<usize>,
}

impl Counts {
    fn add(&mut self, seen: &Seen, events: usize, damaged: &dyn Fn(usize) -> bool) {
        self.restarts += 1;
        let outside = seen.intact.iter().filter(|event| !damaged(**event)).count();
        let wanted = (0..events).filter(|event| !damaged(*event)).count();
        self.all_outside += usize::from(outside == wanted);
        self.fewest_outside = Some(self.fewest_outside.map_or(outside, |fewest| fewest.min(outside)));
        match seen {
            Seen { told: true, .. } => self.told += 1,
            Seen { altered: 1.., .. } => self.altered += 1,
            Seen { intact, .. } if intact.len() < events => self.lost += 1,
            _ => self.unnoticed += 1,
        }
    }
}

fn main() -> Result<()> {
    let events = match std::env::args().nth(1) {
        Some(number) => number.parse()?,
        None => 200,
    };
    if events < 4 {
        return Err("there must be events before and behind the one in the middle: at least 4".into());
    }
    // A store that panics has told somebody, and need not say where.
    std::panic::set_hook(Box::new(|_| {}));
    println!("store,damage,restarts,told,lost silently,altered silently,unnoticed,all others read,fewest others read");
    sweep::<Quipu>(events)?;
    sweep::<Sqlite>(events)?;
    sweep::<Redb>(events)?;
    sweep::<Fjall>(events)
}

/// The text of an event: found in a file by its beginning.
fn text(event: usize) -> String {
    let mut text = format!("event {event:08} ");
    let mut state = event as u64 + 1;
    while text.len() < TEXT_BYTES {
        // xorshift64: text that does not compress.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text += &format!("{state:016x}");
    }
    text.truncate(TEXT_BYTES);
    text
}

fn sweep<S: Store>(events: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (live, whole, copy) = ["live", "whole", "copy"].map(|name| folder.path().join(name)).into();
    fs::create_dir(&live)?;
    let store = S::make(&live, events)?;
    copy_folder(&live, &whole)?;
    // Its own end would tidy up.
    std::mem::forget(store);
    let middle = events / 2;
    let (file, range) = S::locate(&whole, middle)?;
    let file = file.strip_prefix(&whole)?.to_owned();
    let good = fs::read(whole.join(&file))?;
    let restart = |bytes: Option<&[u8]>| -> Result<Seen> {
        if copy.exists() {
            fs::remove_dir_all(&copy)?;
        }
        copy_folder(&whole, &copy)?;
        if let Some(bytes) = bytes {
            fs::write(copy.join(&file), bytes)?;
        }
        let read = catch_unwind(AssertUnwindSafe(|| S::read(&copy, events)));
        Ok(read.unwrap_or(Seen {
            told: true,
            ..Seen::default()
        }))
    };
    let untouched = restart(None)?;
    if untouched.told || untouched.intact.len() != events {
        return Err(format!("{} does not read what it was given", S::NAME).into());
    }

    let mut bits = Counts::default();
    for at in range.clone() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        bits.add(&restart(Some(&bad))?, events, &|event| event == middle);
    }
    say(S::NAME, "a bit of each byte", &bits);

    // The sector that the entry's second half begins in: it may hold a part of the one before or behind, too.
    let sector = (range.start + range.len() / 2) / SECTOR * SECTOR;
    let mut bad = good.clone();
    let end = bad.len().min(sector + SECTOR);
    bad[sector..end].fill(0);
    let mut zeros = Counts::default();
    let mut hit = Vec::new();
    for event in middle - 1..=middle + 1 {
        let (path, range) = S::locate(&whole, event)?;
        let within = path.ends_with(&file) && range.start < end && range.end > sector;
        hit.extend(within.then_some(event));
    }
    zeros.add(&restart(Some(&bad))?, events, &|event| hit.contains(&event));
    say(S::NAME, "a sector of zeros", &zeros);

    let mut cut = Counts::default();
    cut.add(
        &restart(Some(&good[..range.start + range.len() / 2]))?,
        events,
        &|event| event >= middle,
    );
    say(S::NAME, "cut within the entry", &cut);
    Ok(())
}

fn say(store: &str, damage: &str, counts: &Counts) {
    let Counts {
        restarts,
        told,
        lost,
        altered,
        unnoticed,
        all_outside,
        fewest_outside,
    } = counts;
    let fewest = fewest_outside.unwrap_or_default();
    println!("{store},{damage},{restarts},{told},{lost},{altered},{unnoticed},{all_outside},{fewest}");
}

/// The bytes of an event in a store that keeps its text as it is: from behind the event before it to its end, and 64 bytes
/// where that one does not stand just before. The last place where it stands counts: pages are written more than once.
fn locate_text(folder: &Path, event: usize) -> Result<(PathBuf, Range<usize>)> {
    for path in files(folder)? {
        let bytes = fs::read(&path)?;
        if let Some(at) = last(&bytes, text(event).as_bytes()) {
            let before = last(&bytes[..at], text(event - 1).as_bytes()).map(|at| at + TEXT_BYTES);
            let start = before.filter(|end| at - end < 128).unwrap_or(at.saturating_sub(64));
            return Ok((path, start..at + TEXT_BYTES));
        }
    }
    Err(format!("event {event} is in no file").into())
}

fn last(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).rposition(|window| window == wanted)
}

/// All files of a folder and those in it.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => all.extend(files(&entry.path())?),
            kind if kind.is_file() => all.push(entry.path()),
            _ => {}
        }
    }
    all.sort();
    Ok(all)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, kind) = entry
            .and_then(|entry| Ok((entry.file_type()?, entry)))
            .map(|(kind, entry)| (entry, kind))?;
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
