//! `cargo xtask fuzz`: looks for inputs that break what quipu promises.

mod targets;

use crate::Result;

/// `[TARGET]... [--seconds N]` runs fuzz targets.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    targets::run(arguments)
}
