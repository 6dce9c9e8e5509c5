//! `cargo xtask mutants`: breaks what durability and verdicts rest on, one place at a time, in a copy of the sources, and
//! shows which test fails. A break that no test sees is an error, and so is one whose text is not in the sources any more.

mod breaks;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{Result, cargo, guests};
use breaks::{BREAKS, Break};

/// Where the sources are copied to, and what is built of them. Both stay, so that the next time builds little.
const COPY: &str = "target/mutants/sources";
/// Apart from everybody's: cargo would take what was built of a broken copy for what is built of the checkout.
const BUILD: &str = "target/mutants/build";
/// A test that hangs fails, too.
const LIMIT: Duration = Duration::from_secs(1_200);
/// Building is no part of that.
const BUILD_LIMIT: Duration = Duration::from_secs(7_200);

/// What is run until something fails, from the cheapest on.
const SUITES: [&[&str]; 18] = [
    &["-p", "quipu-log", "--test", "recovery"],
    &["-p", "quipu-log", "--test", "segments"],
    &["-p", "quipu-log", "--test", "frozen"],
    &["-p", "quipu-log", "--test", "append"],
    &["-p", "quipu-log", "--test", "acts"],
    &["-p", "quipu-log", "--test", "erase"],
    &["-p", "quipu-log", "--test", "governance"],
    &["-p", "quipu-log", "--test", "quotas"],
    &["-p", "quipu-log", "--test", "rotation"],
    &["-p", "quipu-log", "--test", "verdicts"],
    &["-p", "quipu-format", "--test", "check"],
    &["-p", "quipu-format", "--test", "notes"],
    &["-p", "quipu-format", "--test", "scope_tree"],
    &["-p", "quipu-format", "--test", "tree"],
    &["--lib", "-p", "quipu-format"],
    &["--lib", "-p", "quipu-log"],
    &["-p", "quipu-projections", "--test", "recall"],
    &["-p", "quipu", "--test", "hostile"],
];

/// Makes the breaks whose names hold one of `words`; without any word all, once the tests have been seen to pass.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let chosen = BREAKS
        .iter()
        .filter(|each| words.is_empty() || words.iter().any(|word| each.name.contains(word)));
    let chosen: Vec<_> = chosen.collect();
    if chosen.is_empty() {
        return Err("no break has such a name".into());
    }
    let copy = Copy::new()?;
    // Each must apply before any is tried.
    for each in &chosen {
        broken(each)?;
    }
    if words.is_empty()
        && let Some(said) = copy.first_failure(None)?
    {
        return Err(format!("the tests fail although nothing is broken: {said}").into());
    }
    let mut survivors = Vec::new();
    println!("{:<64} {:<72} {:>8}", "broken", "test that fails", "seconds");
    for each in chosen {
        let begin = Instant::now();
        let path = copy.path.join(each.file);
        fs::write(&path, broken(each)?)?;
        let killer = copy.first_failure(Some(each));
        fs::copy(cargo::root().join(each.file), &path)?;
        let seconds = begin.elapsed().as_secs();
        let killer = killer?.unwrap_or_else(|| {
            survivors.push(each.name);
            "NONE".into()
        });
        println!("{:<64} {killer:<72} {seconds:>8}", each.name);
    }
    if survivors.is_empty() {
        Ok(())
    } else {
        Err(format!("no test fails when this is broken: {}", survivors.join("; ")).into())
    }
}

/// The text of the checkout's file with the break in it.
fn broken(each: &Break) -> Result<String> {
    let text = fs::read_to_string(cargo::root().join(each.file)).map_err(|e| format!("{}: {e}", each.file))?;
    match text.matches(each.from).count() {
        1 => Ok(text.replacen(each.from, each.to, 1)),
        count => Err(format!(
            "{}: the text of the break \"{}\" is there {count} times; write it anew in xtask/src/mutants/breaks.rs",
            each.file, each.name
        )
        .into()),
    }
}

/// A copy of what git knows of the checkout, as it stands on disk.
struct Copy {
    path: PathBuf,
}

