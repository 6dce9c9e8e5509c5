//! What descends from events that are to be redacted: listed first, and redacted too where the operator says so.

use std::{collections::HashSet, io::Write};

use quipu_format::EventId;
use quipu_log::LedgerReader;
use quipu_projections::Projections;

use crate::{
    event_name::EventName,
    failure::Failure,
    forget::catch_up,
    impact,
    render::{DIM, ID, json_line},
    terminal,
};

/// What becomes of what descends.
#[derive(clap::Args)]
pub(crate) struct Cascade {
    /// Redact what descends from the events too: what names them as evidence or supersedes them, what was written by runs
    /// that read them or were shown them, and what descends from that
    #[arg(long, conflicts_with = "alone")]
    cascade: bool,
    /// Redact these events alone, whatever descends from them
    #[arg(long)]
    alone: bool,
}

impl Cascade {
    /// The events to redact, after what descends from them was printed. It fails where something does that is not erased
    /// yet, and the operator has not said what is to become of it.
    pub(crate) fn extend(
        &self,
        reader: &LedgerReader,
        mut events: Vec<EventId>,
        json: bool,
    ) -> Result<Vec<EventId>, Failure> {
        for id in &events {
            EventName::Id(*id).seq(reader)?;
        }
        let projections = Projections::open(reader)?;
        catch_up(&projections, reader.head())?;
        let descendants = impact::descent(&projections, &events, reader.head())?;
        let open: Vec<_> = descendants.iter().filter(|entry| !entry.erased).collect();
        if open.is_empty() {
            return Ok(events);
        }
        let mut out = terminal::out();
        for descendant in &open {
            match json {
                true => json_line(&mut out, descendant)?,
                false => writeln!(
                    out,
                    "{ID}{}{ID:#}  {}  {DIM}{}{DIM:#}  {}",
                    descendant.id,
                    descendant.scope,
                    descendant.kind,
                    impact::because(descendant)
                )?,
            }
        }
        out.flush()?;
        match (self.cascade, self.alone) {
            (true, _) => events.extend(open.iter().map(|descendant| descendant.id)),
            (_, true) => {}
            _ => {
                let scopes: HashSet<_> = open.iter().map(|entry| &entry.scope).collect();
                return Err(Failure::no(format!(
                    "{} in {} would be left, so that nothing was redacted: repeat with --cascade to redact them too, or \
                     with --alone to leave them",
                    terminal::counted(open.len(), "descendant"),
                    terminal::counted(scopes.len(), "scope")
                )));
            }
        }
        Ok(events)
    }
}
