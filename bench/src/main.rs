//! Measures quipu on this machine. See docs/BENCHMARKS.md for what the figures mean.

mod append;
mod closed_loop;
mod edge;
mod figure;
mod guard;
mod instances;
mod large;
mod ledger;
mod machine;
mod payload;
mod peers;
mod quipu;
mod raw;
mod read;
mod recall;
mod run;
mod settings;
mod sha256;

use std::{error::Error, fs, process::ExitCode};

use figure::Report;
use settings::{Group, Settings, USAGE};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        // What the group large starts.
        Some((first, rest)) if first == large::CHILD => large::child(rest),
        // What the group recall starts.
        Some((first, rest)) if first == recall::restart::FLAG => recall::restart::run(rest),
        _ => match Settings::parse(arguments.into_iter()) {
            Ok(Some(settings)) => measure(&settings),
            Ok(None) => {
                print!("{USAGE}");
                Ok(())
            }
            Err(message) => {
                eprint!("quipu-bench: {message}\n\n{USAGE}");
                return ExitCode::from(2);
            }
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quipu-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(settings: &Settings) -> Result<()> {
    let folder = &settings.folder;
    fs::create_dir_all(folder.parent().unwrap_or(folder))?;
    if !(settings.reuse && folder.is_dir()) {
        // A folder that is there may hold somebody's ledger; ours is removed at the end.
        fs::create_dir(folder).map_err(|e| format!("{}: {e}; remove it first", folder.display()))?;
    }
    let measured = measure_groups(settings);
    if !settings.reuse {
        fs::remove_dir_all(folder)?;
    }
    let report = measured?;
    if let Some(path) = &settings.json {
        fs::write(path, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    Ok(())
}

fn measure_groups(settings: &Settings) -> Result<Report> {
    let mut report = Report::new(machine::describe(&settings.folder)?);
    report.print_machine();
    for &group in &settings.groups {
        let figures = match group {
            Group::Append => append::measure(settings)?,
            Group::Run => run::measure(settings)?,
            Group::Read => read::measure(settings)?,
            Group::Recall => recall::measure(settings)?,
            Group::RecallMany => recall::measure_many(settings)?,
            Group::Guard => guard::measure(settings)?,
            Group::Edge => edge::measure(settings)?,
            Group::Large => large::measure(settings)?,
            // Prints tables of its own.
            Group::Peers => {
                report.keep(group.name(), peers::measure(settings)?);
                continue;
            }
        };
        report.add(group.name(), figures);
    }
    Ok(report)
}
