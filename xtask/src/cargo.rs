//! Starting cargo and other programs from inside `cargo xtask`.

use std::{
    env,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::Result;

/// The top folder of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The cargo that started this task, in the checkout's top folder.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    forget_xtask(&mut cargo);
    cargo
}

/// Takes away what cargo tells the program that it runs. Build scripts that watch these variables would otherwise
/// build everything anew each time a person changes between `cargo test` and `cargo xtask test`.
pub(crate) fn forget_xtask(command: &mut Command) {
    let told = |name: &str| {
        [
            "CARGO",
            "CARGO_BIN_NAME",
            "CARGO_CRATE_NAME",
            "CARGO_PRIMARY_PACKAGE",
            "OUT_DIR",
        ]
        .contains(&name)
            || name.starts_with("CARGO_MANIFEST_")
            || name.starts_with("CARGO_PKG_")
    };
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(told) {
            command.env_remove(name);
        }
    }
}

/// A file that cargo built.
pub(crate) struct Artifact {
    /// The cargo target's name.
    pub(crate) name: String,
    /// The file.
    pub(crate) path: PathBuf,
}

/// Runs a `cargo build` and returns each executable or `.wasm` file of it, built now or still good. What cargo has
/// to say goes to the terminal.
pub(crate) fn artifacts(mut build: Command) -> Result<Vec<Artifact>> {
    build
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped());
    let mut child = build
        .spawn()
        .map_err(|e| format!("{} does not start: {e}", shown(&build)))?;
    let mut found = Vec::new();
    for line in BufReader::new(child.stdout.take().ok_or("cargo has no output")?).lines() {
        let message: Value = serde_json::from_str(&line?)?;
        if message["reason"] != "compiler-artifact" {
            continue;
        }
        let name = message["target"]["name"].as_str().unwrap_or_default();
        let wasm = message["filenames"].as_array().into_iter().flatten();
        let wasm = wasm.filter_map(Value::as_str).filter(|path| path.ends_with(".wasm"));
        for path in message["executable"].as_str().into_iter().chain(wasm) {
            found.push(Artifact {
                name: name.to_owned(),
                path: path.into(),
            });
        }
    }
    succeeded(&build, child.wait()?)?;
    Ok(found)
}

/// Runs a command whose output goes to the terminal; an error if it fails.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let status = command
        .status()
        .map_err(|e| format!("{} does not start: {e}", shown(&command)))?;
    succeeded(&command, status)
}

/// What a program that runs in silence had to say on stderr, and whether it succeeded before the time was over.
pub(crate) struct Quiet {
    pub(crate) success: bool,
    pub(crate) last_line: String,
}

/// Runs a command without showing its output and ends it when it takes longer than `limit`.
pub(crate) fn run_quietly(mut command: Command, limit: Duration) -> io::Result<Quiet> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stderr = child.stderr.take();
    let said = thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(stderr) = &mut stderr {
            let _ = stderr.read_to_end(&mut said);
        }
        String::from_utf8_lossy(&said).into_owned()
    });
    let end = Instant::now() + limit;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if Instant::now() < end => thread::sleep(Duration::from_millis(50)),
            None => {
                child.kill()?;
                child.wait()?;
                break None;
            }
        }
    };
    let Some(status) = status else {
        return Ok(Quiet {
            success: false,
            last_line: format!("no answer in {} s", limit.as_secs()),
        });
    };
    let said = said.join().unwrap_or_default();
    let last_line = said
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no reason given");
    Ok(Quiet {
        success: status.success(),
        last_line: last_line.trim().to_owned(),
    })
}

/// Standard output of a command, if it starts and succeeds.
pub(crate) fn output(mut command: Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What a program said on both outputs.
pub(crate) struct Captured {
    pub(crate) success: bool,
    pub(crate) timed_out: bool,
    pub(crate) said: String,
}

/// Runs a command, keeps what it says, and ends it and all that it started when it takes longer than `limit`.
pub(crate) fn run_captured(mut command: Command, limit: Duration) -> Result<Captured> {
    use std::os::unix::process::CommandExt;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|e| format!("{} does not start: {e}", shown(&command)))?;
    let group = child.id();
    let reader = |mut output: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut said = Vec::new();
            let _ = output.read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        })
    };
    let out = reader(Box::new(child.stdout.take().ok_or("it has no output")?));
    let err = reader(Box::new(child.stderr.take().ok_or("it has no output")?));
    let end = Instant::now() + limit;
    let mut timed_out = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= end {
            timed_out = true;
            Command::new("kill")
                .args(["-KILL", "--", &format!("-{group}")])
                .status()?;
            break child.wait()?;
        }
        thread::sleep(Duration::from_millis(50));
    };
    let said = out.join().unwrap_or_default() + &err.join().unwrap_or_default();
    Ok(Captured {
        success: status.success(),
        timed_out,
        said,
    })
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} ended with {status}", shown(command)).into())
    }
}

/// A command as a person would type it, without its folder and environment.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let mut line = format!("`{}", program.to_string_lossy());
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line + "`"
}
