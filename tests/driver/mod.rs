//! Drives the `quipu` command as a user's shell does.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod governed;
pub(crate) mod languages;
pub(crate) mod named;
pub(crate) mod second_host;

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    mem,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

/// A ledger in a folder of its own, which goes when it is dropped.
pub(crate) struct Ledger {
    folder: tempfile::TempDir,
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A command for `quipu` alone, with nothing of the tester's environment that it would heed.
pub(crate) fn quipu() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quipu"));
    for name in [
        "QUIPU_LEDGER",
        "QUIPU_PASSPHRASE_FILE",
        "QUIPU_AGENTS",
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "CLICOLOR",
    ] {
        command.env_remove(name);
    }
    // Compiled code is kept between tests, and beside them.
    let own = Path::new(env!("CARGO_TARGET_TMPDIR"));
    command
        .env("XDG_CACHE_HOME", own.join("cache"))
        .env("XDG_STATE_HOME", own.join("state"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// How long a command may take before it counts as one that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a command to its end. One that hangs is killed, and fails the test.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Ran {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let (out, err) = (read_all(child.stdout.take()), read_all(child.stderr.take()));
    let status = end_of(&mut child);
    let (stdout, stderr) = (out.join().unwrap(), err.join().unwrap());
    Output { status, stdout, stderr }.into()
}

/// Reads a pipe to its end, on a thread of its own.
fn read_all(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).unwrap();
        }
        bytes
    })
}

/// Waits for a process to end.
#[track_caller]
fn end_of(child: &mut Child) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it hangs: it has not ended after {PATIENCE:?}");
        }
        // Short commands are not held up, long ones not disturbed.
        thread::sleep((begin.elapsed() / 16).clamp(Duration::from_micros(100), Duration::from_millis(10)));
    }
}

/// The repository's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A guest that `cargo xtask guests` builds.
#[track_caller]
pub(crate) fn guest(name: &str) -> PathBuf {
    let guest = root().join("target/guests").join(name).with_extension("wasm");
    assert!(guest.is_file(), "{name} is not built; run `cargo xtask guests`");
    guest
}

/// A folder of test data or tools that is no part of the repository: where the variable says, or beside the checkout.
/// None: it is not there, and a line says what is not tested.
pub(crate) fn beside(variable: &str, name: &str, untested: &str) -> Option<PathBuf> {
    let folder = env::var_os(variable).map_or_else(|| root().join("../shared").join(name), PathBuf::from);
    if !folder.is_dir() {
        println!("skipped, there is no folder {name} and {variable} names none: {untested}");
        return None;
    }
    Some(folder)
}

/// Whether a program is here; if not, a line says what is not tested.
pub(crate) fn has(program: &str, untested: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        println!("skipped, {program} is missing: {untested}");
    }
    found
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self::within(&env::temp_dir())
    }

    /// In a folder of its own, below that one.
    #[track_caller]
    pub(crate) fn within(folder: &Path) -> Self {
        let ledger = Self::none_within(folder);
        run(quipu()
            .arg("init")
            .arg(ledger.path())
            .args(["--origin", "example.org/test"]))
        .good();
        ledger
    }

    /// The place of a ledger that has not been made yet.
    pub(crate) fn none_within(folder: &Path) -> Self {
        Self {
            folder: tempfile::tempdir_in(folder).unwrap(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// A place beside the ledger.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file beside the ledger.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.beside(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// A command on this ledger.
    pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = quipu();
        command.arg("--ledger").arg(self.path()).args(args);
        command
    }

    pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        run(&mut self.command(args))
    }

    pub(crate) fn import(&self, file: &Path, more: &[&str]) -> Ran {
        run(self.command(["import"]).arg(file).args(more))
    }

    /// Appends a text and gives the event's id.
    pub(crate) fn append(&self, scope: &str, text: &str, more: &[&str]) -> String {
        let args = [
            "append",
            "--scope",
            scope,
            "--actor",
            "operator:kim",
            "--text",
            text,
            "--json",
        ];
        let ran = self.run(args.iter().chain(more)).good();
        ran.json()["id"].as_str().unwrap().to_owned()
    }

    /// What `quipu log --json` with these arguments prints.
    /// Runs a guest as `agent:test`, at home in `home`.
    pub(crate) fn run_guest(&self, name: &str, input: &str, more: &[&str]) -> Ran {
        let grant = ["--actor", "agent:test", "--home", "home"];
        run(self.command(["run"]).arg(guest(name)).arg(input).args(grant).args(more))
    }

    pub(crate) fn log(&self, args: &[&str]) -> Vec<Value> {
        self.run(["log", "--json"].iter().chain(args)).good().json_lines()
    }

    pub(crate) fn verify(&self) -> Ran {
        self.run(["verify"])
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("the output is UTF-8"),
            err: String::from_utf8(output.stderr).expect("the errors are UTF-8"),
        }
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn good(self) -> Self {
        self.exits(0)
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "exit code; standard output:\n{}\nstandard error:\n{}",
            self.out, self.err
        );
        self
    }

    /// The error tells all of this.
    #[track_caller]
    pub(crate) fn tells(self, parts: &[&str]) -> Self {
        assert!(self.err.starts_with("error: "), "no error is told: {:?}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in: {}", self.err);
        }
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// `quipu append --jsonl -`, at work.
pub(crate) struct Appender {
    child: Child,
    input: Option<ChildStdin>,
    receipts: mpsc::Receiver<String>,
    errors: Option<JoinHandle<Vec<u8>>>,
}

impl Appender {
    pub(crate) fn start(ledger: &Ledger) -> Self {
        let args = ["append", "--jsonl", "-", "--actor", "tool:test", "--scope", "test"];
        Self::spawn(&mut ledger.command(args))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let errors = Some(read_all(child.stderr.take()));
        let (sender, receipts) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            // A line without an end was cut off by a kill: it acknowledges nothing.
            while output.read_line(&mut line).is_ok_and(|_| line.ends_with('\n')) {
                if sender.send(mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            input,
            receipts,
            errors,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its input, to be written to from a thread of its own.
    pub(crate) fn take_input(&mut self) -> ChildStdin {
        self.input.take().unwrap()
    }

    pub(crate) fn send(&mut self, draft: &str) -> io::Result<()> {
        writeln!(self.input.as_mut().unwrap(), "{draft}")
    }

    /// The next receipt. None: there will be no more.
    #[track_caller]
    pub(crate) fn receipt(&mut self) -> Option<Value> {
        match self.receipts.recv_timeout(PATIENCE) {
            Ok(line) => Some(serde_json::from_str(&line).unwrap()),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("it hangs: no receipt after {PATIENCE:?}"),
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends its input and waits for its end.
    #[track_caller]
    pub(crate) fn finish(self) -> i32 {
        self.end().code
    }

    /// The same, and what it said; the receipts that were not taken are its output.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ran {
        drop(self.input.take());
        let status = end_of(&mut self.child);
        let out = self.receipts.iter().collect();
        let err = String::from_utf8(self.errors.take().unwrap().join().unwrap()).expect("the errors are UTF-8");
        let code = status.code().unwrap_or(-1);
        Ran { code, out, err }
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `done` says so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "it takes too long until {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
