use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use quipu_format::{Finding, Given, Hash, ScopeCheck, VerifierKey, check, is_scope_export, leaf_hash, limits};
use quipu_log::SCOPE_FILE;
use serde_json::{Value, json};

use crate::{
    failure::{Failure, Outcome, Verdict, verdict},
    render::{BAD, DIM, GOOD, json_line},
    terminal::{self, escaped, escaped_json},
};

/// Check what a ledger handed out, without the ledger
///
/// A tlog-proof or a consistency proof from `quipu prove`, an event from `quipu disclose`, or a scope from `quipu export
/// scope`. What it is shows from its content. All that is needed is the ledger's verifier key, from somebody you trust:
/// `quipu stats` prints it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu check event.json --vkey 'example.com/agents+46acb85f+ASms…'
  quipu check event.tlog-proof --vkey 'example.com/agents+46acb85f+ASms…' --json
  quipu check exported/ --vkey 'example.com/agents+46acb85f+ASms…'

Exit codes: 0 good; 1 refused, and why; 2 it cannot be read, or is nothing that can be checked.")]
pub(crate) struct Args {
    /// The file; or the folder of an exported scope
    file: PathBuf,
    /// The ledger's verifier key: name+id+base64
    #[arg(long, value_name = "KEY")]
    vkey: VerifierKey,
    /// The envelope that a proof must be about: a file
    #[arg(long, value_name = "FILE", conflicts_with = "leaf")]
    entry: Option<PathBuf>,
    /// The leaf hash that a proof must be about, as receipts and events have it in `hash`
    #[arg(long, value_name = "HASH")]
    leaf: Option<Hash>,
    /// Print the finding as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Bytes of the largest text that is checked as a whole: a consistency proof with two notes of the largest size is smaller.
const WHOLE_BYTES: u64 = limits::DISCLOSURE_BYTES as u64;

pub(crate) fn execute(args: Args) -> Outcome {
    let mut given = Given::new(&args.vkey);
    given.leaf = match &args.entry {
        Some(file) => {
            let envelope = std::fs::read(file).map_err(|e| unreadable(file, &e))?;
            Some(leaf_hash(envelope.strip_suffix(b"\n").unwrap_or(&envelope)))
        }
        None => args.leaf,
    };
    let path = if args.file.is_dir() {
        args.file.join(SCOPE_FILE)
    } else {
        args.file
    };
    let finding = read(&path, &given)?;
    let found = Verdict::from(finding.is_ok());
    verdict(print(finding, args.json), found)
}

/// What a file shows, or why it is refused.
fn read(path: &Path, given: &Given<'_>) -> Result<Result<Finding, String>, Failure> {
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let bytes = file.metadata().map_err(|e| unreadable(path, &e))?.len();
    let mut file = BufReader::with_capacity(64 << 10, file);
    if is_scope_export(file.fill_buf().map_err(|e| unreadable(path, &e))?) {
        return scope(&mut file, bytes, given).map_err(|e| unreadable(path, &e));
    }
    let mut text = Vec::new();
    let read = file.take(WHOLE_BYTES + 1).read_to_end(&mut text);
    read.map_err(|e| unreadable(path, &e))?;
    match check(&text, given) {
        Some(finding) => Ok(finding.map_err(|why| why.to_string())),
        None => Err(Failure::cannot(format!(
            "{} is nothing that can be checked: no tlog-proof, consistency proof, disclosure or exported scope",
            path.display()
        ))),
    }
}

/// Checks the export of a scope line by line.
fn scope(file: &mut dyn BufRead, bytes: u64, given: &Given<'_>) -> io::Result<Result<Finding, String>> {
    let mut progress = terminal::Progress::new("checking");
    let (mut check, mut line, mut done) = (None, Vec::new(), 0);
    loop {
        line.clear();
        let read = (&mut *file).take(WHOLE_BYTES + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        done += read as u64;
        progress.show(done, bytes);
        let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        let Some(text) = text else {
            return Ok(Err("a line has no end, is too long, or is not UTF-8".to_owned()));
        };
        let went_on = match &mut check {
            None => ScopeCheck::begin(text, given.key).map(|begun| check = Some(begun)),
            Some(check) => check.entry(text).map(drop),
        };
        if let Err(why) = went_on {
            return Ok(Err(why.to_string()));
        }
    }
    let shown = check.ok_or_else(|| "it is empty".to_owned()).map(|check| check.end());
    Ok(shown.and_then(|shown| shown.map(Finding::from).map_err(|why| why.to_string())))
}

fn print(finding: Result<Finding, String>, as_json: bool) -> io::Result<()> {
    let mut out = terminal::out();
    match &finding {
        Ok(finding) if as_json => {
            let mut object = json!(finding);
            object["good"] = json!(true);
            json_line(&mut out, &object)?;
        }
        Err(why) if as_json => json_line(&mut out, &json!({"good": false, "why": why}))?,
        Ok(finding) => {
            writeln!(out, "{GOOD}good{GOOD:#} {}: {}", finding.kind, escaped(&finding.shows))?;
            for (name, value) in &finding.facts {
                let value = match value {
                    Value::String(text) => escaped(text).into_owned(),
                    other => escaped_json(&other.to_string()).into_owned(),
                };
                writeln!(out, "{DIM}{name:13}{DIM:#} {value}")?;
            }
        }
        Err(why) => writeln!(out, "{BAD}refused{BAD:#}: {}", escaped(why))?,
    }
    out.flush()
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::cannot(format!("cannot read {}: {error}", path.display()))
}
