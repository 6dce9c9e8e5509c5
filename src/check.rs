use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use quipu_format::{
    Finding, Given, Hash, ScopeCheck, ScopeProof, ScopeShown, ScopeStanding, TrustedKeys, VerifierKey, check,
    is_scope_export, leaf_hash, limits,
};
use quipu_log::SCOPE_FILE;
use serde_json::{Value, json};

use crate::{
    failure::{Failure, Outcome, Verdict, verdict},
    handed,
    render::{BAD, DIM, GOOD, json_line},
    terminal::{self, escaped, escaped_json},
};

/// Check what a ledger handed out, without the ledger
///
/// A tlog-proof or a consistency proof from `quipu prove`, an event from `quipu disclose`, the report of
/// `quipu request report`, or a scope from `quipu export scope`. What it is shows from its content. All that is needed is
/// the ledger's verifier key, from somebody you trust: `quipu stats` prints it.
///
/// What was handed out before `quipu key rotate` is signed by the key of then, and a consistency proof may be signed by
/// both. Give each key that you trust, oldest first: `quipu key list` prints them. What is signed by an older key than the
/// checkpoint that it goes on from is refused.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu check event.json --vkey 'example.com/agents+46acb85f+ASms…'
  quipu check event.tlog-proof --vkey 'example.com/agents+46acb85f+ASms…' --json
  quipu check exported/ --vkey 'example.com/agents+46acb85f+ASms…' --complete acme.proof
  quipu check grown --vkey 'example.com/agents+46acb85f+ASms…' --vkey 'example.com/agents+0f31c2a7+AUxk…'
  quipu check grown --vkeys keys.jsonl       # from `quipu key list --json > keys.jsonl`

