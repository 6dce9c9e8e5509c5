//! Projects that begin with an example agent: they build with their language's own tools, and run.

mod driver;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use driver::{
    Ledger,
    languages::{built, tools},
    quipu, root, run,
};
use serde_json::{Value, json};

/// A project, in a folder that is the same each time: what cargo builds of it is then built once.
struct Project {
    path: PathBuf,
    wasm: PathBuf,
    _alone: Option<MutexGuard<'static, ()>>,
}

/// Projects in Rust put what they build in one place.
static RUST: Mutex<()> = Mutex::new(());

impl Project {
    fn new(language: &str, of: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("projects")
            .join(of)
            .join(language);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        let made = run(quipu()
            .args(["new", "agent", "my-helper", "--lang", language])
            .current_dir(&folder))
        .good();
        let wasm = match language {
            "rust" => "target/wasm32-unknown-unknown/release/my_helper.wasm",
            _ => "my-helper.wasm",
        };
        assert!(
            made.out.contains(&format!("quipu run --ephemeral {wasm}")),
            "{}",
            made.out
        );
        let path = folder.join("my-helper");
        // What cargo has built of the guests' dependencies need not be built again; see `build`.
        let wasm = match language {
            "rust" => guests_build().join(wasm.trim_start_matches("target/")),
            _ => path.join(wasm),
        };
        let _alone = (language == "rust").then(|| RUST.lock().unwrap_or_else(PoisonError::into_inner));
        Self { path, wasm, _alone }
    }

    /// Builds it as its README says, with the tools that are installed for the examples.
    fn build(&self, language: &str, debug: bool) {
        let script = if debug { "debug" } else { "build" };
        let mut command = match language {
            "rust" => Command::new(env!("CARGO")),
            "js" => Command::new("npm"),
            "python" => Command::new("python3"),
            _ => Command::new("make"),
        };
        match language {
            "rust" => command
                .args(["build", "--release", "--quiet", "--target-dir"])
                .arg(guests_build())
                .env_remove("RUSTFLAGS"),
            "js" => command.args(["run", script]),
            "python" => command.arg("build.py").args(debug.then_some("--debug")),
            _ => command
                .args(debug.then_some("debug"))
                .arg(format!("ZIG={} -m ziglang", tools("c").join("bin/python").display())),
        };
        let folder = tools(language).join(if language == "js" { "node_modules/.bin" } else { "bin" });
        let path =
            env::join_paths(std::iter::once(folder).chain(env::split_paths(&env::var_os("PATH").unwrap()))).unwrap();
        self.ends_well(command.env("PATH", path));
    }

    /// A build may take minutes on a busy machine.
    fn ends_well(&self, build: &mut Command) {
        let ended = build.current_dir(&self.path).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }

    /// The same with clock and randomness fixed, where a build looks at them.
    fn built_bytes(&self, language: &str) -> Vec<u8> {
        if language == "js" {
            let package: Value = serde_json::from_slice(&fs::read(self.path.join("package.json")).unwrap()).unwrap();
            let bin = tools("js").join("node_modules/.bin");
            let path = format!("{}:{}", bin.display(), env::var("PATH").unwrap());
            let mut command = Command::new("sh");
            command
                .args(["-c", package["scripts"]["build"].as_str().unwrap()])
                .env("PATH", path)
                .env("LD_PRELOAD", root().join("target/tools/still.so"));
            self.ends_well(&mut command);
        } else {
            self.build(language, false);
        }
        fs::read(&self.wasm).unwrap()
    }
}

/// Where `cargo xtask guests` has cargo build.
fn guests_build() -> PathBuf {
    root().join("target/guests-build")
}

/// Whether a project in this language can be built here; a line says why not.
fn can_build(language: &str) -> bool {
    if !built().contains(&language) {
        return false;
    }
    let target = "wasm32-unknown-unknown";
    let libdir = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .output();
    let is_installed =
        libdir.is_ok_and(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).is_dir());
    if language == "rust" && !is_installed {
        println!("skipped, the toolchain in use has no target {target}: a project in Rust");
    }
    language != "rust" || is_installed
}

