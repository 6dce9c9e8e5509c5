//! What is here to build agents in several languages.

use std::{fs, path::PathBuf};

use super::root;

const LANGUAGES: [&str; 4] = ["rust", "js", "python", "c"];

/// The languages whose tools are here; a line says why another is not.
pub(crate) fn built() -> Vec<&'static str> {
    let is_built = |language: &&&str| {
        let why = fs::read_to_string(tools(language).with_extension("missing"));
        if let Ok(why) = &why {
            println!("skipped, {why}");
        }
        why.is_err()
    };
    LANGUAGES.iter().filter(is_built).copied().collect()
}

/// Where `cargo xtask guests` keeps the tools of a language.
pub(crate) fn tools(language: &str) -> PathBuf {
    root().join("target/tools").join(language)
}
