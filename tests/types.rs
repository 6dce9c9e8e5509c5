//! The declarations that a project in JavaScript begins with are what TypeScript checks its agent by.

mod driver;

use std::{fs, path::Path, process::Command};

use driver::{Ran, quipu, root, run};

/// TypeScript, in the version that its lock file pins; a line says why not.
fn tsc() -> Option<Command> {
    let folder = root().join("target/strangers/types");
    let tsc = folder.join("node_modules/.bin/tsc");
    if !driver::has("node", "the declarations of agents in JavaScript") {
        return None;
    }
    if !folder.join("installed").exists() {
        println!(
            "skipped, TypeScript is missing (`cargo xtask test` installs it): the declarations of agents in JavaScript"
        );
        return None;
    }
    Some(Command::new(tsc))
}

fn checked(mut tsc: Command, project: &Path) -> Ran {
    let strictly = [
        "--noEmit",
        "--checkJs",
        "--strict",
        "--pretty",
        "false",
        "--project",
        "jsconfig.json",
    ];
    run(tsc.args(strictly).current_dir(project))
}

#[test]
fn a_project_in_javascript_fits_its_declarations_and_what_does_not_is_found() {
    if tsc().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let new = ["new", "agent", "my-helper", "--lang", "js"];
    run(quipu().args(new).current_dir(folder.path())).good();
    let project = folder.path().join("my-helper");
    let good = checked(tsc().unwrap(), &project);
    assert_eq!((good.code, good.out.as_str()), (0, ""));

    let file = project.join("agent.js");
    let agent = fs::read_to_string(&file).unwrap();
    for (before, after) in [
        // An answer that is no text, a position that is a BigInt, a member that is missing, one that there is not, a text for a list,
        // and a function that no agent has.
        (
            "return `${held.length} statements in ${home.scope()}`;",
            "return held.length;",
        ),
        ("reader.read(page.next, 256)", "memoryOf(reader).read(1n, 256)"),
        ("append({ kind: \"memory.write\", ", "append({ "),
        ("append({ kind: ", "append({ seq: 1, kind: "),
        ("supersedes, key:", "supersedes: \"evt_1\", key:"),
        ("import { append } from", "import { append, remove } from"),
    ] {
        let after = after.replace(
            "memoryOf(reader)",
            "/** @type {import(\"quipu:memory/read\").Reader} */ (reader)",
        );
        assert!(agent.contains(before), "{before}");
        fs::write(&file, agent.replacen(before, &after, 1)).unwrap();
        let bad = checked(tsc().unwrap(), &project);
        assert_ne!(bad.code, 0, "{after}");
        assert!(bad.out.starts_with("agent.js("), "{after}: {}", bad.out);
    }
}
