//! `cargo xtask bench`: builds the benchmarks, which are a workspace of their own, and runs them.

use crate::{Result, cargo, guests};

/// Passes groups and options through to `quipu-bench`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    // The group `run` runs one of them.
    guests::build()?;
    let mut bench = cargo::cargo();
    bench.args([
        "run",
        "--release",
        "--manifest-path",
        "bench/Cargo.toml",
        "--target-dir",
        "target/bench",
        "--",
    ]);
    bench.args(arguments);
    cargo::run(bench)
}