Exit codes: 0 good; 1 refused, and why; 2 it cannot be read, or is nothing that can be checked.")]
pub(crate) struct Args {
    /// The file; or the folder of an exported scope
    file: PathBuf,
    /// The ledger's verifier key: name+id+base64. Where the key was rotated, each that is trusted, oldest first
    #[arg(long, value_name = "KEY", required_unless_present = "vkeys")]
    vkey: Vec<VerifierKey>,
    /// A file with the verifier keys, oldest first: a key a line, or what `quipu key list --json` prints, which also says
    /// which sizes each holds for
    #[arg(long, value_name = "FILE", conflicts_with = "vkey")]
    vkeys: Option<PathBuf>,
    /// The envelope that a proof must be about: a file
    #[arg(long, value_name = "FILE", conflicts_with = "leaf")]
    entry: Option<PathBuf>,
    /// The leaf hash that a proof must be about, as receipts and events have it in `hash`
    // One hash in 64 begins with a hyphen.
    #[arg(long, value_name = "HASH", allow_hyphen_values = true)]
    leaf: Option<Hash>,
    /// The proof of a scope, which shows whether the exported scope is complete: a file from `quipu prove --scope`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["entry", "leaf"])]
    complete: Option<PathBuf>,
    /// Print the finding as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Bytes of the largest text that is checked as a whole: a consistency proof with two notes of the largest size is smaller.
const WHOLE_BYTES: u64 = limits::DISCLOSURE_BYTES as u64;
/// Bytes that tell an exported scope from the rest: more than it begins with.
const BEGINNING_BYTES: u64 = 64;

pub(crate) fn execute(args: Args) -> Outcome {
    let mut given = Given::with(keys(&args)?);
    given.leaf = match &args.entry {
        Some(file) => {
            let envelope = handed::read_or_pipe(file, limits::ENVELOPE_BYTES + 1, "an envelope with its line break")?;
            Some(leaf_hash(envelope.strip_suffix(b"\n").unwrap_or(&envelope)))
        }
        None => args.leaf,
    };
    let path = if args.file.is_dir() {
        args.file.join(SCOPE_FILE)
    } else {
        args.file
    };
    let finding = match &args.complete {
        None => read(&path, &given)?,
        Some(proof) => complete(&path, proof, &given)?,
    };
    let found = Verdict::from(finding.is_ok());
    verdict(print(finding, args.json), found)
}

fn keys(args: &Args) -> Result<TrustedKeys, Failure> {
    let Some(file) = &args.vkeys else {
        return TrustedKeys::new(args.vkey.iter().cloned()).map_err(|why| Failure::cannot(why.to_string()));
    };
    let text = handed::text_or_pipe(file, limits::DISCLOSURE_BYTES, "a list of keys")?;
    TrustedKeys::parse(&text).map_err(|why| Failure::cannot(format!("{}: {why}", file.display())))
}

/// A file, and how many bytes it has; 0 of a pipe.
fn opened(path: &Path) -> Result<(BufReader<handed::Input>, u64), Failure> {
    let file = handed::open_or_pipe(path).map_err(|e| unreadable(path, &e))?;
    let bytes = file.size_bytes().map_err(|e| unreadable(path, &e))?;
    Ok((BufReader::with_capacity(64 << 10, file), bytes))
}

/// What a file shows, or why it is refused.
fn read(path: &Path, given: &Given) -> Result<Result<Finding, String>, Failure> {
    let (mut file, bytes) = opened(path)?;
    // A pipe gives what its writer has written so far, which may be one byte.
    let mut beginning = Vec::new();
    let read = file.by_ref().take(BEGINNING_BYTES).read_to_end(&mut beginning);
    read.map_err(|e| unreadable(path, &e))?;
    let is_export = is_scope_export(&beginning);
    let mut file = io::Cursor::new(beginning).chain(file);
    if is_export {
        let shown = scope(&mut file, bytes, given, None).map_err(|e| unreadable(path, &e))?;
        return Ok(shown.map(Finding::from));
    }
    let mut text = Vec::new();
    let read = file.take(WHOLE_BYTES + 1).read_to_end(&mut text);
    read.map_err(|e| unreadable(path, &e))?;
    match check(&text, given) {
        Some(finding) => Ok(finding.map_err(|why| why.to_string())),
        None => Err(Failure::cannot(format!(
            "{} is nothing that can be checked: no tlog-proof, consistency proof, disclosure, completion report or exported scope",
            path.display()
        ))),
    }
}

/// What the export of a scope and the proof of where that scope stands show together.
fn complete(export: &Path, proof: &Path, given: &Given) -> Result<Result<Finding, String>, Failure> {
    let text = handed::text_or_pipe(proof, limits::DISCLOSURE_BYTES, "a proof of a scope")?;
    let standing = text
        .parse::<ScopeProof>()
        .and_then(|proof| proof.verify_with(&given.keys));
    let standing = match standing {
        Ok(standing) => standing,
        Err(why) => return Ok(Err(format!("{}: {why}", proof.display()))),
    };
    let (mut file, bytes) = opened(export)?;
    let shown = scope(&mut file, bytes, given, Some(&standing)).map_err(|e| unreadable(export, &e))?;
    Ok(shown.map(|shown| {
        let mut finding = Finding::from(shown);
        let covered = standing.state.map_or(0, |state| state.count);
        finding.shows = format!(
            "{}, and up to entry {} of the ledger they are all: {covered} entries",
            finding.shows, standing.size
        );
        finding
    }))
}

/// Checks the export of a scope line by line; with `standing`, that it is complete up to there.
fn scope(
    file: &mut dyn BufRead,
    bytes: u64,
    given: &Given,
    standing: Option<&ScopeStanding>,
) -> io::Result<Result<ScopeShown, String>> {
    let mut all = standing.map(ScopeStanding::follow);
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
            None => ScopeCheck::begin(text, &given.keys).map(|begun| check = Some(begun)),
            Some(check) => check.entry(text).and_then(|event| match &mut all {
                Some(all) => all.entry(&event.envelope, event.hash),
                None => Ok(()),
            }),
        };
        if let Err(why) = went_on {
            return Ok(Err(why.to_string()));
        }
    }
    let shown = check.ok_or_else(|| "it is empty".to_owned()).map(|check| check.end());
    let shown = shown.and_then(|shown| shown.map_err(|why| why.to_string()));
    Ok(shown.and_then(|shown| match all.map(|all| all.end(&shown.scope)) {
        Some(Err(why)) => Err(why.to_string()),
        _ => Ok(shown),
    }))
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
