//! A ledger for one run, of which nothing stays.

use std::{
    env, fs, io,
    io::Read,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use quipu_log::{CreateOptions, Ledger};

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    sandbox, terminal,
};

/// Beginning of the folder's name.
const PREFIX: &str = "quipu-scratch-";

/// A new ledger in a folder of its own. Another process removes the folder when this value is dropped, or when this process
/// ends, also by a kill: a run gives up the right to. Who kills both leaves the folder there.
pub(crate) struct Scratch {
    ledger: LedgerDir,
    remover: Child,
}

impl Scratch {
    pub(crate) fn new() -> Result<Self, Failure> {
        let cannot = |error: io::Error| Failure::cannot(format!("cannot make a folder for a ledger: {error}"));
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(base().map_err(cannot)?);
        let folder = folder.map_err(cannot)?;
        let remover = Command::new(sandbox::own_program())
            .arg("remove-scratch")
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What interrupts this process must not keep the other from cleaning up.
            .process_group(0)
            .spawn()
            .map_err(cannot)?;
        let path = folder.keep().join("ledger");
        let scratch = Self {
            ledger: LedgerDir::at_path(path),
            remover,
        };
        Ledger::create(&scratch.ledger.path, CreateOptions::new("quipu.local/scratch"))?.close()?;
        Ok(scratch)
    }

    pub(crate) fn ledger(&self) -> &LedgerDir {
        &self.ledger
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.remover.stdin.take());
        let is_removed = self.remover.wait().is_ok_and(|ended| ended.success());
        if !is_removed {
            let folder = self.ledger.path.parent().unwrap_or(&self.ledger.path);
            terminal::warn(&format!("{} could not be removed: remove it by hand", folder.display()));
        }
    }
}

/// Where folders for one run are made, whatever this process calls it.
fn base() -> io::Result<PathBuf> {
    env::temp_dir().canonicalize()
}

/// What the other process does: once its input ends, which it does with the process that began it, it removes the folder.
pub(crate) fn remove(folder: &PathBuf) -> Outcome {
    let is_ours = base().is_ok_and(|base| folder.parent() == Some(&base))
        && folder
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(PREFIX));
    if !is_ours {
        return Err(Failure::cannot("that is no folder for one run"));
    }
    // Nothing is ever sent.
    let _ = io::stdin().read(&mut [0]);
    fs::remove_dir_all(folder)
        .map_err(|error| Failure::cannot(format!("cannot remove {}: {error}", folder.display())))?;
    good()
}
