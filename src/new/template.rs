//! What a project begins with: the example agents themselves, so that what is built and tested here is what people get.

use std::borrow::Cow;

/// A language that an agent can be written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Language {
    /// Rust, with the SDK
    Rust,
    /// JavaScript, by componentize-qjs
    Js,
    /// Python, by componentize-py
    Python,
    /// C, by any clang for WebAssembly, for example Zig's
    C,
}

type File = (&'static str, &'static [u8]);

/// Files below a folder, by their paths in it.
macro_rules! folder {
    ($folder:literal: $($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!("../../", $folder, "/", $path)))),*]
    };
}

// Cargo packs no folder that has a manifest, so this and the SDK are reached by links beside this file: what links lead to is packed.
const RUST: &[File] = &[
    (".cargo/config.toml", include_bytes!("rust/config.toml")),
    (".gitignore", include_bytes!("rust/gitignore")),
    ("Cargo.lock", include_bytes!("rust/lock.toml")),
    ("Cargo.toml", include_bytes!("rust/manifest.toml")),
    ("README.md", include_bytes!("rust/README.md")),
    ("src/lib.rs", include_bytes!("rust/lib.rs")),
];
const JS: &[File] = folder!("examples/agents/js":
    ".gitignore", ".npmrc", "README.md", "agent.js", "jsconfig.json", "package-lock.json", "package.json", "quipu.d.ts");
const PYTHON: &[File] = folder!("examples/agents/python":
    ".gitignore", "README.md", "app.py", "build.py", "requirements.txt");
const C: &[File] = folder!("examples/agents/c":
    ".gitignore", "Makefile", "README.md", "agent.c", "requirements.txt", "text.h");
/// Made by the build script, so that whoever builds an agent needs a compiler only.
const C_BINDINGS: &[File] = &[
    (
        "bindings/agent.c",
        include_bytes!(concat!(env!("OUT_DIR"), "/c-bindings/agent.c")),
    ),
    (
        "bindings/agent.h",
        include_bytes!(concat!(env!("OUT_DIR"), "/c-bindings/agent.h")),
    ),
    (
        "bindings/agent_component_type.o",
        include_bytes!(concat!(env!("OUT_DIR"), "/c-bindings/agent_component_type.o")),
    ),
];
const WIT: &[File] = folder!("wit":
    "append.wit", "fold.wit", "read.wit", "recall.wit", "types.wit", "worlds.wit");
/// The SDK without its manifest, which leans on a workspace.
const SDK: &[File] = folder!("src/new/sdk":
    "bindings.rs", "draft.rs", "error.rs", "event.rs", "events.rs", "lib.rs", "memory.rs", "mock.rs", "mock/calls.rs",
    "mock/recalled.rs", "mock/tests.rs", "prompt.rs", "prompt.txt", "query.rs");
const SDK_MANIFEST: &str = include_str!("sdk.toml");
const WORKSPACE: &str = include_str!("workspace.toml");

impl Language {
    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Js => "JavaScript",
            Self::Python => "Python",
            Self::C => "C",
        }
    }

    /// What a person types in the folder to build.
    pub(super) fn build(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &["cargo build --release"],
            Self::Js => &["npm install", "npm run build"],
            Self::Python => &["python3 build.py"],
            Self::C => &["make"],
        }
    }

    /// What is built then, in the folder.
    pub(super) fn component(self, name: &str) -> String {
        match self {
            Self::Rust => format!("target/wasm32-unknown-unknown/release/{}.wasm", name.replace('-', "_")),
            Self::Js | Self::Python | Self::C => format!("{name}.wasm"),
        }
    }

    fn folder(self) -> (&'static str, &'static [File]) {
        match self {
            Self::Rust => ("rust", RUST),
            Self::Js => ("js", JS),
            Self::Python => ("python", PYTHON),
            Self::C => ("c", C),
        }
    }
}

/// The crates that a project in Rust is built of.
pub(super) fn crates() -> impl Iterator<Item = &'static str> {
    let locked = include_str!("rust/lock.toml").lines();
    locked.filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
}

