//! `cargo xtask templates`: what `quipu new agent` writes, built and run as the README in it tells its reader, from an empty folder:
//! tools are installed over the network, by the steps that are written there and no others.

use std::{
    env, fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    Result,
    cargo::{self, run_captured},
    languages::before_path,
};

const LANGUAGES: [&str; 4] = ["rust", "js", "python", "c"];

/// How long one line may take: an installation is 100 MB for C, and the first build compiles a libc.
const LIMIT: Duration = Duration::from_secs(1_200);

/// What the last line of each of a README's two blocks prints: the answer of the agent, and that of its debug build.
const ANSWERS: [&str; 2] = [
    "we want our invoices as CSV. [evt_",
    "I remember nothing that answers this.",
];

/// Follows the READMEs of these languages; of all if none is named.
pub(crate) fn run(languages: &[String]) -> Result<()> {
    if let Some(unknown) = languages.iter().find(|name| !LANGUAGES.contains(&name.as_str())) {
        return Err(format!("`{unknown}` is none of {}", LANGUAGES.join(", ")).into());
    }
    let mut build = cargo::cargo();
    build.args(["build", "--workspace", "--bin", "quipu"]);
    let built = cargo::artifacts(build)?;
    let quipu = built
        .iter()
        .find(|built| built.name == "quipu")
        .ok_or("cargo builds no quipu")?;
    let quipu = quipu.path.parent().ok_or("a program is in a folder")?;
    let is_asked = |name: &&&str| languages.is_empty() || languages.iter().any(|asked| asked == **name);
    let mut failed = Vec::new();
    for language in LANGUAGES.iter().filter(is_asked) {
        // The others are followed all the same.
        if let Err(why) = follow(language, quipu) {
            eprintln!("templates: {language}: {why}");
            failed.push(*language);
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("not as the README says: {}", failed.join(", ")).into()),
    }
}

fn follow(language: &str, quipu: &Path) -> Result<()> {
    let folder = env::temp_dir().join(format!("quipu-template-{language}-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let done = follow_in(&folder, language, quipu);
    fs::remove_dir_all(&folder)?;
    done
}

fn follow_in(folder: &Path, language: &str, quipu: &Path) -> Result<()> {
    let project = folder.join("my-helper");
    said(
        folder,
        folder,
        quipu,
        &format!("quipu new agent my-helper --lang {language}"),
    )?;
    let blocks = blocks(&fs::read_to_string(project.join("README.md"))?);
    if blocks.len() != ANSWERS.len() {
        let what = format!(
            "its README has {} blocks of commands, not {}",
            blocks.len(),
            ANSWERS.len()
        );
        return Err(what.into());
    }
    for (block, answer) in blocks.iter().zip(ANSWERS) {
        let mut last = String::new();
        for line in block {
            let begin = Instant::now();
            last = said(&project, folder, quipu, line)?;
            println!("templates: {language}: {} s  {line}", begin.elapsed().as_secs());
        }
        if !last.contains(answer) {
            return Err(format!("the last line does not print `{answer}`, but:\n{last}").into());
        }
    }
    Ok(())
}

/// What a line says that is typed into a shell in a folder. An error if it fails.
fn said(folder: &Path, home: &Path, quipu: &Path, line: &str) -> Result<String> {
    let mut shell = Command::new("sh");
    cargo::forget_xtask(&mut shell);
    shell
        .current_dir(folder)
        .args(["-c", line])
        .env("PATH", before_path(quipu)?);
    // As somebody who has never used quipu.
    shell
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("XDG_STATE_HOME", home.join("state"));
    for name in [
        "QUIPU_LEDGER",
        "QUIPU_AGENTS",
        "QUIPU_PASSPHRASE_FILE",
        "CARGO_TARGET_DIR",
        "RUSTFLAGS",
        "ZIG",
    ] {
        shell.env_remove(name);
    }
    let done = run_captured(shell, LIMIT)?;
    match done.success {
        true => Ok(done.said),
        false => {
            let why = if done.timed_out { "takes too long" } else { "fails" };
            Err(format!("`{line}` {why}\n{}", done.said).into())
        }
    }
}

/// The commands in each of a document's blocks of a shell: what stands behind `$ `, with the lines that it goes on in.
fn blocks(document: &str) -> Vec<Vec<String>> {
    let blocks = document.split("```console\n").skip(1);
    let block = |text: &str| {
        let text = text.split("```").next().unwrap_or_default().replace("\\\n", " ");
        let lines = text.lines().filter_map(|line| line.strip_prefix("$ "));
        lines.map(str::to_owned).collect()
    };
    blocks.map(block).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn commands_are_found_whole_and_nothing_else_is() {
        let document = "Text.\n\n```console\n$ make\nmade\n$ quipu run a \\\n      --home b\n```\n\nText with `make`.\n```rust\n$ no\n```\n";
        assert_eq!(super::blocks(document), [["make", "quipu run a        --home b"]]);
    }
}
