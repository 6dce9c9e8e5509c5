//! What keeps, or might keep, a ledger from being written and read on this machine, and what to do about it. Changes
//! nothing. Whether somebody writes is found by trying the lock, which is given back at once: a writer that would not wait a moment
//! may be refused in between.

use quipu_format::{Timestamp, limits};
use serde::Serialize;

use crate::{
    Error, ErrorKind, Ledger, LedgerAt, LedgerReader,
    archive::Archive,
    disk::{Folder, Space},
    keyfile::{self, Keys},
    lock::{self, Lock},
    manifest::Manifest,
    plan_recovery, signer_file,
};

/// What was looked at, and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// What was looked at: one or two words.
    pub about: &'static str,
    /// How it is.
    pub health: Health,
    /// What was found.
    pub says: String,
    /// What to do. None: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As it should be.
    Good,
    /// It works, and may not for long, or not as well as it could.
    Doubtful,
    /// It does not work.
    Bad,
}

impl Check {
    /// As it should be.
    pub fn good(about: &'static str, says: impl Into<String>) -> Self {
        Self {
            about,
            health: Health::Good,
            says: says.into(),
            advice: None,
        }
    }

    /// It works, but.
    pub fn doubtful(about: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            health: Health::Doubtful,
            advice: Some(advice.into()),
            ..Self::good(about, says)
        }
    }

    /// It does not work.
    pub fn bad(about: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            health: Health::Bad,
            ..Self::doubtful(about, says, advice)
        }
    }
}

/// Bytes of free space below which a disk is doubtful: the segment that is filled ahead, and as much again.
const LITTLE_SPACE: u64 = 2 * limits::SEGMENT_BYTES;
/// How far the last entry may be ahead of the clock: more, and the clock was put back or was wrong then.
const AHEAD_MS: u64 = 1_000;

/// Looks at the ledger's files, its disk, who writes it, its keys, what an open would do, and the clock, which says `now`.
pub fn check_up<'a>(at: impl Into<LedgerAt<'a>>, now: Timestamp) -> Vec<Check> {
    let at = at.into();
    let folder = match at.folder() {
        Ok(folder) => folder,
        Err(error) => return vec![files(&error)],
    };
    let manifest = match Manifest::read(&folder) {
        Ok(manifest) => manifest,
        Err(error) => return vec![files(&error), disk(&folder)],
    };
    let mut checks = vec![
        Check::good("ledger", format!("it signs as {}", manifest.verifier_key.name())),
        disk(&folder),
        writer(&folder),
        keys(&folder, &manifest),
        signer(&folder, &manifest),
    ];
    match plan_recovery(at) {
        Ok(plan) if plan.refusal.is_none() => {
            let says = format!("{} entries, row {}: {}", plan.entries, plan.row, plan.state());
            checks.push(Check::good("log", says));
        }
        Ok(plan) => checks.push(Check::bad(
            "log",
            format!("row {}: {}; {}", plan.row, plan.state(), plan.refusal.unwrap_or_default()),
            "it can be read, and is not written: `quipu verify` names the damage, and docs/FORMAT.md, \"Recovery\", says what \
             each row means",
        )),
        // Of what is said already.
        Err(error) if matches!(error.kind(), ErrorKind::Sealed) => (),
        Err(error) => checks.push(Check::bad("log", error.to_string(), "see what is said above, and `quipu verify`")),
    }
    match Ledger::open_read_only(at) {
        Ok(reader) => {
            checks.extend(clock(&reader, now));
            checks.extend(archived(&folder));
        }
        Err(error) => checks.push(Check::bad("reading", error.to_string(), "see what is said above")),
    }
    checks
}

fn files(error: &Error) -> Check {
    let advice = match error.kind() {
        ErrorKind::NotFound => "name the ledger's folder with --ledger, or make one with `quipu init`",
        _ => "look at the folder's owner and mode, and at quipu.json in it",
    };
    Check::bad("ledger", error.to_string(), advice)
}

fn disk(folder: &Folder) -> Check {
    const ABOUT: &str = "disk";
    match folder.is_on_network() {
        Ok(false) => (),
        Ok(true) => {
            return Check::bad(
                ABOUT,
                "a file system of another machine, where neither locks nor syncs can be relied on",
                "keep the ledger on a disk of this machine; it can be read here",
            );
        }
        Err(error) => return Check::bad(ABOUT, error.to_string(), "look at the folder's mode"),
    }
    match folder.space() {
        Ok(Some(Space { read_only: true, .. })) => Check::doubtful(
            ABOUT,
            "it is mounted read-only",
            "mount it writable, unless this is a copy that is only read",
        ),
        Ok(Some(Space { free, .. })) if free < limits::RESERVE_BYTES => Check::bad(
            ABOUT,
            format!("full: {free} bytes are free"),
            "make room: what is appended is refused, and nothing is lost; `quipu archive` moves old segments elsewhere",
        ),
        Ok(Some(Space { free, .. })) if free < LITTLE_SPACE => Check::doubtful(
            ABOUT,
            format!("{} MiB are free", free >> 20),
            format!(
                "make room soon: a segment takes {} MiB; `quipu archive` moves old segments elsewhere",
                limits::SEGMENT_BYTES >> 20
            ),
        ),
        Ok(Some(Space { free, .. })) => Check::good(ABOUT, format!("{} MiB are free", free >> 20)),
        Ok(None) => Check::good(ABOUT, "of this machine"),
        Err(error) => Check::bad(ABOUT, error.to_string(), "look at the disk"),
    }
}