impl Copy {
    fn new() -> Result<Self> {
        let path = cargo::root().join(COPY);
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        git.current_dir(cargo::root());
        let names = cargo::output(git).ok_or("git does not list the sources")?;
        let names: Vec<_> = names.split('\0').filter(|name| !name.is_empty()).collect();
        // What an earlier copy had besides would be built along: some folders are read whole.
        remove_others(&path, &names.iter().map(|name| path.join(name)).collect())?;
        for name in &names {
            let (from, to) = (cargo::root().join(name), path.join(name));
            // What links lead to is copied too.
            if let Ok(leads_to) = fs::read_link(&from) {
                if fs::read_link(&to).ok().as_ref() != Some(&leads_to) {
                    fs::create_dir_all(to.parent().unwrap_or(Path::new(".")))?;
                    let _ = fs::remove_file(&to);
                    symlink(leads_to, to)?;
                }
                continue;
            }
            // A file that is deleted and not committed yet is listed still.
            let Ok(bytes) = fs::read(from) else { continue };
            // What has not changed keeps its time, and is not built again.
            if fs::read(&to).ok().as_ref() != Some(&bytes) {
                fs::create_dir_all(to.parent().unwrap_or(Path::new(".")))?;
                fs::write(to, bytes)?;
            }
        }
        // Guests are part of no break: those of the checkout serve.
        guests::build()?;
        let built = path.join("target/guests");
        if !built.exists() {
            fs::create_dir_all(path.join("target"))?;
            symlink(cargo::root().join("target/guests"), built)?;
        }
        Ok(Self { path })
    }

    /// Runs the suites, the one that is known to kill it first. None: all pass.
    fn first_failure(&self, each: Option<&Break>) -> Result<Option<String>> {
        let first = each.map(|each| each.killed_in);
        let rest = SUITES.into_iter().filter(|suite| suite.last().copied() != first);
        let first = SUITES.into_iter().find(|suite| suite.last().copied() == first);
        for suite in first.into_iter().chain(rest) {
            if let Some(said) = self.test(suite)? {
                return Ok(Some(said));
            }
        }
        Ok(None)
    }

    fn test(&self, suite: &[&str]) -> Result<Option<String>> {
        let command = |more: &[&str]| {
            let mut test = cargo::cargo();
            test.current_dir(&self.path)
                .args(["test", "--target-dir"])
                .arg(cargo::root().join(BUILD))
                // Most of the time goes into building, once a break.
                .args(["--config", "profile.dev.package.quipu-log.opt-level=1"])
                .args(suite)
                .args(more);
            test
        };
        let built = cargo::run_captured(command(&["--no-run"]), BUILD_LIMIT)?;
        if !built.success {
            return Err(format!("what is broken does not build:\n{}", built.said).into());
        }
        let ran = cargo::run_captured(command(&[]), LIMIT)?;
        if ran.success {
            return Ok(None);
        }
        let failed = ran
            .said
            .lines()
            .find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        let suite = suite.last().copied().unwrap_or_default();
        match failed {
            Some(test) => Ok(Some(format!("{suite}: {test}"))),
            None if ran.timed_out => Ok(Some(format!("{suite}: no answer in {} s", LIMIT.as_secs()))),
            None => Ok(Some(format!("{suite}: the test program died"))),
        }
    }
}

/// Removes the files in a folder, and in those in it, that are not among these; what is built stays.
fn remove_others(folder: &Path, known: &BTreeSet<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() && entry.file_name() == "target" => {}
            kind if kind.is_dir() => remove_others(&entry.path(), known)?,
            _ if known.contains(&entry.path()) => {}
            _ => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_break_has_its_place_in_the_sources_and_a_suite() {
        let lost: Vec<_> = BREAKS
            .iter()
            .filter_map(|each| broken(each).err().map(|e| e.to_string()))
            .collect();
        assert!(lost.is_empty(), "{}", lost.join("\n"));
        for each in BREAKS {
            let known = SUITES.iter().any(|suite| suite.last() == Some(&each.killed_in));
            assert!(known, "{}: there is no suite {}", each.name, each.killed_in);
        }
    }
}
