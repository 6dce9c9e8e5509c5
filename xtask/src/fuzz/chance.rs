//! `cargo xtask fuzz calls` and `fuzz modules`: random calls against a model of memory, and modules changed at random.

use crate::{Result, cargo, guests};

/// Crates of ours that do most of the work. They are built with optimisation, and with the checks of a development build: what
/// overflows is found.
const OPTIMISED: [&str; 5] = [
    "quipu-host",
    "quipu-log",
    "quipu-format",
    "quipu-projections",
    "quipu-audit",
];

/// `[--calls N | --seconds N | --seeds N] [--from SEED]`: they are tests of quipu-host that go on for as long as they are told
/// to.
pub(super) fn run(test: &str, options: &[String]) -> Result<()> {
    guests::build_rust()?;
    let mut command = cargo::cargo();
    for name in OPTIMISED {
        command.args(["--config", &format!("profile.dev.package.{name}.opt-level=3")]);
    }
    command.args(["test", "--quiet", "--package", "quipu-host", "--test", "random", "--"]);
    command.args([&format!("{test}::many"), "--exact", "--ignored", "--nocapture"]);
    let pairs = options.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(format!("an option of fuzz {test} lacks its number").into());
    }
    for pair in pairs {
        let name = match pair[0].as_str() {
            "--seconds" => "QUIPU_SECONDS",
            "--seeds" => "QUIPU_SEEDS",
            "--calls" if test == "calls" => "QUIPU_CALLS",
            "--from" => "QUIPU_FROM",
            other => {
                return Err(format!(
                    "{other} is no option of fuzz {test}; it takes --seconds N, --seeds N and --from SEED, calls also --calls N"
                )
                .into());
            }
        };
        let number: u64 = pair[1]
            .parse()
            .map_err(|_| format!("{} takes a number, not {:?}", pair[0], pair[1]))?;
        command.env(name, number.to_string());
    }
    cargo::run(command)
}
