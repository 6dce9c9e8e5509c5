//! The small agent in languages that are not Rust: built as its own build files say, in a copy of its folder, with tools below
//! target/tools. Where a tool cannot be had the language is left out, and a sentence says why.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::{
    Result,
    cargo::{self, run_captured},
    guests, tools,
};

#[path = "../../src/new/left.rs"]
mod left;

/// How long one may take to be built. The first of C compiles a libc.
const LIMIT: Duration = Duration::from_secs(600);

/// A language, and what is special about it here.
struct Language {
    /// Its folder in examples/agents.
    folder: &'static str,
    /// What it is called.
    name: &'static str,
    /// Installs its tools into a folder.
    install: fn(&Path, &Path) -> Result<()>,
    /// Builds, in the copy, with the tools.
    build: fn(&Path, &Path) -> Result<Command>,
}

const LANGUAGES: [Language; 3] = [
    Language {
        folder: "js",
        name: "JavaScript",
        install: |source, tools| tools::npm("componentize-qjs", source, tools),
        build: build_js,
    },
    Language {
        folder: "python",
        name: "Python",
        install: |source, tools| tools::pip("componentize-py", &source.join("requirements.txt"), tools),
        build: build_python,
    },
    Language {
        folder: "c",
        name: "C",
        install: install_c,
        build: build_c,
    },
];

/// Builds them into `folder` and adds them to the components by name: `agent-js`. Returns how many were built anew.
pub(crate) fn build(folder: &Path, components: &mut BTreeMap<String, PathBuf>) -> Result<usize> {
    let tools = cargo::root().join("target/tools");
    fs::create_dir_all(&tools)?;
    let mut built = 0;
    for language in &LANGUAGES {
        let source = cargo::root().join("examples/agents").join(language.folder);
        let own = tools.join(language.folder);
        // Tests read this, to say why they are skipped.
        let missing = tools.join(language.folder).with_extension("missing");
        if let Err(why) = (language.install)(&source, &own) {
            let why = format!("the agent in {} is not built: {why}", language.name);
            eprintln!("guests: {why}");
            fs::write(missing, why)?;
            continue;
        }
        if missing.exists() {
            fs::remove_file(missing)?;
        }
        let name = format!("agent-{}", language.folder);
        let component = folder.join(&name).with_extension("wasm");
        built += usize::from(build_one(language, &source, &own, &component).map_err(|e| format!("guest {name}: {e}"))?);
        components.insert(name, component);
    }
    Ok(built)
}

/// Why those are missing that could not be built last time.
pub(crate) fn missing() -> Vec<String> {
    let said = |language: &Language| {
        let missing = cargo::root()
            .join("target/tools")
            .join(language.folder)
            .with_extension("missing");
        fs::read_to_string(missing).ok()
    };
    LANGUAGES.iter().filter_map(said).collect()
}

/// Builds one unless all that goes into it is as it was. Returns whether it did.
fn build_one(language: &Language, source: &Path, tools: &Path, component: &Path) -> Result<bool> {
    let mut inputs = Vec::new();
    // As deep below the top folder as the original, so that `../../../wit` means the same.
    let copy = cargo::root().join("target/agents").join(language.folder);
    let sources = files(source)?;
    for path in &sources {
        let content = fs::read(path)?;
        let to = copy.join(path.strip_prefix(source)?);
        fs::create_dir_all(to.parent().unwrap_or(&copy))?;
        // What has not changed keeps its time: make looks at that.
        if fs::read(&to).ok().as_ref() != Some(&content) {
            fs::write(to, &content)?;
        }
        if path.extension().is_none_or(|ending| ending != "md") {
            add(&mut inputs, &path.strip_prefix(source)?.to_string_lossy(), &content);
        }
    }
    let shared = files(&cargo::root().join("wit"))?;
    let still = language.folder == "js"; // The others' tools are not kept from looking at the clock.
    for path in shared.into_iter().chain(still.then(|| cargo::root().join(STILL))) {
        add(
            &mut inputs,
            &path.strip_prefix(cargo::root())?.to_string_lossy(),
            &fs::read(&path)?,
        );
    }
    let record = copy.join("built-of");
    if component.exists() && fs::read(&record).is_ok_and(|before| before == inputs) {
        return Ok(false);
    }
    let result = copy.join(component.file_name().unwrap_or_default());
    if result.exists() {
        fs::remove_file(&result)?;
    }
    let mut command = (language.build)(&copy, tools)?;
    command.current_dir(&copy);
    let done = run_captured(command, LIMIT)?;
    if !done.success {
        let why = if done.timed_out { "it takes too long\n" } else { "" };
        return Err(format!("it cannot be built\n{why}{}", done.said).into());
    }
    guests::keep(&fs::read(&result)?, component)?;
    fs::write(record, inputs)?;
    Ok(true)
}

