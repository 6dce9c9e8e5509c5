//! What was asked for on the command line.

use std::{path::PathBuf, time::Duration};

pub(crate) const USAGE: &str = "\
Usage: quipu-bench [GROUP]... [OPTION]...

Groups (the first five, if none is named):
  append  durable appends, beside the limit that the disk sets
  peers   quipu and what else one would take, side by side on this disk
  run     instantiating an agent, an append call apart from durability
  read    reading, verifying and opening a ledger, beside the limit that SHA-256 sets
  recall  what search finds and how long it takes: LoCoMo where its data is, and 100,000 events in one scope
  recall-many   the same with 1,000,000 events in 10,000 scopes; by hand alone: it takes minutes
  guard   looking for secrets in what is appended, and what that adds to an append; by hand alone
  edge    the example server under load by wrk, each request a run; by hand alone
  large   opening and reading a ledger of 10 million events; by hand alone: it needs --folder, about 14 GB there,
          and many minutes

Options:
  --json FILE        write all figures to FILE too
  --folder DIR       where to measure; must not exist [target/bench-data-PID]
  --guests DIR       folder of guest components [target/guests]
  --repetitions N    the figures are medians of N [3; peers 7]
  --seconds S        length of each measurement of appends, and of loads [2]
  --only A,B,...     peers: these contestants alone [all]
  --writers N,N,...  peers: so many writers [1,16,256]
  --events N         large: events of the ledger [10000000]
  --scopes N         large: scopes that they are in [100000]
  --reuse            large: keep the ledger in DIR, and measure on the one that is there already
";

/// The groups, in the order in which they are measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Append,
    Peers,
    Run,
    Read,
    Recall,
    RecallMany,
    Guard,
    Edge,
    Large,
}

impl Group {
    const ALL: [Self; 9] = [
        Self::Append,
        Self::Peers,
        Self::Run,
        Self::Read,
        Self::Recall,
        Self::RecallMany,
        Self::Guard,
        Self::Edge,
        Self::Large,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Peers => "peers",
            Self::Run => "run",
            Self::Read => "read",
            Self::Recall => "recall",
            Self::RecallMany => "recall-many",
            Self::Guard => "guard",
            Self::Edge => "edge",
            Self::Large => "large",
        }
    }
}

pub(crate) struct Settings {
    pub(crate) groups: Vec<Group>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) folder: PathBuf,
    pub(crate) guests: PathBuf,
    /// None: as many as the group thinks right.
    pub(crate) repetitions: Option<usize>,
    pub(crate) length: Duration,
    /// Names of contestants. None: all.
    pub(crate) only: Option<Vec<String>>,
    pub(crate) writers: Vec<usize>,
    pub(crate) events: usize,
    pub(crate) scopes: usize,
    pub(crate) reuse: bool,
}

impl Settings {
    /// None: help was asked for.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut folder = None;
        let mut settings = Self {
            groups: Vec::new(),
            json: None,
            // Two at once would spoil each other's figures, and must not spoil each other's files too.
            folder: format!("target/bench-data-{}", std::process::id()).into(),
            guests: "target/guests".into(),
            repetitions: None,
            length: Duration::from_secs(2),
            only: None,
            writers: vec![1, 16, 256],
            events: 10_000_000,
            scopes: 100_000,
            reuse: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--json" => settings.json = Some(value()?.into()),
                "--folder" => folder = Some(PathBuf::from(value()?)),
                "--guests" => settings.guests = value()?.into(),
                "--repetitions" => settings.repetitions = Some(number(&argument, &value()?, 1, 1_000)?),
                "--seconds" => {
                    settings.length = Duration::from_secs(number(&argument, &value()?, 1, 3_600)? as u64);
                }
                "--only" => settings.only = Some(value()?.split(',').map(String::from).collect()),
                "--writers" => {
                    let writers = value()?;
                    let writers = writers.split(',').map(|writers| number(&argument, writers, 1, 900));
                    settings.writers = writers.collect::<Result<_, _>>()?;
                }
                "--events" => settings.events = number(&argument, &value()?, 1_000, 1_000_000_000)?,
                "--scopes" => settings.scopes = number(&argument, &value()?, 100, 10_000_000)?,
                "--reuse" => settings.reuse = true,
                name => match Group::ALL.into_iter().find(|group| group.name() == name) {
                    Some(group) => settings.groups.push(group),
                    None => return Err(format!("`{argument}` is neither a group nor an option")),
                },
            }
        }
        if settings.groups.is_empty() {
            settings.groups = vec![Group::Append, Group::Peers, Group::Run, Group::Read, Group::Recall];
        }
        if settings.groups.contains(&Group::Large) && folder.is_none() {
            return Err("large needs --folder DIR, on the disk that is to be measured".into());
        }
        if settings.reuse && settings.groups != [Group::Large] {
            return Err("--reuse is for the group large, alone".into());
        }
        if settings.events < settings.scopes {
            return Err("--events is less than --scopes: each scope has one event at least".into());
        }
        settings.folder = folder.unwrap_or(settings.folder);
        Ok(Some(settings))
    }
}

fn number(option: &str, text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or(format!("{option} takes a whole number from {least} to {most}"))
}