fn writer(folder: &Folder) -> Check {
    const ABOUT: &str = "writer";
    match Lock::is_held(folder) {
        Ok(true) => Check::good(ABOUT, lock::holder(folder).unwrap_or_else(|| "another process".into())),
        Ok(false) => Check::good(ABOUT, "nobody"),
        Err(error) => Check::bad(ABOUT, error.to_string(), "let this user read the file lock"),
    }
}

fn keys(folder: &Folder, manifest: &Manifest) -> Check {
    const ABOUT: &str = "keys";
    let shared = keyfile::check_mode(folder, keyfile::FILE);
    match (Keys::read(folder, manifest.verifier_key.name()), shared) {
        (Err(error), _) if error.kind() == ErrorKind::Sealed => Check::doubtful(
            ABOUT,
            "they are sealed, and the passphrase was not given or is another",
            "name its file with --passphrase-file",
        ),
        (Err(error), _) => Check::bad(
            ABOUT,
            error.to_string(),
            "bring the newest copy of the file keys back; without it nothing can be opened (docs/KEYS.md)",
        ),
        (_, Err(error)) => Check::bad(ABOUT, error.to_string(), "chmod 600 on the file keys"),
        (Ok(keys), Ok(())) => Check::good(ABOUT, format!("erasures are carried out up to seq {}", keys.applied)),
    }
}

fn signer(folder: &Folder, manifest: &Manifest) -> Check {
    const ABOUT: &str = "signer";
    let found = signer_file::Found::read(folder, signer_file::FILE);
    match (found, keyfile::check_mode(folder, signer_file::FILE)) {
        (Ok(None), _) => Check::bad(
            ABOUT,
            "there is no file signer, or it is not whole",
            "bring it back to write; to read, nothing is needed (docs/KEYS.md)",
        ),
        (Err(error), _) => Check::bad(ABOUT, error.to_string(), "let this user read the file signer"),
        (_, Err(error)) => Check::bad(ABOUT, error.to_string(), "chmod 600 on the file signer"),
        (Ok(Some(found)), Ok(())) if found.key == *manifest.verifier_key => {
            Check::good(ABOUT, "it is that of the verifier key")
        }
        (Ok(Some(_)), Ok(())) => Check::bad(
            ABOUT,
            "it is not that of the verifier key in quipu.json",
            "bring the ledger's own file signer back; after a crash in `quipu key rotate` the next open puts it right",
        ),
    }
}

/// The clock, against the last entry. None: there is none.
fn clock(reader: &LedgerReader, now: Timestamp) -> Option<Check> {
    const ABOUT: &str = "clock";
    let last = reader.head().checked_sub(1)?;
    let event = match reader.event(last) {
        Ok(event) => event?,
        Err(error) => return Some(Check::bad(ABOUT, error.to_string(), "`quipu verify` names the damage")),
    };
    let ahead = event.envelope.ts.as_ms().saturating_sub(now.as_ms());
    Some(match ahead {
        0..=AHEAD_MS => Check::good(ABOUT, format!("{now}, after the last entry")),
        _ => Check::doubtful(
            ABOUT,
            format!("{now}, which is {} s before the last entry", ahead / 1_000),
            "set it right: until it has caught up, entries get the last one's time, and `quipu.clock` entries say so",
        ),
    })
}

/// Segments elsewhere. None: there are none.
fn archived(folder: &Folder) -> Option<Check> {
    const ABOUT: &str = "archive";
    let archive = match Archive::read(folder) {
        Ok(archive) => archive,
        Err(error) => {
            return Some(Check::bad(
                ABOUT,
                error.to_string(),
                "bring the file archive back from a backup",
            ));
        }
    };
    match archive.counts() {
        (0, _) => None,
        (all, 0) => Some(Check::good(ABOUT, format!("{all} segments, all where they should be"))),
        (all, absent) => Some(Check::doubtful(
            ABOUT,
            format!("{absent} of {all} segments are not where they should be"),
            "mount their folder; `quipu verify` names them",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CreateOptions;

    #[test]
    fn a_clock_that_was_put_back_is_doubtful() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let ledger = Ledger::create(&path, CreateOptions::new("example.com/test")).unwrap();
        let last = ledger.reader().head() - 1;
        let written = ledger.reader().event(last).unwrap().unwrap().envelope.ts.as_ms();
        ledger.close().unwrap();
        let health = |now| {
            let checks = check_up(path.as_path(), Timestamp::from_ms(now));
            let clock = checks.into_iter().find(|check| check.about == "clock").unwrap();
            (clock.health, clock.advice.is_some())
        };
        assert_eq!(health(written), (Health::Good, false));
        assert_eq!(health(written + 86_400_000), (Health::Good, false));
        assert_eq!(health(written - AHEAD_MS), (Health::Good, false));
        assert_eq!(health(written - AHEAD_MS - 1), (Health::Doubtful, true));
    }
}
