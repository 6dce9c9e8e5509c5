use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write, stdin},
    path::{Path, PathBuf},
};

use quipu_format::{Actor, Scope, limits};
use quipu_log::{
    Ledger, LedgerReader,
    import::{Format, Imported, LineError, Plan},
};

use crate::{
    failure::{Failure, Outcome, good},
    handed,
    ledger::{LedgerDir, Wait},
    render::{DIM, GOOD},
    secrets::Secrets,
    terminal::{self, counted, escaped},
};

/// Bring events from a file into the ledger
///
/// The whole input is checked first; if a line is bad, nothing is appended. The ledger stamps the events; the id,
/// time and actor that they came with are kept in `source.original`. An import that was broken off is finished by
/// running it again: what is there already is not appended twice.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu import support.jsonl --dry-run           only check it
  quipu import support.jsonl                     one event a line: scope, kind, payload; id, ts, actor, source
  quipu import --format locomo conversations/    every .json file in the folder
  generate-events | quipu import -")]
pub(crate) struct Args {
    /// The file; `-` is the standard input; for locomo also a folder of .json files
    file: PathBuf,
    /// What the input is written in
    #[arg(long, value_enum, default_value_t = FormatArg::Events)]
    format: FormatArg,
    /// Check the input and say what would be appended
    #[arg(long)]
    dry_run: bool,
    /// Whom the ledger stamps as the one who appended
    #[arg(long, value_name = "ACTOR", default_value = "tool:import")]
    actor: Actor,
    #[command(flatten)]
    secrets: Secrets,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum FormatArg {
    /// JSON, one event a line
    Events,
    /// Conversations of the LoCoMo benchmark
    Locomo,
}

/// What is read, as messages call it.
const IMPORT: &str = "what is imported at once";

/// Bad lines that are printed.
const SHOWN_ERRORS: usize = 20;

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let format = match args.format {
        FormatArg::Events => Format::Events,
        FormatArg::Locomo => Format::Locomo,
    };
    let files = files(&args.file, args.format)?;
    if args.dry_run {
        would_import(&read(&files, format, &args, &ledger.read()?)?)?;
    } else {
        let ledger = args.secrets.write(ledger, &args.wait)?;
        let plans = read(&files, format, &args, ledger.reader())?;
        imported(apply(plans, &ledger, &args.actor)?)?;
        ledger.close()?;
    }
    good()
}

/// Brings a file of events into a ledger, and says nothing of it.
pub(crate) fn quietly(file: &Path, ledger: &Ledger, actor: &Actor) -> Result<(), Failure> {
    let input = handed::read_or_pipe(file, limits::IMPORT_BYTES, IMPORT)?;
    let plan = Plan::read(Format::Events, &input, ledger.reader()).map_err(|errors| refused(file, &errors))?;
    plan.apply(ledger, actor, &mut |_, _| ())?;
    Ok(())
}

/// The files that a path means.
fn files(path: &Path, format: FormatArg) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    if matches!(format, FormatArg::Events) {
        return Err(Failure::cannot(format!(
            "{} is a folder. Name a file of events, or add `--format locomo` for a folder of conversations",
            path.display()
        )));
    }
    let list = || -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
        let mut files = entries.collect::<io::Result<Vec<_>>>()?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json") && file.is_file());
        files.sort();
        Ok(files)
    };
    let files =
        list().map_err(|error| Failure::cannot(format!("cannot read the folder {}: {error}", path.display())))?;
    if files.is_empty() {
        return Err(Failure::cannot(format!("there is no .json file in {}", path.display())));
    }
    Ok(files)
}

/// Reads and checks all files.
fn read(files: &[PathBuf], format: Format, args: &Args, ledger: &LedgerReader) -> Result<Vec<Plan>, Failure> {
    let mut revise = args.secrets.reviser(args.actor.as_str(), ledger);
    let plan = |file: &PathBuf| {
        let input = if file.as_os_str() == "-" {
            handed::bounded(file, Ok(stdin()), limits::IMPORT_BYTES, IMPORT)
        } else {
            handed::read_or_pipe(file, limits::IMPORT_BYTES, IMPORT)
        }?;
        let mut plan = Plan::read(format, &input, ledger).map_err(|errors| refused(file, &errors))?;
        plan.revise(&mut revise).map_err(|errors| refused(file, &errors))?;
        Ok(plan)
    };
    files.iter().map(plan).collect()
}

fn refused(file: &Path, errors: &[LineError]) -> Failure {
    let mut message = format!(
        "{} cannot be imported, nothing was appended. {} to mend:",
        file.display(),
        counted(errors.len(), "line")
    );
    for error in errors.iter().take(SHOWN_ERRORS) {
        message.push_str(&format!("\n  {}", escaped(&error.to_string())));
    }
    if errors.len() > SHOWN_ERRORS {
        message.push_str(&format!("\n  and {} more", errors.len() - SHOWN_ERRORS));
    }
    Failure::cannot(message)
}

fn apply(plans: Vec<Plan>, ledger: &Ledger, actor: &Actor) -> Result<Imported, Failure> {
    let total = plans.iter().map(|plan| plan.summary().events as u64).sum();
    let mut progress = terminal::Progress::new("importing");
    let mut all = Imported::default();
    for plan in plans {
        let before = all.appended + all.already;
        let one = plan.apply(ledger, actor, &mut |done, _| {
            progress.show((before + done) as u64, total)
        })?;
        all.appended += one.appended;
        all.already += one.already;
        all.scopes.extend(one.scopes);
    }
    Ok(all)
}

fn imported(all: Imported) -> io::Result<()> {
    let mut out = terminal::out();
    write!(
        out,
        "{GOOD}imported{GOOD:#} {} into {}",
        counted(all.appended, "event"),
        counted(all.scopes.len(), "scope")
    )?;
    if all.already > 0 {
        write!(out, " ({} were already there)", all.already)?;
    }
    writeln!(out)?;
    out.flush()
}

fn would_import(plans: &[Plan]) -> io::Result<()> {
    let mut events = 0;
    let mut scopes = BTreeMap::<Scope, usize>::new();
    for summary in plans.iter().map(Plan::summary) {
        events += summary.events;
        for (scope, count) in summary.scopes {
            *scopes.entry(scope).or_default() += count;
        }
    }
    let mut out = terminal::out();
    let scopes_counted = counted(scopes.len(), "scope");
    writeln!(
        out,
        "the input is good; it would import {} into {scopes_counted}:",
        counted(events, "event")
    )?;
    for (scope, count) in scopes {
        writeln!(out, "{count:>9}  {DIM}{scope}{DIM:#}")?;
    }
    out.flush()
}
