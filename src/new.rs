#[cfg(test)]
mod left;
mod template;

use std::{fs, io::Write, path::Path};

use clap::Subcommand;

use crate::{
    failure::{Failure, Outcome, good},
    render::{DIM, GOOD},
    terminal,
};
use template::{Language, crates, files};

/// Start a project of your own
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu new agent helper --lang js
  quipu new agent helper --lang rust    also: python, c")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Agent(Agent),
}

/// Start an agent: a folder with a small agent that works, and all that its build needs
///
/// It holds the agent, its build files with pinned tools, the interface as a WIT folder, and a README that says how it is built,
/// run and debugged. For Rust the SDK is in it, since it is on no registry.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu new agent helper --lang rust
  quipu new agent helper --lang python && cd helper && python3 build.py")]
struct Agent {
    /// Its name, and that of the folder that is made: lower-case letters and digits, with hyphens between them
    name: String,
    /// The language that it is written in
    #[arg(long, value_enum)]
    lang: Language,
}

/// Bytes of the longest name.
const NAME_BYTES: usize = 64;

/// Names that a build would take for something else.
const TAKEN: &str = "abstract alloc as async await become box break const continue core crate do dyn else enum extern false final \
    fn for gen if impl in let loop macro match mod move mut override priv proc-macro pub quipu-guest ref return self static std \
    struct super test trait true try type typeof union unsafe unsized use virtual where while wit yield";

pub(crate) fn execute(args: Args) -> Outcome {
    let What::Agent(Agent { name, lang }) = args.what;
    check(&name, lang).map_err(Failure::cannot)?;
    let folder = Path::new(&name);
    let cannot =
        |path: &Path, error: std::io::Error| Failure::cannot(format!("cannot write {}: {error}", path.display()));
    match fs::read_dir(folder).map(|mut there| there.next().is_none()) {
        Ok(true) => {}
        Ok(false) => {
            return Err(Failure::cannot(format!(
                "{name} is there already, and not empty: choose another name, or remove it"
            )));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(folder, error)),
    }
    for (path, content) in files(lang, &name) {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| cannot(parent, error))?;
        fs::write(&path, content).map_err(|error| cannot(&path, error))?;
    }
    let mut out = terminal::out();
    writeln!(
        out,
        "{GOOD}created{GOOD:#} an agent in {} in {name}/; now:",
        lang.name()
    )?;
    writeln!(out, "  cd {name}")?;
    for line in lang.build() {
        writeln!(out, "  {line}")?;
    }
    writeln!(
        out,
        "  quipu run --ephemeral {} \"What do they want?\"",
        lang.component(&name)
    )?;
    writeln!(out, "{DIM}README.md has the rest{DIM:#}")?;
    out.flush()?;
    good()
}

fn check(name: &str, lang: Language) -> Result<(), String> {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if name.len() > NAME_BYTES || !begins || !name.split('-').all(is_part) {
        return Err(format!(
            "`{name}` is no name for an agent: at most {NAME_BYTES} lower-case letters and digits, a letter first, with single hyphens \
             between them, for example `invoice-helper`"
        ));
    }
    // Cargo takes no second package of that name, and what is built under one of theirs may be taken for it.
    let is_crate = lang == Language::Rust && crates().any(|known| known.replace('_', "-") == name);
    match is_crate || TAKEN.split(' ').any(|taken| taken == name) {
        true => Err(format!(
            "`{name}` means something else to a compiler: choose another name, for example `{name}-agent`"
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_every_build_takes() {
        for good in ["a", "helper", "invoice-helper", "h2-o", &"n".repeat(NAME_BYTES)] {
            assert_eq!(check(good, Language::Rust), Ok(()), "{good}");
        }
        let long = "n".repeat(NAME_BYTES + 1);
        for bad in [
            "",
            "2",
            "-a",
            "a-",
            "a--b",
            "A",
            "a_b",
            "a/b",
            "..",
            "a b",
            "é",
            "a.b",
            "std",
            "fn",
            "quipu-guest",
            &long,
        ] {
            assert!(check(bad, Language::C).is_err(), "{bad}");
        }
        for known in ["serde", "serde-json", "itoa", "wit-bindgen", "agent-rust"] {
            assert!(check(known, Language::Rust).is_err(), "{known}");
            assert_eq!(check(known, Language::Js), Ok(()), "{known}");
        }
    }
}