/// Adds a file to what something is made of: no two sets of files are the same bytes.
fn add(inputs: &mut Vec<u8>, path: &str, content: &[u8]) {
    for part in [path.as_bytes(), content] {
        inputs.extend((part.len() as u64).to_le_bytes());
        inputs.extend(part);
    }
}

/// What npm would run, without npm: what is loaded before it stops the clock, and npm waits for time to pass.
fn build_js(copy: &Path, tools: &Path) -> Result<Command> {
    let package: Value = serde_json::from_slice(&fs::read(copy.join("package.json"))?)?;
    let script = package["scripts"]["build"]
        .as_str()
        .ok_or("package.json has no script `build`")?;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .env("PATH", before_path(&tools.join("node_modules/.bin"))?)
        .env("LD_PRELOAD", still()?);
    Ok(shell)
}

fn build_python(_copy: &Path, tools: &Path) -> Result<Command> {
    let mut python = Command::new(tools.join("bin/python"));
    python.arg("build.py").env("PATH", before_path(&tools.join("bin"))?);
    Ok(python)
}

fn install_c(source: &Path, tools: &Path) -> Result<()> {
    let mut make = Command::new("make");
    make.arg("--version");
    if cargo::output(make).is_none() {
        return Err("there is no make (Debian: apt-get install make)".into());
    }
    tools::pip("ziglang, 100 MB,", &source.join("requirements.txt"), tools)
}

fn build_c(_copy: &Path, tools: &Path) -> Result<Command> {
    let mut make = Command::new("make");
    let zig = tools.join("bin/python");
    make.arg("--always-make")
        .arg(format!("ZIG={} -m ziglang", zig.display()));
    Ok(make)
}

const STILL: &str = "xtask/src/still.c";

/// A library that fixes clock and randomness for what it is loaded into.
fn still() -> Result<PathBuf> {
    let source = cargo::root().join(STILL);
    let library = cargo::root().join("target/tools/still.so");
    let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    if modified(&library) < modified(&source) {
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source);
        tools::run(compiler)?;
    }
    Ok(library)
}

/// The path on which programs are found, with a folder before all others.
pub(crate) fn before_path(folder: &Path) -> Result<std::ffi::OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(env::split_paths(&path));
    Ok(env::join_paths(folders)?)
}

/// All files below a folder, in the order of their names, but for what builds leave behind.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))? {
            let entry = entry?;
            if left::is_left_behind(&entry.file_name().to_string_lossy()) {
                continue;
            }
            match entry.file_type()?.is_dir() {
                true => waiting.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_builds_leave_behind_is_no_source() -> Result<()> {
        let folder = env::temp_dir().join(format!("quipu-sources-{}", std::process::id()));
        for path in [
            "b/agent.c",
            "a.js",
            ".venv/lib/x.py",
            "node_modules/x/x.js",
            "b/__pycache__/x.pyc",
            "agent-js.wasm",
        ] {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().ok_or("a file has a folder")?)?;
            fs::write(path, "")?;
        }
        std::os::unix::fs::symlink("lib", folder.join(".venv/lib64"))?;
        let found = files(&folder);
        fs::remove_dir_all(&folder)?;
        assert_eq!(found?, [folder.join("a.js"), folder.join("b/agent.c")]);
        Ok(())
    }

    #[test]
    fn what_moves_from_one_file_to_the_next_is_another_source() {
        let made_of = |files: [(&str, &str); 2]| {
            let mut inputs = Vec::new();
            files
                .iter()
                .for_each(|(path, content)| add(&mut inputs, path, content.as_bytes()));
            inputs
        };
        let one = made_of([("a", "bc"), ("d", "e")]);
        for other in [
            [("a", "b"), ("d", "ce")],
            [("ab", "c"), ("d", "e")],
            [("a", "bc"), ("f", "e")],
        ] {
            assert_ne!(one, made_of(other), "{other:?}");
        }
    }
}
