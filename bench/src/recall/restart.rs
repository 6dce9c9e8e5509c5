//! A process that opens a ledger whose projection is some events behind, and answers.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use quipu_format::Scope;
use quipu_log::{Ledger, OpenOptions};
use quipu_projections::{Handle, Projections, Query, View};

use super::BEHIND;
use crate::Result;

/// First argument of such a process.
pub(crate) const FLAG: &str = "--restart";

/// Milliseconds from opening the ledger for writing to the answer to a question that counts all events, in a process of its
/// own. The projection is the one that is `kept`.
pub(super) fn measure(ledger: &Path, kept: &Path, (scope, text): &(Scope, String)) -> Result<f64> {
    copy(kept, &ledger.join("projections"))?;
    let child = Command::new(std::env::current_exe()?)
        .arg(FLAG)
        .arg(ledger)
        .args([scope.as_str(), text])
        .stderr(Stdio::inherit())
        .output()?;
    if !child.status.success() {
        return Err(format!("the process that was to answer ended with {}", child.status).into());
    }
    Ok(String::from_utf8(child.stdout)?.trim().parse()?)
}

/// Puts the files of one folder into another, in place of those that are there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

/// The process itself.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [ledger, scope, text] = arguments else {
        return Err(format!("{FLAG} is for the group recall itself").into());
    };
    let begin = Instant::now();
    let ledger = Ledger::open(Path::new(ledger), OpenOptions::default())?;
    let reader = ledger.reader();
    let projections = Projections::open(reader)?;
    let behind = reader.head() - projections.as_of()?;
    // The ledger appends now and then itself.
    if behind < BEHIND as u64 {
        return Err(format!("the projection is only {behind} events behind").into());
    }
    projections.catch_up(reader.head())?;
    let view = View::Handles(vec![Handle {
        scope: Scope::new(scope)?,
        head: reader.head(),
        run: None,
    }]);
    let mut query = Query::default();
    query.text.clone_from(text);
    let found = projections.search(&view, &query)?;
    let took = begin.elapsed().as_secs_f64() * 1e3;
    if found.as_of != reader.head() {
        return Err(format!("the answer is of {} and not of {}", found.as_of, reader.head()).into());
    }
    println!("{took}");
    ledger.close()?;
    Ok(())
}
