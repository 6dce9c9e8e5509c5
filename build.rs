//! Makes the bindings for C that `quipu new agent --lang c` writes into projects.

use std::{env, path::Path};

#[path = "src/new/c_bindings.rs"]
mod c_bindings;

fn main() {
    println!("cargo::rerun-if-changed=wit");
    println!("cargo::rerun-if-changed=src/new/c_bindings.rs");
    let out = env::var_os("OUT_DIR").expect("cargo gives build scripts a folder");
    let written = c_bindings::write(Path::new("wit"), &Path::new(&out).join("c-bindings"));
    written.unwrap_or_else(|why| panic!("the bindings for C cannot be made: {why}"));
}
