use std::{io::Write, path::PathBuf};

use quipu_format::Timestamp;
use quipu_log::LedgerReader;

use crate::{
    failure::{Failure, Outcome, good},
    ledger::{LedgerDir, Wait},
    log,
    render::{DIM, GOOD, json_line},
    terminal::{self, escaped},
};

/// Move old segments to a cold folder, compressed
///
/// Full segments all of whose entries come before are moved; entries are read from there when they are asked for, and
/// `quipu verify` covers them. Where the folder is not there, its entries alone cannot be read, and are named. The files
/// are zstd's: `zstd -d` gives a segment back, which may be put into log/ again. After the folder was moved, archive to
/// its new place: what is there is found.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu archive --before 2025-01-01 --to /mnt/cold/memory
  quipu archive --before 1000000 --to /mnt/cold/memory
  quipu archive --before 0 --to /mnt/elsewhere/memory      the folder was moved")]
pub(crate) struct Args {
    /// A time, such as 2026-02-20 or 2026-02-20T02:11:43Z, or a position
    #[arg(long, value_name = "TIME|SEQ", value_parser = before)]
    before: Before,
    /// The cold folder, which is made where it is missing
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Print a summary as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Clone, Copy)]
enum Before {
    Seq(u64),
    Time(Timestamp),
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let ledger = ledger.own(&args.wait)?;
    let before = args.before.seq(ledger.reader())?;
    let mut progress = terminal::Progress::new("archiving");
    let summary = ledger.archive(before, &args.to, &mut |done, of| progress.show(done, of))?;
    drop(progress);
    ledger.close()?;
    let mut out = terminal::out();
    if args.json {
        json_line(&mut out, &summary)?;
    } else {
        let dir = args.to.display().to_string();
        writeln!(
            out,
            "{GOOD}archived{GOOD:#} {} to {}",
            terminal::counted(summary.segments as usize, "segment"),
            escaped(&dir)
        )?;
        writeln!(
            out,
            "{DIM}bytes{DIM:#}    {}, compressed {}",
            summary.bytes, summary.cold_bytes
        )?;
        if summary.found > 0 {
            writeln!(out, "{DIM}found{DIM:#}    {} that had been moved there", summary.found)?;
        }
    }
    out.flush()?;
    good()
}

impl Before {
    fn seq(self, reader: &LedgerReader) -> Result<u64, Failure> {
        match self {
            Self::Seq(seq) => Ok(seq),
            Self::Time(time) => Ok(reader.seq_at(time)?),
        }
    }
}

fn before(text: &str) -> Result<Before, String> {
    match text.parse() {
        Ok(seq) => Ok(Before::Seq(seq)),
        Err(_) => log::time(text).map(Before::Time),
    }
}
