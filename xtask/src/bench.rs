//! `cargo xtask bench`: builds the benchmarks, which are a workspace of their own, and runs them.

use crate::{Result, cargo, guests};

/// What takes RocksDB in, where the system has its library.
const ROCKSDB: &str = "--rocksdb";
/// A group, and the server that it puts under load.
const EDGE: &str = "edge";

/// Passes groups and options through to `quipu-bench`, apart from `--rocksdb`, which says how that is built.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    // The groups `run`, `peers` and `edge` run some of them.
    guests::build_rust()?;
    // The group `edge` starts the example server, which is built beside.
    if arguments.iter().any(|argument| argument == EDGE) {
        let mut server = cargo::cargo();
        server.args(["build", "--release", "--bin", EDGE]);
        server.args(["--manifest-path", "bench/Cargo.toml", "--target-dir", "target/bench"]);
        cargo::run(server)?;
    }
    let mut bench = cargo::cargo();
    bench.args([
        "run",
        "--bin",
        "quipu-bench",
        "--release",
        "--manifest-path",
        "bench/Cargo.toml",
        "--target-dir",
        "target/bench",
    ]);
    if arguments.iter().any(|argument| argument == ROCKSDB) {
        bench.args(["--features", "rocksdb"]);
    }
    bench.arg("--");
    bench.args(arguments.iter().filter(|argument| *argument != ROCKSDB));
    cargo::run(bench)
}
