//! What keeps, or might keep, agents from running on this machine.

use quipu_format::Limits;
use quipu_log::Check;
use rustix::process::{Resource, getrlimit};

use crate::{Confinement, engine};

/// Open files below which a ledger with many segments and clients may run out of them.
const OPEN_FILES: u64 = 1_024;

/// Looks at the platform, the engine, what confines a process, and what this process may use.
pub fn check_machine() -> Vec<Check> {
    vec![platform(), engine(), confinement(), open_files()]
}

fn platform() -> Check {
    const ABOUT: &str = "platform";
    let uname = rustix::system::uname();
    let (system, release) = (uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
    let says = format!("{system} {release}, {}", std::env::consts::ARCH);
    if cfg!(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )) {
        Check::good(ABOUT, says)
    } else {
        Check::doubtful(ABOUT, says, "tested is Linux on x86-64; run `cargo xtask test` here")
    }
}

fn engine() -> Check {
    const ABOUT: &str = "engine";
    match engine::pooled(&Limits::default()) {
        Ok(_) => Check::good(ABOUT, format!("room for {} runs at once", engine::MEMORIES)),
        Err(error) => match engine::on_demand() {
            Ok(_) => Check::doubtful(
                ABOUT,
                format!("there is no pool of instances: {error:#}"),
                "give it address space (`ulimit -v unlimited`); without, runs begin more slowly",
            ),
            Err(error) => Check::bad(ABOUT, error.to_string(), "see docs/EMBEDDING.md"),
        },
    }
}

fn confinement() -> Check {
    const ABOUT: &str = "confinement";
    let possible = Confinement::possible();
    if possible.files && possible.network && possible.processes {
        return Check::good(ABOUT, "files, network and processes (Landlock)");
    }
    Check::doubtful(
        ABOUT,
        possible.to_string(),
        "a Linux kernel of 6.12 or newer with Landlock confines all; it is a second wall, and the first does not need it",
    )
}

fn open_files() -> Check {
    const ABOUT: &str = "open files";
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < OPEN_FILES => Check::doubtful(
            ABOUT,
            format!("this process may have {limit}"),
            format!("`ulimit -n {OPEN_FILES}` or more: segments, sidecars and clients take one each"),
        ),
        Some(limit) => Check::good(ABOUT, format!("this process may have {limit}")),
        None => Check::good(ABOUT, "as many as it likes"),
    }
}
