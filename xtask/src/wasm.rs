//! A Rust toolchain that builds for `wasm32-unknown-unknown`, installed where that is possible.

use std::{env, fs, os::unix::fs::MetadataExt, path::Path, process::Command, time::Duration};

use crate::{
    Result,
    cargo::{self, run_quietly},
};

/// What guests are built for: no operating system, so a guest's only imports are those of its world.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's own Rust brings the standard library as source, and no linker for wasm.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-19";

/// How long a download by rustup may take. Where there is no network it fails long before.
const RUSTUP_LIMIT: Duration = Duration::from_secs(90);

/// A toolchain that was seen to have what it needs.
#[derive(Clone, Copy)]
pub(crate) enum Toolchain {
    /// The one that runs this task; it has the target.
    InUse,
    /// Debian's packages; the standard library is built from source.
    Debian,
}

impl Toolchain {
    /// Finds one; else installs one, saying what; else says what a person can do.
    pub(crate) fn find_or_install() -> Result<Self> {
        if has_target() {
            return Ok(Self::InUse);
        }
        if debian_is_complete() {
            return Ok(Self::Debian);
        }
        let rustup = add_target();
        if rustup.is_ok() && has_target() {
            return Ok(Self::InUse);
        }
        let rustup = rustup
            .err()
            .unwrap_or_else(|| "rustup succeeded, yet the target is not there".to_owned());
        eprintln!("guests: rustup cannot add {TARGET} ({rustup}); trying Debian's packages");
        let debian = install(&DEBIAN_PACKAGES);
        if debian_is_complete() {
            return Ok(Self::Debian);
        }
        let debian = debian
            .err()
            .unwrap_or_else(|| "installed, yet incomplete or older than Rust 1.95".to_owned());
        Err(format!(
            "no Rust toolchain here builds for {TARGET}\n  rustup: {rustup}\n  Debian: {debian}\n\
             Do one of these, then try again:\n  rustup target add {TARGET}\n  \
             apt-get update && apt-get install {}    (Debian 12, as root)",
            DEBIAN_PACKAGES.join(" ")
        )
        .into())
    }

    /// What it is, for a person.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InUse => "the toolchain in use",
            Self::Debian => "Debian's Rust, standard library from source",
        }
    }

    /// `cargo build` for the target. Flags that a developer set for native code don't reach it.
    pub(crate) fn cargo_build(self) -> Command {
        let mut cargo = match self {
            Self::InUse => cargo::cargo(),
            Self::Debian => debian_cargo(),
        };
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        cargo.args(["build", "--target", TARGET]);
        if let Self::Debian = self {
            cargo.args(["-Z", "build-std=std,panic_abort"]);
        }
        cargo
    }
}

/// Installs Debian packages as root, showing what `apt-get` prints; the error is a short reason.
pub(crate) fn install(packages: &[&str]) -> std::result::Result<(), String> {
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err("there is no apt-get".to_owned());
    }
    if fs::metadata("/proc/self").map_or(true, |process| process.uid() != 0) {
        return Err(format!("{} can only be installed as root", packages.join(" ")));
    }
    eprintln!("installing {} with apt-get", packages.join(" "));
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-q", "-o", "DPkg::Lock::Timeout=120"])
            .args(arguments);
        cargo::run(command).map_err(|e| e.to_string())
    };
    apt_get(&["update"])?;
    apt_get(&[&["install", "-y", "--no-install-recommends"], packages].concat())
}

/// Whether the toolchain in use has the target's standard library.
fn has_target() -> bool {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let std_is_in = |folder: String| {
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        files
            .into_iter()
            .any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
    };
    cargo::output(rustc).is_some_and(std_is_in)
}

fn add_target() -> std::result::Result<(), String> {
    // rustup's cargo names the toolchain in use; without that, it is not rustup's to change.
    let toolchain = env::var("RUSTUP_TOOLCHAIN").map_err(|_| "the toolchain in use is not rustup's".to_owned())?;
    eprintln!("guests: rustup target add {TARGET}");
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET, "--toolchain", &toolchain]);
    match run_quietly(rustup, RUSTUP_LIMIT) {
        Ok(done) if done.success => Ok(()),
        Ok(done) => Err(done.last_line),
        Err(error) => Err(format!("it does not start: {error}")),
    }
}

fn debian_is_complete() -> bool {
    let mut rustc = Command::new(DEBIAN_RUSTC);
    without_rustup(&mut rustc).args(["--print", "sysroot"]);
    let source = |sysroot: String| {
        Path::new(&sysroot)
            .join("lib/rustlib/src/rust/library/Cargo.lock")
            .exists()
    };
    Path::new(DEBIAN_CARGO).exists()
        && Path::new(DEBIAN_LINKER).exists()
        && cargo::output(rustc).is_some_and(source)
        && debian_minor_version().is_some_and(|minor| minor >= 95)
}

/// The `95` of `rustc 1.95.0`. Debian's plain `rustc` is years older and has the same path.
fn debian_minor_version() -> Option<u32> {
    let mut rustc = Command::new(DEBIAN_RUSTC);
    without_rustup(&mut rustc).arg("--version");
    cargo::output(rustc)?
        .strip_prefix("rustc 1.")?
        .split('.')
        .next()?
        .parse()
        .ok()
}

fn debian_cargo() -> Command {
    let mut cargo = Command::new(DEBIAN_CARGO);
    without_rustup(&mut cargo);
    cargo
        .current_dir(cargo::root())
        .env("RUSTC", DEBIAN_RUSTC)
        .env("RUSTC_BOOTSTRAP", "1") // `-Z build-std` is for nightly toolchains otherwise
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER);
    cargo
}

/// Takes away what makes a program meet the toolchain in use: the cargo that started this task passes it on.
fn without_rustup(command: &mut Command) -> &mut Command {
    cargo::forget_xtask(command);
    for name in [
        "RUSTUP_TOOLCHAIN",
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOC",
        "LD_LIBRARY_PATH",
    ] {
        command.env_remove(name);
    }
    command
}
