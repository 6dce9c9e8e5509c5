//! From where a command on beliefs looks: a ledger, what is derived from it, and a position in its history.

use std::{str::FromStr, time::Duration};

use quipu_format::{EventId, Scope, Timestamp};
use quipu_log::LedgerReader;
use quipu_projections::{Handle, Projections, View};

use crate::{event_name::EventName, failure::Failure, ledger::LedgerDir, log::time, terminal};

/// A position in a ledger's history, as a user names it.
#[derive(Clone, Copy)]
pub(crate) enum Point {
    Seq(u64),
    Time(Timestamp),
}

/// A ledger and what is derived from it, caught up, and from where it is looked at. When it goes, the user is told what
/// could not be read.
pub(crate) struct Scene {
    pub(crate) reader: LedgerReader,
    pub(crate) projections: Projections,
    /// The `seq` below which all is seen.
    pub(crate) head: u64,
    /// The instant at which it is looked at: the present, or that of the position.
    pub(crate) now: Timestamp,
}

/// From where a command looks.
#[derive(clap::Args, Default)]
pub(crate) struct Looking {
    /// As it was: as if the ledger ended before this position, or with the last entry before this time
    #[arg(long, value_name = "SEQ|TIME")]
    as_of: Option<Point>,
    #[command(flatten)]
    wait_for: WaitFor,
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
    pub(crate) fn open(ledger: &LedgerDir, looking: &Looking) -> Result<Self, Failure> {
        let mut scene = Self::until(ledger, &looking.wait_for)?;
        (scene.head, scene.now) = scene.at(looking.as_of)?;
        Ok(scene)
    }

    /// The same in the present.
    pub(crate) fn until(ledger: &LedgerDir, wait_for: &WaitFor) -> Result<Self, Failure> {
        let (scene, reached) = Self::look(ledger.read()?, wait_for)?;
        if reached < scene.head {
            terminal::warn(&format!("true as of seq {reached} of {}, still building", scene.head));
        }
        Ok(scene)
    }

    /// The same for what acts on what it sees, which must be all: through the ledger that it will write, for what another
    /// process has just acknowledged is not shown to one that only reads.
    pub(crate) fn whole(reader: LedgerReader) -> Result<Self, Failure> {
        match Self::look(reader, &WaitFor::default())? {
            (scene, reached) if reached >= scene.head => Ok(scene),
            (scene, reached) => Err(still_building(reached, scene.head)),
        }
    }

    /// Also gives the position reached.
    fn look(reader: LedgerReader, wait_for: &WaitFor) -> Result<(Self, u64), Failure> {
        let projections = Projections::open(&reader)?;
        wait_for.wait(&projections)?;
        let mut progress = terminal::Progress::new("deriving");
        let reached = projections.build(&mut |reached, head| progress.show(reached, head))?;
        drop(progress);
        let (head, now) = (reader.head(), terminal::now());
        let scene = Self {
            reader,
            projections,
            head,
            now,
        };
        Ok((scene, reached))
    }

    /// What is seen of these scopes, or of all where none is named.
    pub(crate) fn view(&self, scopes: &[Scope]) -> View {
        let head = self.head;
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

    /// The `seq` below which all is seen from a point, and the instant at which it is looked at.
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

    /// The position of an event that is to be seen; "not found" if there is none, or it came later.
    pub(crate) fn seq(&self, id: EventId) -> Result<u64, Failure> {
        let seq = EventName::Id(id).seq(&self.reader)?;
        match seq < self.head {
            true => Ok(seq),
            false => Err(Failure::no(format!(
                "{id} is entry {seq}, which came later: as of {} the ledger did not have it",
                self.head
            ))),
        }
    }

    /// What to say where an event that is there is not in what is derived.
    pub(crate) fn not_derived(&self, id: EventId) -> Failure {
        Failure::cannot(format!(
            "{id} is not in what is derived: it is still being built, or the entry is damaged; see `quipu stats`, `quipu verify`"
        ))
    }

    /// Entries that could not be read, and are left out of answers.
    pub(crate) fn missing(&self) -> usize {
        self.projections.missing().map_or(0, |missing| missing.len())
    }
}

/// What is said by what needs all that is derived.
pub(crate) fn still_building(reached: u64, head: u64) -> Failure {
    Failure::cannot(format!(
        "what is derived is still being built, to seq {reached} of {head}: repeat it when `quipu stats` says that nothing is \
         behind"
    ))
}

impl Drop for Scene {
    fn drop(&mut self) {
        let missing = self.missing();
        if missing > 0 {
            terminal::warn(&format!(
                "{} could not be read and {} left out: `quipu verify` names what is damaged",
                terminal::counted(missing, "entry"),
                if missing == 1 { "is" } else { "are" }
            ));
        }
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
