//! `cargo xtask fuzz`: looks for what breaks what quipu promises, longer than the tests do.

mod chance;
mod flips;
mod simulation;
mod targets;

use crate::Result;

/// `[TARGET]... [--seconds N]` runs fuzz targets, `sim [--seeds N] [--from SEED]` the simulator, `flips [--entries N]
/// [--all-bits]` each small change of a ledger, `calls` and `modules` what chance finds at the edge of the sandbox.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((target, options)) if target == "sim" => simulation::run(options),
        Some((target, options)) if target == "flips" => flips::run(options),
        Some((target, options)) if target == "calls" || target == "modules" => chance::run(target, options),
        _ => targets::run(arguments),
    }
}
