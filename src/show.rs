use std::io::Write;

use quipu_format::{Content, Event};
use serde_json::{Map, Value};

use crate::{
    event_name::EventName,
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{DIM, ID, json_line},
    terminal::{self, Out, escaped, escaped_json, escaped_lines},
};

/// Print one event whole
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu show evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D
  quipu show 12 --json")]
pub(crate) struct Args {
    /// Its id, or its position in the ledger
    event: EventName,
    /// Print it as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let reader = ledger.read()?;
    let event = reader.event(args.event.seq(&reader)?)?;
    let event = event.ok_or_else(|| Failure::no(format!("there is no event {} in this ledger", args.event)))?;
    let mut out = terminal::out();
    if args.json {
        json_line(&mut out, &event)?
    } else {
        print(&mut out, &event)?
    }
    out.flush()?;
    good()
}

fn print(out: &mut Out, event: &Event) -> std::io::Result<()> {
    let e = &event.envelope;
    field(out, "id", &format!("{ID}{}{ID:#}", e.id))?;
    field(out, "seq", &e.seq.to_string())?;
    field(out, "ts", &e.ts.to_string())?;
    field(out, "actor", e.actor.as_str())?;
    if let Some(run) = &e.run {
        field(out, "run", &run.to_string())?;
    }
    field(out, "kind", e.kind.as_str())?;
    field(out, "scope", e.scope.as_str())?;
    match &event.content {
        Content::Erased => field(out, "content", "erased")?,
        Content::Open(body) => {
            let source = serde_json::to_value(&body.source)?;
            members(out, "source", source.as_object())?;
            let payload = serde_json::from_str::<Value>(body.payload.get()).unwrap_or_default();
            members(out, "payload", payload.as_object())?;
        }
    }
    for (name, ids) in [("evidence", &e.evidence), ("supersedes", &e.supersedes)] {
        for (at, id) in ids.iter().enumerate() {
            field(out, if at == 0 { name } else { "" }, &format!("{ID}{id}{ID:#}"))?;
        }
    }
    if let Some(sys) = &e.sys {
        members(out, "sys", sys.as_object())?;
    }
    field(out, "hash", &event.hash.to_string())
}

/// A name and its value. The value has been made safe for a terminal.
fn field(out: &mut Out, name: &str, value: &str) -> std::io::Result<()> {
    writeln!(out, "{DIM}{name:<11}{DIM:#} {value}")
}

/// The members of a JSON object, one below the other; lines of text stay lines.
fn members(out: &mut Out, name: &str, object: Option<&Map<String, Value>>) -> std::io::Result<()> {
    for (at, (member, value)) in object.into_iter().flatten().enumerate() {
        let value = match value {
            Value::String(text) => escaped_lines(text).replace('\n', &format!("\n{:14}", "")),
            other => escaped_json(&other.to_string()).into_owned(),
        };
        let name = if at == 0 { name } else { "" };
        field(out, name, &format!("{DIM}{}:{DIM:#} {value}", escaped(member)))?;
    }
    Ok(())
}