/// All files of a project, by their paths in its folder.
pub(super) fn files(language: Language, name: &str) -> Vec<(String, Cow<'static, [u8]>)> {
    let (folder, own) = language.folder();
    let mut files: Vec<(String, Cow<'static, [u8]>)> = Vec::new();
    let made = if language == Language::C { C_BINDINGS } else { &[] };
    for (path, content) in own.iter().chain(made) {
        // What is no text has no names in it.
        let content = match std::str::from_utf8(content) {
            Ok(text) => Cow::Owned(named(text, folder, name).into_bytes()),
            Err(_) => Cow::Borrowed(*content),
        };
        files.push(((*path).to_owned(), content));
    }
    let kept =
        |folder: &'static str| move |(path, content): &File| (format!("{folder}/{path}"), Cow::Borrowed(*content));
    if language == Language::Rust {
        files.extend(SDK.iter().map(kept("quipu-guest/src")));
        files.extend(WIT.iter().map(kept("quipu-guest/wit")));
        let manifest = standing_alone(SDK_MANIFEST, WORKSPACE).into_bytes();
        files.push(("quipu-guest/Cargo.toml".to_owned(), manifest.into()));
    } else {
        files.extend(WIT.iter().map(kept("wit")));
    }
    files
}

/// An example's file as a project's: its own name, and what it leans on beside it.
fn named(text: &str, folder: &str, name: &str) -> String {
    text.replace("../../../wit", "wit")
        .replace("../../../guest", "quipu-guest")
        .replace(&format!("agent-{folder}"), name)
        // As cargo names its library. `agent_c…` is a part of other names.
        .replace("agent_rust", &name.replace('-', "_"))
}

/// A manifest in which what its workspace says is said by itself, and nothing of how it is packed.
fn standing_alone(manifest: &str, workspace: &str) -> String {
    let said = |key: &str| {
        let begins = format!("{key} = ");
        workspace.lines().find(|line| line.starts_with(&begins))
    };
    let own = manifest
        .lines()
        .filter_map(|line| match line.strip_suffix(".workspace = true") {
            Some(key) => said(key),
            None => Some(line).filter(|line| !["[lints]", "workspace = true"].contains(line)),
        });
    let own = own.filter(|line| !line.starts_with("readme = ") && !line.starts_with("include = "));
    own.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::{super::left::is_left_behind, *};

    fn text(files: &[(String, Cow<'static, [u8]>)], path: &str) -> String {
        let (_, content) = files.iter().find(|(there, _)| there == path).unwrap();
        String::from_utf8(content.to_vec()).unwrap()
    }

    #[test]
    fn each_file_of_what_a_project_begins_with_is_in_it() {
        let below = |folder: &str| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let mut found = BTreeSet::new();
            let mut waiting = vec![root.clone()];
            while let Some(folder) = waiting.pop() {
                for entry in fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                    match path.is_dir() {
                        _ if is_left_behind(path.file_name().unwrap().to_str().unwrap()) => {}
                        // What is made of the interface.
                        true if name == "bindings" => {}
                        true => waiting.push(path),
                        false => drop(found.insert(name)),
                    }
                }
            }
            found
        };
        for (folder, files) in [
            ("examples/agents/rust", RUST),
            ("examples/agents/js", JS),
            ("examples/agents/python", PYTHON),
            ("examples/agents/c", C),
            ("wit", WIT),
            ("guest/src", SDK),
        ] {
            let named: BTreeSet<_> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
            assert_eq!(named, below(folder), "{folder}");
        }
    }

    #[test]
    fn a_project_has_its_own_name_and_leans_on_nothing_outside_of_it() {
        for language in [Language::Rust, Language::Js, Language::Python, Language::C] {
            let files = files(language, "my-helper");
            for (path, content) in &files {
                let text = String::from_utf8_lossy(content);
                assert!(!text.contains("../../"), "{language:?} {path}");
                assert!(
                    !text.contains("agent-rust") && !text.contains("agent_rust"),
                    "{language:?} {path}"
                );
            }
            assert!(text(&files, "README.md").contains("my-helper"), "{language:?}");
            let wit = if language == Language::Rust {
                "quipu-guest/wit/worlds.wit"
            } else {
                "wit/worlds.wit"
            };
            assert!(files.iter().any(|(path, _)| path == wit), "{language:?}");
        }
        let manifest = text(&files(Language::Rust, "my-helper"), "quipu-guest/Cargo.toml");
        assert!(
            !manifest.contains("workspace") && manifest.contains("\nserde = {"),
            "{manifest}"
        );
        assert!(
            !manifest.contains("include") && !manifest.contains("readme"),
            "{manifest}"
        );
    }
}
