use std::{io::Write, ops::Range, thread, time::Duration};

use quipu_format::{Actor, Event, Kind, Scope, Timestamp};
use quipu_log::{Direction, ErrorKind, LedgerReader, import};

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{event_line, json_line},
    terminal::{self, Out},
};

/// Print events, oldest first
///
/// An event's time, for `--since` and `--until`, is when it happened: for imported events the time that they came
/// with, for all others the time that the ledger stamped. Where the log is damaged, all that can be read is printed,
/// the damage is told, and the exit code is 1.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu log --last 10
  quipu log --scope customer:acme-inc --kind memory.write --kind memory.retract
  quipu log --since 2026-02-01 --until 2026-03-01T00:00:00Z --actor agent:support
  quipu log --follow --json | jq -r .payload.text")]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// The first N that match
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// The last N that match
    #[arg(long, value_name = "N", conflicts_with = "limit")]
    last: Option<usize>,
    /// Go on printing what is appended, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Print each event as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Which events are meant.
#[derive(clap::Args)]
struct Filter {
    /// Only this scope; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// Only this kind; may be given several times
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<Kind>,
    /// Only this actor; may be given several times
    #[arg(long = "actor", value_name = "ACTOR")]
    actors: Vec<Actor>,
    /// Only what happened then or later: a date, or a time as 2026-02-20T02:11:43Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only what happened before
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
}

/// Events that are looked at in one go where several scopes are wanted.
const CHUNK: u64 = 64;
/// How often `--follow` looks for new events.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let (reader, whole) = ledger.look()?;
    let mut head = reader.head();
    let mut printer = Printer {
        out: terminal::out(),
        json: args.json,
        left: args.limit.unwrap_or(usize::MAX),
        damaged: !whole,
    };
    match args.last {
        Some(count) => {
            let seqs = args.filter.last(&reader, head, count, &mut printer.damaged)?;
            for seq in seqs.into_iter().rev() {
                if let Some(event) = reader.event(seq)? {
                    printer.print(&event)?;
                }
            }
        }
        None => args.filter.print(&reader, 0..head, &mut printer)?,
    }
    printer.out.flush()?;
    while args.follow && printer.left > 0 {
        thread::sleep(PAUSE);
        let now = reader.refresh()?;
        args.filter.print(&reader, head..now, &mut printer)?;
        printer.out.flush()?;
        head = now;
    }
    if printer.damaged {
        return Err(Failure::no(
            "not all that was acknowledged could be printed: run `quipu verify`",
        ));
    }
    good()
}

struct Printer {
    out: Out,
    json: bool,
    /// Events that may still be printed.
    left: usize,
    /// Some events cannot be: they are damaged.
    damaged: bool,
}

impl Printer {
    fn print(&mut self, event: &Event) -> Result<(), Failure> {
        self.left = self.left.saturating_sub(1);
        if self.json {
            json_line(&mut self.out, event)?;
        } else {
            event_line(&mut self.out, event)?;
        }
        Ok(())
    }
}

impl Filter {
    fn print(&self, reader: &LedgerReader, mut range: Range<u64>, printer: &mut Printer) -> Result<(), Failure> {
        while !range.is_empty() && printer.left > 0 {
            let (events, rest) = self.page(reader, range, Direction::Forward, &mut printer.damaged)?;
            for event in events.iter().take(printer.left) {
                printer.print(event)?;
            }
            range = rest;
        }
        Ok(())
    }

    /// Positions of the last `count` events that match, newest first.
    fn last(&self, reader: &LedgerReader, head: u64, count: usize, damaged: &mut bool) -> Result<Vec<u64>, Failure> {
        let mut seqs = Vec::new();
        let mut range = 0..head;
        while !range.is_empty() && seqs.len() < count {
            let (events, rest) = self.page(reader, range, Direction::Backward, damaged)?;
            seqs.extend(events.iter().map(|event| event.envelope.seq).take(count - seqs.len()));
            range = rest;
        }
        Ok(seqs)
    }

    /// Some events at that end of `range` where `direction` begins, those that match, and the range that remains.
    fn page(
        &self,
        reader: &LedgerReader,
        range: Range<u64>,
        direction: Direction,
        damaged: &mut bool,
    ) -> Result<(Vec<Event>, Range<u64>), Failure> {
        let Range { start, end } = range;
        let (mut events, rest) = match (&self.scopes[..], direction) {
            ([scope], _) => {
                let page = reader.page(scope, start..end, direction, usize::MAX)?;
                if page.missing > 0 {
                    *damaged = true;
                    terminal::warn(&format!(
                        "{} entries of {scope} are damaged and left out: run `quipu verify`",
                        page.missing
                    ));
                }
                let rest = match (page.events.last(), direction) {
                    (Some(last), Direction::Forward) if page.more => last.envelope.seq + 1..end,
                    (Some(last), Direction::Backward) if page.more => start..last.envelope.seq,
                    _ => end..end,
                };
                (page.events, rest)
            }
            (_, Direction::Forward) => {
                let middle = end.min(start.saturating_add(CHUNK));
                (readable(reader, start..middle, damaged)?, middle..end)
            }
            (_, Direction::Backward) => {
                let middle = start.max(end.saturating_sub(CHUNK));
                let mut events = readable(reader, middle..end, damaged)?;
                events.reverse();
                (events, start..middle)
            }
        };
        events.retain(|event| self.matches(event));
        Ok((events, rest))
    }

    fn matches(&self, event: &Event) -> bool {
        fn any<T: PartialEq>(wanted: &[T], found: &T) -> bool {
            wanted.is_empty() || wanted.contains(found)
        }
        let e = &event.envelope;
        let time = import::event_time(event);
        any(&self.scopes, &e.scope)
            && any(&self.kinds, &e.kind)
            && any(&self.actors, &e.actor)
            && self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time < until)
    }
}

/// The events of all scopes at these positions, without those that are damaged: each of them is told.
fn readable(reader: &LedgerReader, range: Range<u64>, damaged: &mut bool) -> Result<Vec<Event>, Failure> {
    let mut events = Vec::new();
    for event in reader.events(range) {
        match event {
            Ok(event) => events.push(event),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                terminal::warn(&error.to_string());
                *damaged = true;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(events)
}

/// A date stands for its beginning in UTC.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let date = text.len() == "2026-02-20".len();
    let instant = if date {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    Timestamp::parse_rfc3339(&instant).map_err(|error| error.to_string())
}
