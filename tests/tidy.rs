//! Rules of the house that no compiler checks. Each failure names the file and what to do.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[test]
fn every_test_guest_is_built_and_used_by_a_test() {
    let manifest = text("tests/guests/Cargo.toml");
    let tests: String = rust_files(&["tests", "host/tests"])
        .iter()
        .filter(|path| !path.starts_with("tests/guests") && !path.ends_with("tidy.rs"))
        .map(text)
        .collect();
    let guests = rust_files(&["tests/guests/examples"]);
    assert!(guests.len() > 1, "no guests were found");
    let mut wrong = Vec::new();
    for path in guests {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !manifest.contains(&format!("name = \"{name}\"")) {
            wrong.push(format!(
                "{}: give it an [[example]] in tests/guests/Cargo.toml",
                path.display()
            ));
        }
        if !tests.contains(&format!("\"{name}\"")) {
            wrong.push(format!(
                "{}: no test in tests/ or host/tests/ names \"{name}\"",
                path.display()
            ));
        }
    }
    assert_none(&wrong);
}

#[test]
fn a_long_file_says_why() {
    const LINES: usize = 400;
    let too_long = |path: &PathBuf| {
        let text = text(path);
        let says_why = text.lines().take(30).any(|line| line.contains("// Long because"));
        (text.lines().count() > LINES && !says_why).then(|| {
            format!(
                "{}: over {LINES} lines; split it, or begin with `// Long because …`",
                path.display()
            )
        })
    };
    let wrong: Vec<_> = rust_files(&["."]).iter().filter_map(too_long).collect();
    assert_none(&wrong);
}

#[test]
fn ambient_authority_is_taken_in_one_file_of_log() {
    let files = rust_files(&["log/src"]);
    let naming: Vec<_> = files.iter().filter(|path| names(&text(path), "cap_std")).collect();
    assert_eq!(naming.len(), 1, "exactly one file in log/src names cap_std: {naming:?}");
}

/// The engine takes code that another process compiled in no other way; nothing else needs it.
#[test]
fn one_file_is_allowed_what_is_unsafe() {
    let files = rust_files(&[
        "src",
        "format/src",
        "log/src",
        "projections/src",
        "audit/src",
        "host/src",
    ]);
    let naming: Vec<_> = files.iter().filter(|path| names(&text(path), "unsafe_code")).collect();
    assert_eq!(naming, [Path::new("host/src/code.rs")]);
}

#[test]
fn no_part_names_what_it_must_not_know() {
    let forbidden = [
        // Pure: whoever verifies in a browser has no files, no clock, no randomness.
        (
            "format/src",
            &[
                "fs",
                "net",
                "env",
                "process",
                "SystemTime",
                "Instant",
                "getrandom",
                "rand",
            ][..],
        ),
        ("log/src", &["wasmtime", "wit_component"]),
        ("projections/src", &["wasmtime", "cap_std"]),
        ("guard/src", &["fs", "net", "env", "quipu_log", "wasmtime"]),
        ("host/src", &["cap_std", "rusqlite", "secrets_scanner"]),
        ("guest/src", &["quipu_format", "quipu_log", "wasmtime"]),
        (
            "guest/projection/src",
            &["quipu_format", "quipu_log", "quipu_guest", "wasmtime"],
        ),
        ("src", &["cap_std", "rusqlite", "wasmtime"]),
    ];
    let mut wrong = Vec::new();
    for (folder, names_forbidden) in forbidden {
        let files = rust_files(&[folder]);
        assert!(!files.is_empty(), "{folder} has no Rust files");
        for path in files {
            let text = text(&path);
            for name in names_forbidden.iter().filter(|name| names(&text, name)) {
                wrong.push(format!(
                    "{}: names `{name}`, of which {folder} must not know",
                    path.display()
                ));
            }
        }
    }
    assert_none(&wrong);
}

/// The mock of memory must not depend on the host, so both list them.
#[test]
fn a_mock_grants_the_kinds_that_a_host_grants() {
    let kinds = quipu_host::DEFAULT_KINDS.map(|kind| format!("    \"{kind}\",\n"));
    let list = format!("= [\n{}];", kinds.concat());
    assert!(text("guest/src/mock.rs").contains(&list), "{list}");
}

#[test]
fn dependencies_point_one_way() {
    let allowed = [
        ("format", &[][..]),
        ("guest", &[]),
        ("guest/projection", &[]),
        ("guest/compactor", &[]),
        ("log", &["quipu-format"]),
        ("projections", &["quipu-format", "quipu-log"]),
        ("audit", &["quipu-format"]),
        ("guard", &["quipu-format"]),
        (
            "host",
            &[
                "quipu-format",
                "quipu-log",
                "quipu-audit",
                "quipu-guard",
                "quipu-projections",
            ],
        ),
    ];
    let mut wrong = Vec::new();
    for (part, allowed) in allowed {
        let manifest = text(format!("{part}/Cargo.toml"));
        let ours = manifest.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
        for name in ours.filter(|name| name.starts_with("quipu-") && !allowed.contains(name)) {
            wrong.push(format!("{part}/Cargo.toml: {part} must not depend on {name}"));
        }
    }
    assert_none(&wrong);
}

