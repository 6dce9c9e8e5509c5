//! Project tasks: `cargo xtask demo`, `test`, `guests`, `bench`, `fuzz`, `mutants`, `package`, `sbom`, `templates`. Each is one file.

mod bench;
#[path = "../../src/new/c_bindings.rs"]
mod c_bindings;
mod cargo;
mod demo;
mod fuzz;
mod guests;
mod languages;
mod mutants;
mod package;
mod sbom;
mod strangers;
mod templates;
mod test;
mod tools;
mod wasm;

use std::{error::Error, process::ExitCode};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "\
Usage: cargo xtask TASK

Tasks:
  demo                           an agent remembers, answers with citations, and fails to rewrite
  test [CARGO-TEST-ARGUMENT]...  everything that is tested: guests, then `cargo test --workspace`
  guests                         build every guest component into target/guests
  bench [GROUP]... [OPTION]...   measure; groups: append, peers, run, read, recall (default: these), recall-many,
                                 and large, which needs --folder DIR and 14 GB there. --rocksdb: take RocksDB in among the peers, where
                                 the system has its library. --help: all options
  fuzz [TARGET]... [--seconds N] look for inputs that break a promise; a minute a target (default: all)
  fuzz sim [--seeds N]           power cuts, faults and kills on a simulated machine
  fuzz flips [--entries N] [--all-bits]
                                 flip each byte, cut at each and swap each two entries of a ledger, and verify it
  fuzz calls [--seconds N]       random calls of a guest against a model of memory; --calls N, --seeds N, --from SEED
  fuzz modules [--seconds N]     components of modules that were changed at random: none conforms that does not link
  sbom [--out FILE]              what a release consists of, as CycloneDX
  package                        pack every crate, and see that each builds from its package alone
  templates [LANGUAGE]...        follow the README of each project that `quipu new agent` writes, with tools from the network
  mutants [WORD]...              break the log one place at a time in a copy, and see that a test fails (half an hour)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = match arguments.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("--help", &[][..]),
    };
    let done = match task {
        "demo" if rest.is_empty() => demo::run(),
        "test" => test::run(rest),
        "guests" if rest.is_empty() => guests::build().map(|_| ()),
        "bench" => bench::run(rest),
        "fuzz" => fuzz::run(rest),
        "templates" => templates::run(rest),
        "sbom" => sbom::run(rest),
        "package" if rest.is_empty() => package::run_all(),
        "mutants" => mutants::run(rest),
        "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("xtask: `{}` is no task\n\n{USAGE}", arguments.join(" "));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {task}: {error}");
            ExitCode::FAILURE
        }
    }
}
