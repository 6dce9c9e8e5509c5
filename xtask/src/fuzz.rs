//! `cargo xtask fuzz`: looks for what breaks, longer than the tests do.

use crate::{Result, cargo};

const USAGE: &str = "\
fuzz takes a target:
  sim [--seeds N] [--from SEED]  power cuts, faults and kills on a simulated machine; ten power cuts a seed (default: 1000 seeds)";

/// Runs the target that is named first.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((target, options)) if target == "sim" => simulate(options),
        _ => Err(USAGE.into()),
    }
}

/// The simulator lives in the tests of quipu-log, whose insides it uses.
fn simulate(options: &[String]) -> Result<()> {
    let mut test = cargo::cargo();
    test.args(["test", "--quiet", "--package", "quipu-log", "--lib", "--"]);
    test.args(["simulation::many", "--exact", "--ignored", "--nocapture"]);
    let (mut pairs, rest) = (options.chunks_exact(2), options.len() % 2);
    for pair in &mut pairs {
        let name = match pair[0].as_str() {
            "--seeds" => "QUIPU_SIM_SEEDS",
            "--from" => "QUIPU_SIM_FROM",
            other => return Err(format!("{other} is no option of sim\n{USAGE}").into()),
        };
        let number: u64 = pair[1]
            .parse()
            .map_err(|_| format!("{} takes a number, not {:?}", pair[0], pair[1]))?;
        test.env(name, number.to_string());
    }
    if rest > 0 {
        return Err(format!("an option lacks its number\n{USAGE}").into());
    }
    cargo::run(test)
}
