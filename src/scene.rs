//! From where a command on beliefs looks: a ledger, what is derived from it, and a position in its history.

use std::{str::FromStr, time::Duration};

use quipu_format::{Scope, Timestamp};
use quipu_log::LedgerReader;
use quipu_projections::{Handle, Projections, View};

use crate::{failure::Failure, ledger::LedgerDir, log::time, terminal};

/// A position in a ledger's history, as a user names it.
#[derive(Clone, Copy)]
pub(crate) enum Point {
    Seq(u64),
    Time(Timestamp),
}

/// A ledger and what is derived from it, caught up.
pub(crate) struct Scene {
    pub(crate) reader: LedgerReader,
    pub(crate) projections: Projections,
}

/// Whether a command waits for an entry before it answers.
#[derive(clap::Args, Default)]
pub(crate) struct WaitFor {
    /// Answer once the entry at this position is in the answer: the `seq` of a receipt
    #[arg(long, value_name = "SEQ")]
    wait_for: Option<u64>,
    /// Seconds to wait for it [default: 10]
    #[arg(long = "wait", value_name = "SECONDS", requires = "wait_for")]
    seconds: Option<u32>,
}

impl WaitFor {
    /// Waits; an error where the time has passed.
    pub(crate) fn wait(&self, projections: &Projections) -> Result<(), Failure> {
        if let Some(seq) = self.wait_for {
            projections.wait_for(seq, Duration::from_secs(self.seconds.unwrap_or(10).into()))?;
        }
        Ok(())
    }
}

impl Scene {
    /// With all that is derived of the log so far. Where somebody else is deriving a long stretch of it, the user is told
    /// how far that has come, and the answer is as of there.
    pub(crate) fn open(ledger: &LedgerDir, wait_for: &WaitFor) -> Result<Self, Failure> {
        let (scene, reached, head) = Self::look(ledger.read()?, wait_for)?;
        if reached < head {
            terminal::warn(&format!("true as of seq {reached} of {head}, still building"));
        }
        Ok(scene)
    }

    /// The same for what acts on what it sees, which must be all: through the ledger that it will write, for what another
    /// process has just acknowledged is not shown to one that only reads.
    pub(crate) fn whole(reader: LedgerReader) -> Result<Self, Failure> {
        match Self::look(reader, &WaitFor::default())? {
            (scene, reached, head) if reached >= head => Ok(scene),
            (_, reached, head) => Err(Failure::cannot(format!(
                "what is derived is still being built, to seq {reached} of {head}: repeat it when `quipu stats` says that \
                 nothing is behind"
            ))),
        }
    }

    /// Also gives the position reached and the head.
    fn look(reader: LedgerReader, wait_for: &WaitFor) -> Result<(Self, u64, u64), Failure> {
        let projections = Projections::open(&reader)?;
        wait_for.wait(&projections)?;
        let mut progress = terminal::Progress::new("deriving");
        let reached = projections.build(&mut |reached, head| progress.show(reached, head))?;
        drop(progress);
        let head = reader.head();
        Ok((Self { reader, projections }, reached, head))
    }

    /// What is seen of these scopes below a position, or of all where none is named.
    pub(crate) fn view(&self, scopes: &[Scope], head: u64) -> View {
        let handle = |scope: &Scope| Handle {
            scope: scope.clone(),
            head,
            run: None,
        };
        match scopes {
            [] => View::Everything { head },
            scopes => View::Handles(scopes.iter().map(handle).collect()),
        }
    }

    /// The `seq` below which all is seen, and the instant at which it is looked at: the present, or that of the point.
    pub(crate) fn at(&self, point: Option<Point>) -> Result<(u64, Timestamp), Failure> {
        let head = self.reader.head();
        Ok(match point {
            None => (head, terminal::now()),
            Some(Point::Time(time)) => (self.reader.seq_at(time)?.min(head), time),
            Some(Point::Seq(seq)) => {
                let next = self.reader.envelope(seq.min(head))?;
                (seq.min(head), next.map_or_else(terminal::now, |next| next.ts))
            }
        })
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(seq) => Ok(Self::Seq(seq)),
            Err(_) => time(text)
                .map(Self::Time)
                .map_err(|error| format!("it is neither a position in the ledger nor a time: {error}")),
        }
    }
}