/// A crate is packed with what its own folder has, and no link, so that it can be used from a checkout on any system.
#[test]
fn each_crate_has_the_interface_as_it_is_in_wit() {
    let interface = files(&["wit"]);
    assert!(interface.len() > 1, "wit/ has no files");
    let mut wrong = Vec::new();
    for folder in ["audit", "host", "guest", "guest/projection", "guest/compactor"] {
        let folder = PathBuf::from(folder);
        let copies = files(&[&folder.join("wit").to_string_lossy()]);
        let as_in_wit = |path: &PathBuf| {
            let copy = root().join(folder.join(path));
            copy.symlink_metadata().is_ok_and(|found| found.is_file()) && text(folder.join(path)) == text(path)
        };
        if copies.len() != interface.len() || !interface.iter().all(as_in_wit) {
            let folder = folder.display();
            wrong.push(format!(
                "{folder}/wit is not wit/: rm -r {folder}/wit && cp -r wit {folder}/wit"
            ));
        }
    }
    assert_none(&wrong);
}

/// As `wkg build` makes it for a registry, which needs nothing that is not in wit/ and wkg.toml.
#[test]
fn the_interface_is_a_package_that_stands_alone() {
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_path(root().join("wit")).unwrap();
    let wasm = wit_component::encode(&resolve, package, false).unwrap();
    let decoded = wit_component::decode(&wasm).unwrap();
    let (resolve, package) = (decoded.resolve(), &decoded.resolve().packages[decoded.package()]);
    assert_eq!(package.name.to_string(), "quipu:memory@0.1.0");
    assert_eq!(resolve.packages.len(), 1, "it depends on no other");
    let worlds: BTreeSet<_> = package.worlds.keys().map(String::as_str).collect();
    assert_eq!(worlds, BTreeSet::from(["agent", "compactor", "observer", "projection"]));
    let license = |file: &str, key: &str| {
        let text = text(file);
        let line = text.lines().find(|line| line.starts_with(key)).map(str::to_owned);
        line.and_then(|line| line.split('"').nth(1).map(str::to_owned))
    };
    let ours = license("Cargo.toml", "license = ");
    assert!(ours.is_some() && license("wkg.toml", "licenses = ") == ours, "{ours:?}");
}

#[test]
fn the_commands_of_the_documents_exist() {
    let tasks = text("xtask/src/main.rs");
    let mut named = BTreeSet::new();
    for document in ["README.md", "CONTRIBUTING.md"] {
        let text = text(document);
        named.extend(
            text.split("cargo xtask ")
                .skip(1)
                .map(|rest| rest.chars().take_while(char::is_ascii_alphabetic).collect::<String>()),
        );
    }
    assert!(
        named.contains("demo") && named.contains("test"),
        "README.md shows the two commands"
    );
    let wrong: Vec<_> = named
        .iter()
        .filter(|task| !tasks.contains(&format!("\"{task}\"")))
        .collect();
    assert!(wrong.is_empty(), "documents name tasks that xtask has not: {wrong:?}");
}

#[test]
fn the_agent_of_the_readme_is_the_one_that_is_compiled() {
    let readme = text("README.md");
    let agent = readme
        .split("```rust\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("README.md has an agent");
    let documented: String = agent
        .lines()
        .map(|line| format!("//! {line}").trim_end().to_owned() + "\n")
        .collect();
    assert!(
        text("guest/src/lib.rs").contains(&documented),
        "README.md's agent is not that of guest/src/lib.rs"
    );
}

#[test]
fn the_prompt_of_the_documents_is_the_one_of_the_sdk() {
    let prompt = text("guest/src/prompt.txt");
    assert!(
        text("docs/PLUGINS.md").contains(&format!("```text\n{prompt}```")),
        "docs/PLUGINS.md does not show guest/src/prompt.txt"
    );
}

#[test]
fn no_file_names_a_development_machine() {
    // In two parts, so that this file is not one of them.
    let machine = [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"], ["/tmp/", "bash_jobs"]].map(|parts| parts.concat());
    let is_text = |path: &PathBuf| {
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        [
            "rs", "toml", "md", "wit", "py", "js", "mjs", "json", "c", "go", "sh", "jsonl",
        ]
        .contains(&ending.as_str())
    };
    let mut wrong = Vec::new();
    for path in files(&["."]).into_iter().filter(is_text) {
        let text = text(&path);
        wrong.extend(
            machine
                .iter()
                .filter(|m| text.contains(*m))
                .map(|m| format!("{}: {m}", path.display())),
        );
    }
    assert_none(&wrong);
}

#[test]
fn names_are_found_as_whole_words_wherever_they_stand() {
    for code in [
        "use std::fs;",
        "use std::{\n    fmt, fs,\n};",
        "std::fs::read(x)",
        "use std::{fs::File, io};",
    ] {
        assert!(names(code, "fs"), "{code}");
    }
    for code in ["let offset_fs = 1;", "use std::fmt;", "// files and fsync", "fs2::x"] {
        assert!(!names(code, "fs"), "{code}");
    }
}

/// Whether Rust source has the identifier, outside of comments.
fn names(source: &str, identifier: &str) -> bool {
    let code = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .any(|word| word == identifier)
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn rust_files(folders: &[&str]) -> Vec<PathBuf> {
    files(folders)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

/// All files below the folders, relative to the checkout, without what is built or hidden.
fn files(folders: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = folders
        .iter()
        .map(|folder| PathBuf::from(folder.trim_start_matches('.')))
        .collect();
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(root().join(&folder)) else {
            continue;
        };
        for entry in entries {
            let entry = entry.expect("the folder can be read");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            if name.starts_with('.') || name == "target" || name == "ledger" {
                continue;
            }
            if entry.file_type().expect("it has a type").is_dir() {
                waiting.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
