//! `cargo xtask fuzz flips`: each small change of a closed ledger, found and located by verify.

use crate::{Result, cargo};

/// `[--entries N] [--all-bits]`: they are tests of quipu-log that take long.
pub(super) fn run(options: &[String]) -> Result<()> {
    let mut test = cargo::cargo();
    test.args(["test", "--release", "--package", "quipu-log", "--lib", "--", "flips::"]);
    test.args(["--ignored", "--nocapture"]);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match option.as_str() {
            "--all-bits" => {
                test.env("QUIPU_ALL_BITS", "1");
            }
            "--entries" => {
                let number = options.next().ok_or("--entries takes a number")?;
                let number: u32 = number
                    .parse()
                    .map_err(|_| format!("--entries takes a number, not {number:?}"))?;
                test.env("QUIPU_FLIPS", number.to_string());
            }
            other => return Err(format!("{other} is no option of fuzz flips").into()),
        }
    }
    cargo::run(test)
}
