//! `cargo xtask fuzz sim`: power cuts, faults and kills on a simulated machine.

use crate::{Result, cargo};

/// The simulator lives in the tests of quipu-log, whose insides it uses.
pub(super) fn run(options: &[String]) -> Result<()> {
    let mut test = cargo::cargo();
    test.args(["test", "--quiet", "--package", "quipu-log", "--lib", "--"]);
    test.args(["simulation::many", "--exact", "--ignored", "--nocapture"]);
    let (mut pairs, rest) = (options.chunks_exact(2), options.len() % 2);
    for pair in &mut pairs {
        let name = match pair[0].as_str() {
            "--seeds" => "QUIPU_SIM_SEEDS",
            "--from" => "QUIPU_SIM_FROM",
            other => {
                return Err(format!("{other} is no option of fuzz sim; it takes --seeds N and --from SEED").into());
            }
        };
        let number: u64 = pair[1]
            .parse()
            .map_err(|_| format!("{} takes a number, not {:?}", pair[0], pair[1]))?;
        test.env(name, number.to_string());
    }
    if rest > 0 {
        return Err("an option of fuzz sim lacks its number".into());
    }
    cargo::run(test)
}
