//! Measures quipu on this machine. See docs/BENCHMARKS.md for what the figures mean.

mod append;
mod closed_loop;
mod figure;
mod ledger;
mod machine;
mod raw;
mod read;
mod run;

use std::{error::Error, fs, path::PathBuf, process::ExitCode, time::Duration};

use figure::Report;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "\
Usage: quipu-bench [GROUP]... [OPTION]...

Groups (all, if none is named):
  append  durable appends, beside the limit that the disk sets
  run     instantiating an agent, an append call apart from durability
  read    reading, verifying and opening a ledger

Options:
  --json FILE        write all figures to FILE too
  --folder DIR       where to measure; must not exist [target/bench-data-PID]
  --guests DIR       folder of guest components [target/guests]
  --repetitions N    the figures are medians of N [3]
  --seconds S        length of each measurement of appends [2]
";

/// What was asked for.
struct Settings {
    groups: Vec<String>,
    json: Option<PathBuf>,
    folder: PathBuf,
    guests: PathBuf,
    repetitions: usize,
    length: Duration,
}

fn main() -> ExitCode {
    let settings = match Settings::parse(std::env::args().skip(1)) {
        Ok(Some(settings)) => settings,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprint!("quipu-bench: {message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match measure(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quipu-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

const GROUPS: [&str; 3] = ["append", "run", "read"];

fn measure(settings: &Settings) -> Result<()> {
    fs::create_dir_all(settings.folder.parent().unwrap_or(&settings.folder))?;
    // A folder that is there may hold somebody's ledger; ours is removed at the end.
    fs::create_dir(&settings.folder).map_err(|e| format!("{}: {e}; remove it first", settings.folder.display()))?;
    let measured = measure_groups(settings);
    fs::remove_dir_all(&settings.folder)?;
    let report = measured?;
    if let Some(path) = &settings.json {
        fs::write(path, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    Ok(())
}

fn measure_groups(settings: &Settings) -> Result<Report> {
    let mut report = Report::new(machine::describe(&settings.folder)?);
    report.print_machine();
    for group in &settings.groups {
        let figures = match group.as_str() {
            "append" => append::measure(settings)?,
            "run" => run::measure(settings)?,
            _ => read::measure(settings)?,
        };
        report.add(group, figures);
    }
    Ok(report)
}

impl Settings {
    /// None: help was asked for.
    fn parse(mut arguments: impl Iterator<Item = String>) -> std::result::Result<Option<Self>, String> {
        let mut settings = Self {
            groups: Vec::new(),
            json: None,
            // Two at once would spoil each other's figures, and must not spoil each other's files too.
            folder: format!("target/bench-data-{}", std::process::id()).into(),
            guests: "target/guests".into(),
            repetitions: 3,
            length: Duration::from_secs(2),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--json" => settings.json = Some(value()?.into()),
                "--folder" => settings.folder = value()?.into(),
                "--guests" => settings.guests = value()?.into(),
                "--repetitions" => settings.repetitions = number(&argument, &value()?, 1, 1_000)?,
                "--seconds" => {
                    settings.length = Duration::from_secs(number(&argument, &value()?, 1, 3_600)? as u64);
                }
                group if GROUPS.contains(&group) => settings.groups.push(argument),
                _ => return Err(format!("`{argument}` is neither a group nor an option")),
            }
        }
        if settings.groups.is_empty() {
            settings.groups = GROUPS.map(String::from).to_vec();
        }
        Ok(Some(settings))
    }
}

fn number(option: &str, text: &str, least: usize, most: usize) -> std::result::Result<usize, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or(format!("{option} takes a whole number from {least} to {most}"))
}