fn a_project_builds_and_runs(language: &str) {
    if !can_build(language) {
        return;
    }
    let project = Project::new(language, "run");
    project.build(language, false);
    let ledger = Ledger::new();
    let message = [
        "append",
        "--scope",
        "customer:acme-inc",
        "--actor",
        "user:jana",
        "--kind",
        "message",
        "--text",
    ];
    ledger
        .run(message.iter().chain(&["From now on we want our invoices as CSV."]))
        .good();
    let args = [
        "How do they want their invoices?",
        "--actor",
        "agent:my-helper",
        "--home",
        "customer:acme-inc",
    ];
    let ran = run(ledger.command(["run"]).arg(&project.wasm).args(args)).good();
    assert!(ran.out.contains("we want our invoices as CSV. [evt_"), "{}", ran.out);
    let log = ledger.log(&["--actor", "agent:my-helper", "--kind", "memory.write"]);
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(
        log[0]["payload"],
        json!({"tags": ["stated"], "text": "From now on we want our invoices as CSV."})
    );
}

#[test]
fn a_project_in_rust_builds_and_runs() {
    a_project_builds_and_runs("rust");
}

#[test]
fn a_project_in_javascript_builds_and_runs() {
    a_project_builds_and_runs("js");
}

#[test]
fn a_project_in_python_builds_and_runs() {
    a_project_builds_and_runs("python");
}

#[test]
fn a_project_in_c_builds_and_runs() {
    a_project_builds_and_runs("c");
}

#[test]
fn rust_c_and_javascript_have_the_same_bytes_wherever_they_are_built() {
    for language in ["rust", "c", "js"].into_iter().filter(|language| can_build(language)) {
        let [one, other] = ["one", "other"].map(|of| Project::new(language, of).built_bytes(language));
        assert!(one == other, "{language}: {} and {} bytes", one.len(), other.len());
    }
}

#[test]
fn a_debug_build_says_what_went_wrong_under_a_wasi_with_nothing_behind_it() {
    let broken = [
        (
            "js",
            "agent.js",
            "const [home] = memory;",
            "throw new Error(\"broken on purpose\");",
        ),
        (
            "python",
            "app.py",
            "        held = []\n",
            "        raise ValueError(\"broken on purpose\")\n",
        ),
    ];
    for (language, file, before, after) in broken {
        if !can_build(language) {
            continue;
        }
        let project = Project::new(language, "debug");
        let source = fs::read_to_string(project.path.join(file)).unwrap();
        assert!(source.contains(before));
        fs::write(project.path.join(file), source.replacen(before, after, 1)).unwrap();
        project.build(language, true);
        let ledger = Ledger::new();
        let args = ["", "--wasi", "--trace=info", "--actor", "agent:a", "--home", "a"];
        let ran = run(ledger.command(["run"]).arg(&project.wasm).args(args)).exits(1);
        assert!(ran.err.contains("broken on purpose"), "{language}: {}", ran.err);
    }
}

#[test]
fn a_project_is_made_in_no_folder_that_has_something_in_it_and_under_no_odd_name() {
    let folder = tempfile::tempdir().unwrap();
    let new = |name: &str| {
        run(quipu()
            .args(["new", "agent", name, "--lang", "c"])
            .current_dir(folder.path()))
    };
    fs::create_dir(folder.path().join("empty")).unwrap();
    new("empty").good();
    new("empty")
        .exits(2)
        .tells(&["empty is there already", "choose another name"]);
    fs::write(folder.path().join("file"), "").unwrap();
    new("file").exits(2).tells(&["file"]);
    for name in ["../up", "Up", "a/b", "std", "a_b"] {
        new(name).exits(2).tells(&[name]);
    }
    run(quipu().args(["new", "agent", "b", "--lang", "cobol"]))
        .exits(2)
        .tells(&["cobol"]);
    let there: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(there.len(), 2, "{there:?}");
}
