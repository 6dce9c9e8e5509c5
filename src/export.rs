use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use quipu_format::Scope;
use quipu_log::LedgerReader;
use serde::Serialize;
use serde_json::json;

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{GOOD, json_line},
    terminal::{self, counted, escaped, escaped_json},
};

/// Write what others need to check the history, or to have the memory elsewhere
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu export tiles /tmp/tiles                  checkpoint, tile/ and entries, as C2SP tlog-tiles lays them out
  quipu export scope customer:acme-inc /tmp/acme one scope, which `quipu check` checks without the ledger
  quipu export jsonl memory.jsonl                events, as `quipu import` reads them")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    /// Print what was exported as one line of JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum What {
    /// The signed checkpoint, the hash tiles and the envelopes, as C2SP tlog-tiles lays them out
    ///
    /// A static folder that any tlog-tiles client reads over HTTP. No content is exported; but all scopes, actors, kinds,
    /// times and links are.
    #[command(after_help = "\
Examples:
  quipu export tiles /tmp/tiles")]
    Tiles {
        /// A folder that is empty, not there yet, or holds an earlier export
        dir: PathBuf,
    },
    /// One scope's entries with their proofs: checked alone, and shown to be without a gap up to the last one
    ///
    /// What the events say is in it in clear, with the salts that their envelopes commit with, unless `--sealed` is given.
    /// Erased ones are there as envelopes.
    #[command(after_help = "\
Examples:
  quipu export scope customer:acme-inc /tmp/acme
  quipu export scope customer:acme-inc /tmp/acme --sealed
  quipu check /tmp/acme --vkey 'example.com/agents+46acb85f+ASms…'")]
    Scope {
        /// The scope
        scope: Scope,
        /// A folder that is empty, not there yet, or holds an earlier export of a scope
        dir: PathBuf,
        /// Without content: envelopes and proofs alone
        #[arg(long)]
        sealed: bool,
    },
    /// Events as JSON, one a line, as `quipu import` reads them
    ///
    /// Left out are the host's and operators' own entries, and events that have been erased. Links that lead to what is left
    /// out are kept in members of their own.
    #[command(after_help = "\
Examples:
  quipu export jsonl memory.jsonl
  quipu export jsonl --scope customer:acme-inc | quipu --ledger other import -")]
    Jsonl {
        /// The file; standard output if it is not said
        file: Option<PathBuf>,
        /// Only this scope's
        #[arg(long)]
        scope: Option<Scope>,
    },
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let reader = ledger.read()?;
    let mut progress = terminal::Progress::new("exporting");
    match args.what {
        What::Tiles { dir } => {
            let summary = reader.export_tiles(&dir, &mut |done, total| progress.show(done, total))?;
            drop(progress);
            let said = format!("{} to {}", entries(summary.entries), dir.display());
            told(&said, &summary, args.json)?;
        }
        What::Scope { scope, dir, sealed } => {
            let mut show = |done, total| progress.show(done, total);
            let summary = reader.export_scope(&scope, &dir, sealed, &mut show).map_err(no_scope)?;
            drop(progress);
            let said = format!(
                "{} of {scope} to {}, {} with content, {} erased",
                entries(summary.entries.into()),
                dir.display(),
                summary.opened,
                summary.erased
            );
            told(&said, &summary, args.json)?;
        }
        What::Jsonl { file, scope } => jsonl(&reader, file.as_deref(), scope, progress, args.json)?,
    }
    good()
}

fn no_scope(error: quipu_log::Error) -> Failure {
    match error.kind() {
        quipu_log::ErrorKind::NotFound => Failure::no(error.to_string()),
        _ => error.into(),
    }
}

fn told(said: &str, summary: &impl Serialize, json: bool) -> io::Result<()> {
    let mut out = terminal::out();
    if json {
        json_line(&mut out, summary)?;
    } else {
        writeln!(out, "{GOOD}exported{GOOD:#} {}", escaped(said))?;
    }
    out.flush()
}

fn jsonl(
    reader: &LedgerReader,
    file: Option<&Path>,
    scope: Option<Scope>,
    mut progress: terminal::Progress,
    json: bool,
) -> Result<(), Failure> {
    let failed = |e: io::Error| match file {
        Some(file) => Failure::cannot(format!("cannot write {}: {e}", file.display())),
        None => e.into(),
    };
    let mut out: Box<dyn Write> = match file {
        Some(file) => Box::new(BufWriter::new(File::create(file).map_err(failed)?)),
        None => Box::new(BufWriter::new(io::stdout().lock())),
    };
    let (head, mut count) = (reader.head(), 0_u64);
    let mut events = reader.exported_events(scope);
    for event in &mut events {
        let event = event?;
        let line = serde_json::to_string(&event).map_err(|e| failed(e.into()))?;
        // On one line, whatever white space a payload was written with.
        writeln!(out, "{}", escaped_json(&line)).map_err(failed)?;
        count += 1;
        progress.show(event.seq(), head);
    }
    out.flush().map_err(failed)?;
    drop((out, progress));
    if events.erased > 0 {
        terminal::warn(&format!(
            "{} left out, for their content has been erased",
            counted(events.erased as usize, "event")
        ));
    }
    if let Some(file) = file {
        let summary = json!({"events": count, "erased": events.erased, "own": events.own});
        let said = format!("{} to {}", counted(count as usize, "event"), file.display());
        told(&said, &summary, json)?;
    }
    Ok(())
}

fn entries(count: u64) -> String {
    if count == 1 {
        "1 entry".to_owned()
    } else {
        format!("{count} entries")
    }
}
