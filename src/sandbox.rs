//! What stands between a component that somebody sent and this machine: a compiler with little to lose, and a process that
//! has given up what it does not need.

use std::{
    env,
    path::{Path, PathBuf},
};

use quipu_host::{CodeCache, Compiler, Confined, Confinement};

use crate::failure::Failure;

/// Compiles in a process of this same program, and keeps the code for this user.
pub(crate) fn compiler() -> Compiler {
    let compiler = Compiler::helper(own_program(), ["compile-component"]);
    match cache() {
        Some(cache) => compiler.cached(cache),
        None => compiler,
    }
}

/// This very program, even where its file was replaced since.
fn own_program() -> PathBuf {
    match cfg!(target_os = "linux") {
        true => "/proc/self/exe".into(),
        false => env::current_exe().unwrap_or_else(|_| "quipu".into()),
    }
}

/// Where this user's code is kept; the key that vouches for it is apart, so that who brings a cache brings no key.
fn cache() -> Option<CodeCache> {
    let folder = user_folder("XDG_CACHE_HOME", ".cache")?.join("code");
    let key = user_folder("XDG_STATE_HOME", ".local/state")?.join("code.key");
    let cache = CodeCache::open(&folder, &key);
    let unused = |error: &_| tracing::warn!(%error, "compiled code is not kept");
    cache.inspect_err(unused).ok()
}

/// A folder of ours, by the XDG Base Directory Specification.
fn user_folder(variable: &str, usual: &str) -> Option<PathBuf> {
    let named = env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let home = || Some(PathBuf::from(env::var_os("HOME")?)).filter(|home| home.is_absolute());
    Some(named.or_else(|| Some(home()?.join(usual)))?.join("quipu"))
}

/// Gives up every file but the ledger's, and the network. Before any thread is started that runs a guest.
pub(crate) fn confine(ledger: &Path) -> Result<Confined, Failure> {
    // The name of this boot is there, which the ledger notes beside its lock.
    let kept = Confinement::new()
        .write(ledger)
        .list("/proc/sys/kernel/random")
        .read("/proc/sys/kernel/random");
    keep(kept, ledger)
}

/// The same, and the ledger's files are read alone.
pub(crate) fn confine_to_reading(ledger: &Path) -> Result<Confined, Failure> {
    keep(Confinement::new().read(ledger), ledger)
}

fn keep(mut kept: Confinement, ledger: &Path) -> Result<Confined, Failure> {
    // Who made the ledger chose these paths: what is no file there opens nothing.
    let archived = quipu_log::archived_files(ledger).unwrap_or_default();
    let is_file = |file: &PathBuf| std::fs::symlink_metadata(file).is_ok_and(|about| about.is_file());
    for file in archived.into_iter().filter(is_file) {
        if let Some(folder) = file.parent() {
            kept = kept.list(folder);
        }
        kept = kept.read(file);
    }
    let confined = kept.confine()?;
    tracing::debug!(%confined, "before the ledger is opened");
    Ok(confined)
}
