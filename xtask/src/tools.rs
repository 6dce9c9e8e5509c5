//! Tools and programs of other languages, installed below target/ in the versions that a lock file pins by hash. What is there
//! already is left alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    Result,
    cargo::{self, run_captured},
};

/// How long one may take to be installed. Where there is no network it fails long before.
const LIMIT: Duration = Duration::from_secs(300);

/// Installs what a `requirements.txt` with hashes names into a virtual environment.
pub(crate) fn pip(what: &str, lock: &Path, folder: &Path) -> Result<()> {
    if is_as_in(lock, folder) {
        return Ok(());
    }
    let works = |python: &&&str| {
        let mut command = Command::new(python);
        command.args([
            "-c",
            "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))",
        ]);
        cargo::output(command).is_some()
    };
    let python = ["python3.13", "python3.12", "python3"];
    let python = python.iter().find(works).ok_or(
        "there is no Python 3.11 or newer that makes virtual environments (Debian: apt-get install python3 python3-venv)",
    )?;
    eprintln!("installing {what} with pip");
    fs::create_dir_all(folder)?;
    let mut environment = Command::new(python);
    environment.args(["-m", "venv", "--clear"]).arg(folder);
    run(environment)?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--require-hashes",
        "--ignore-requires-python",
        "-r",
    ])
    .arg(lock);
    run(pip)?;
    keep(lock, folder)
}

/// Installs what the `package-lock.json` in a folder names into another. Not by `npm ci`, which refuses a lock file without the
/// packages for machines that a registry does not have; the hashes hold all the same.
pub(crate) fn npm(what: &str, source: &Path, folder: &Path) -> Result<()> {
    let lock = source.join("package-lock.json");
    if is_as_in(&lock, folder) {
        return Ok(());
    }
    let mut version = Command::new("npm");
    version.arg("--version");
    if cargo::output(version).is_none() {
        return Err("there is no npm (Debian: apt-get install nodejs npm)".into());
    }
    eprintln!("installing {what} with npm");
    fs::create_dir_all(folder)?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(source.join(name), folder.join(name))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(folder)
        .args(["install", "--ignore-scripts", "--no-audit", "--no-fund"]);
    run(npm)?;
    keep(&lock, folder)
}

/// Whether what a lock file says was installed there.
fn is_as_in(lock: &Path, folder: &Path) -> bool {
    let read = |path: PathBuf| fs::read(path).ok();
    let installed = read(folder.join("installed"));
    installed.is_some() && installed == read(lock.to_owned())
}

/// Notes that it was.
fn keep(lock: &Path, folder: &Path) -> Result<()> {
    fs::copy(lock, folder.join("installed"))?;
    Ok(())
}

/// Runs a program to its end. The error is the last that it says; npm says it before it tells of its log.
pub(crate) fn run(command: Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = run_captured(command, LIMIT)?;
    if done.success {
        return Ok(());
    }
    let is_reason = |line: &&str| line.starts_with("npm error ") && !line.starts_with("npm error code");
    let last = done.said.lines().rev().find(|line| !line.trim().is_empty());
    let why = if done.timed_out {
        "it takes too long"
    } else {
        done.said.lines().find(is_reason).or(last).unwrap_or("no reason given")
    };
    Err(format!("{name}: {}", why.trim()).into())
}
