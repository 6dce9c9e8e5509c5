//! Verifiers that we did not write, TypeScript, and what the second host runs on, installed below target/strangers where that is possible:
//! each in the versions that a lock file pins by hash. What is there already is left alone.

use std::{fs, path::Path, process::Command};

use crate::{
    Result, cargo,
    tools::{self, run},
};

/// One that could not be installed, and why.
pub(crate) struct Missing {
    pub(crate) name: &'static str,
    /// What is not tested without it.
    pub(crate) checks: &'static str,
    pub(crate) why: String,
}

/// How one is installed: from a folder of sources and locks, into another.
type Install = fn(&Path, &Path) -> Result<()>;

/// Each with what it checks.
const STRANGERS: [(&str, &str, Install); 6] = [
    (
        "go",
        "tiles, checkpoints and proofs, verified by Go's transparency log code",
        go,
    ),
    (
        "rust",
        "tiles, checkpoints and proofs, verified by the crates tlog_tiles and signed_note",
        rust,
    ),
    (
        "python",
        "tiles, checkpoints and proofs, verified by aics-tlog, and witnessing by aics-witness",
        python,
    ),
    ("node", "proofs of inclusion, verified by @sigstore/verify", node),
    (
        "second-host",
        "ledgers, verified and replayed by the second host, in JavaScript and on another engine",
        second_host,
    ),
    (
        "types",
        "the declarations of agents in JavaScript, by TypeScript",
        types,
    ),
];

/// Installs all that are not here.
pub(crate) fn install() -> Vec<Missing> {
    let install = |&(name, checks, install): &(&'static str, &'static str, Install)| {
        let tests = cargo::root().join("tests");
        let source = match name {
            "second-host" | "types" => tests.join(name),
            _ => tests.join("strangers").join(name),
        };
        let folder = cargo::root().join("target/strangers").join(name);
        let done = fs::create_dir_all(&folder)
            .map_err(Into::into)
            .and_then(|()| install(&source, &folder));
        let why = done.err()?.to_string();
        Some(Missing { name, checks, why })
    };
    STRANGERS.iter().filter_map(install).collect()
}

/// The application that embeds quipu and knows `quipu-host` alone. Its dependencies have other features than the workspace's, so all
/// is built for it; a test runs it.
pub(crate) fn build_embedding() -> Result<()> {
    let mut build = cargo::cargo();
    build.args([
        "build",
        "--locked",
        "--target-dir",
        "target/strangers/embedding",
        "--manifest-path",
    ]);
    build.arg("tests/strangers/embedding/Cargo.toml");
    cargo::run(build)
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
    tools::pip("aics-tlog and aics-witness", &source.join("requirements.txt"), folder)
}

/// @sigstore/verify.
fn node(source: &Path, folder: &Path) -> Result<()> {
    tools::npm("@sigstore/verify", source, folder)
}

/// jco's transpiler, and a Node that is new enough for it: with them the host in tests/second-host runs. What of jco needs WASI of
/// Node is held at a version whose packages are there for each platform; `npm ci` refuses others.
fn second_host(source: &Path, folder: &Path) -> Result<()> {
    tools::npm("jco and Node", source, folder)
}

/// TypeScript's compiler.
fn types(source: &Path, folder: &Path) -> Result<()> {
    tools::npm("TypeScript", source, folder)
}
