//! What an open for writing would find and do, without doing it.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    LedgerAt, Result, authority, checkpoint,
    keyfile::{self, Keys},
    lock::Lock,
    open_files::OpenFiles,
    recovery, restore, segment, signer_file,
};

/// What an open for writing would find and do. docs/FORMAT.md, "Recovery", has the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RecoveryPlan {
    /// Letter of the row: `a`, `b` and `c` refuse, `d` and `e` go on.
    pub row: char,
    /// Why the ledger would not be opened for writing. None: it would.
    pub refusal: Option<String>,
    /// What would be done, in this order. Empty where it is refused.
    pub steps: Vec<String>,
    /// Entries in whole commits.
    pub entries: u64,
    /// Entries that must be there: the checkpoint covers them, or erasures among them were carried out.
    pub acknowledged: u64,
    /// Entries that are not read again, because `heads` vouches for them.
    pub vouched: u64,
    /// A writer is at work: what looks torn may be a commit that is being written.
    pub writer: bool,
}

/// Finds out what an open for writing would do. Changes nothing and takes no lock.
///
/// # Errors
/// As for [`Ledger::open`](crate::Ledger::open) where not even that can be found out: no ledger, no keys, unreadable.
pub fn plan_recovery<'a>(at: impl Into<LedgerAt<'a>>) -> Result<RecoveryPlan> {
    let at = at.into();
    let ledger = at.folder()?;
    let writer = Lock::is_held(&ledger)?;
    let (manifest, checkpoint) = checkpoint::read_with_manifest(&ledger)?;
    let keys = Keys::read(&ledger, manifest.verifier_key.name())?;
    let checkpoint = checkpoint.map(|(_, checkpoint)| checkpoint);
    let log_folder = ledger.sub(segment::FOLDER)?;
    let files = Arc::new(OpenFiles::new(ledger.clone(), log_folder.clone()));
    let mut log = recovery::Log::read(&ledger, &files, &keys.secret, checkpoint, keys.applied)?;
    authority::examine(&mut log, &ledger, at.path)?;
    let refusal = log
        .refusal()
        .or_else(|| restore::refuse_copy(&ledger).err())
        .or_else(|| keys.check_scopes(log.index.scopes.keys()).err())
        .or_else(|| {
            [keyfile::FILE, signer_file::FILE]
                .into_iter()
                .find_map(|secret| keyfile::check_mode(&ledger, secret).err())
        });
    let mut steps = Vec::new();
    if refusal.is_none() {
        if let Some(torn) = log.torn() {
            steps.push(format!(
                "copy bytes {} to {} of log/{} to torn/ and cut them off: a commit that a crash cut off, \
                 never acknowledged",
                torn.start,
                torn.end,
                segment::file_name(log.index.newest_first())
            ));
        }
        steps.push("write the last whole commit again in place, byte for byte, and sync it".into());
        if log_folder.read_file(segment::NEXT).is_ok() {
            steps.push("remove log/next, which is not in use yet".into());
        }
        for segment in log.index.sealed().iter().filter(|segment| segment.recent().is_some()) {
            steps.push(format!(
                "make the sidecar of log/{} anew",
                segment::file_name(segment.first)
            ));
        }
        if log.index.next() > log.floor() {
            steps.push(format!("sign a checkpoint over {} entries", log.index.next()));
        }
    }
    Ok(RecoveryPlan {
        row: log.row().letter(),
        refusal: refusal.map(|error| error.to_string()),
        steps,
        entries: log.index.next(),
        acknowledged: log.floor(),
        vouched: log.frontier.size(),
        writer,
    })
}

impl RecoveryPlan {
    /// What the row says, in words.
    pub fn state(&self) -> &'static str {
        match self.row {
            'a' => "the checkpoint, or a scope's chain, contradicts the log",
            'b' => "the log ends before what was acknowledged",
            'c' => "damage that no crash explains",
            'd' => "a commit that a crash cut off",
            _ => "clean",
        }
    }
}
