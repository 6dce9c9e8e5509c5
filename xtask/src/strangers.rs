//! Verifiers that we did not write, and what the second host runs on, installed below target/strangers where that is possible:
//! each in the versions that a lock file pins by hash. What is there already is left alone.

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

/// One that could not be installed, and why.
pub(crate) struct Missing {
    pub(crate) name: &'static str,
    pub(crate) why: String,
}

/// How one is installed: from a folder of sources and locks, into another.
type Install = fn(&Path, &Path) -> Result<()>;

/// Installs all that are not here.
pub(crate) fn install() -> Vec<Missing> {
    let strangers: [(&str, Install); 5] = [
        ("go", go),
        ("rust", rust),
        ("python", python),
        ("node", node),
        ("second-host", second_host),
    ];
    let install = |(name, install): (&'static str, Install)| {
        let tests = cargo::root().join("tests");
        let source = match name {
            "second-host" => tests.join(name),
            _ => tests.join("strangers").join(name),
        };
        let folder = cargo::root().join("target/strangers").join(name);
        let done = fs::create_dir_all(&folder)
            .map_err(Into::into)
            .and_then(|()| install(&source, &folder));
        let why = done.err()?.to_string();
        Some(Missing { name, why })
    };
    strangers.into_iter().filter_map(install).collect()
}

/// golang.org/x/mod/sumdb, as Debian packages it.
fn go(source: &Path, folder: &Path) -> Result<()> {
    let go = Path::new("/usr/lib/go-1.19/bin/go");
    if !go.exists() {
        return Err("golang-1.19-go is not installed".into());
    }
    let mut build = Command::new(go);
    build
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", folder.join("cache"))
        .args(["build", "-o"])
        .arg(folder.join("stranger"))
        .arg(source.join("stranger.go"));
    run(build)
}

/// The crates tlog_tiles and signed_note.
fn rust(source: &Path, folder: &Path) -> Result<()> {
    let mut build = cargo::cargo();
    build
        .args(["build", "--locked", "--release", "--manifest-path"])
        .arg(source.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(folder);
    run(build)
}

/// aics-tlog and aics-witness. They ask for Python 3.12 and run on 3.11.
fn python(source: &Path, folder: &Path) -> Result<()> {
    let lock = source.join("requirements.txt");
    if is_as_in(&lock, folder) {
        return Ok(());
    }
    let works = |python: &&&str| {
        let mut command = Command::new(python);
        command.args(["-c", "import sys, venv; sys.exit(sys.version_info < (3, 11))"]);
        cargo::output(command).is_some()
    };
    let python = ["python3.13", "python3.12", "python3"];
    let python = python
        .iter()
        .find(works)
        .ok_or("there is no Python 3.11 or newer that makes virtual environments")?;
    eprintln!("test: installing aics-tlog and aics-witness with pip");
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
    .arg(&lock);
    run(pip)?;
    keep(&lock, folder)
}

/// @sigstore/verify.
fn node(source: &Path, folder: &Path) -> Result<()> {
    npm("@sigstore/verify", source, folder)
}

/// jco's transpiler, and a Node that is new enough for it: with them the host in tests/second-host runs. What of jco needs WASI of
/// Node is held at a version whose packages are there for each platform; `npm ci` refuses others.
fn second_host(source: &Path, folder: &Path) -> Result<()> {
    npm("jco and Node", source, folder)
}

/// What the `package-lock.json` in a folder names.
fn npm(what: &str, source: &Path, folder: &Path) -> Result<()> {
    let lock = source.join("package-lock.json");
    if is_as_in(&lock, folder) {
        return Ok(());
    }
    eprintln!("test: installing {what} with npm");
    for name in ["package.json", "package-lock.json"] {
        fs::copy(source.join(name), folder.join(name))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(folder)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
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

/// Runs a program to its end. The error is the last that it says.
fn run(command: Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = run_captured(command, LIMIT)?;
    if done.success {
        return Ok(());
    }
    let last = done.said.lines().rev().find(|line| !line.trim().is_empty());
    let why = if done.timed_out {
        "it takes too long"
    } else {
        last.unwrap_or("no reason given")
    };
    Err(format!("{name}: {}", why.trim()).into())
}
