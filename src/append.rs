use std::{
    io::{BufRead, BufReader, Read, Write, stdin},
    path::PathBuf,
};

use quipu_format::{Actor, Body, EventId, InclusionProof, Kind, Scope, Source};
use quipu_log::{Draft, Ledger, Receipt};
use serde_json::{Map, Value, json};

use crate::{
    drafts,
    failure::{Failure, Outcome, good},
    handed,
    ledger::{LedgerDir, Wait},
    render::{DIM, ID, ReceiptLine, json_line},
    secrets::Secrets,
    terminal,
};

/// Append an event, or a stream of them
///
/// When the receipt is printed, the event is durable. With `--jsonl` each line of the input is a draft:
/// `{"payload":{…}}`, and where needed `scope`, `kind`, `source`, `evidence`, `supersedes` and `key`. Each is appended
/// on its own and answered with its receipt, one line of JSON. It stops at the first line that is refused; what has
/// a receipt stays.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu append --scope customer:acme-inc --actor operator:kim \\
        --text \"Invoices go to accounting\" --tag billing
  quipu append --scope customer:acme-inc --actor tool:crm --kind observation \\
        --payload '{\"plan\":\"pro\",\"seats\":12}'
  quipu append --scope customer:acme-inc --actor operator:kim \\
        --text \"Prefers PDF\" --supersedes evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D
  agent-logs | quipu append --actor tool:bridge --scope project:apollo --jsonl -")]
pub(crate) struct Args {
    /// Where it belongs; with --jsonl, of drafts that name no scope
    #[arg(long, required_unless_present = "jsonl")]
    scope: Option<Scope>,
    /// Who says it
    #[arg(long)]
    actor: Actor,
    /// What it is; with --jsonl, of drafts that name no kind
    #[arg(long, default_value = "memory.write")]
    kind: Kind,
    #[command(flatten)]
    content: Content,
    /// Read drafts, one a line, from a file or, with `-`, from the standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["Content", "json"])]
    jsonl: Option<PathBuf>,
    /// Print the receipt as JSON
    #[arg(long)]
    json: bool,
    /// Give a proof with each receipt, which `quipu check` takes: a checkpoint is signed for it at once
    #[arg(long)]
    prove: bool,
    #[command(flatten)]
    secrets: Secrets,
    #[command(flatten)]
    wait: Wait,
}

/// What one event says.
#[derive(clap::Args)]
#[group(id = "Content", multiple = true)]
struct Content {
    /// The payload's text
    #[arg(long, required_unless_present_any = ["payload", "jsonl"])]
    text: Option<String>,
    /// The whole payload, a JSON object
    #[arg(long, value_name = "JSON", conflicts_with_all = ["text", "confidence", "ttl_days", "tags"])]
    payload: Option<String>,
    /// How sure it is, from 0 to 1
    #[arg(long, value_name = "0..1", value_parser = confidence)]
    confidence: Option<f64>,
    /// Days after which it is no longer recalled; it stays in the log
    #[arg(long, value_name = "DAYS")]
    ttl_days: Option<u32>,
    /// A word to find it by; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Where it was learned, for example `telegram`
    #[arg(long, value_name = "NAME")]
    source_channel: Option<String>,
    /// The conversation, in the channel's own terms
    #[arg(long, value_name = "ID", requires = "source_channel")]
    source_conversation: Option<String>,
    /// The message, in the channel's own terms
    #[arg(long, value_name = "ID", requires = "source_channel")]
    source_message: Option<String>,
    /// An event that it rests on; may be given several times
    #[arg(long, value_name = "EVENT")]
    evidence: Vec<EventId>,
    /// An event that it replaces in what is recalled; may be given several times
    #[arg(long, value_name = "EVENT")]
    supersedes: Vec<EventId>,
    /// Idempotency key: appended once, however often it is repeated
    #[arg(long)]
    key: Option<String>,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let ledger = args.secrets.write(ledger, &args.wait)?;
    let to = To {
        ledger: &ledger,
        secrets: &args.secrets,
        prove: args.prove,
    };
    match (&args.jsonl, args.scope) {
        (Some(file), scope) => {
            let defaults = drafts::Defaults {
                scope,
                actor: args.actor,
                kind: args.kind,
            };
            let opened = || -> std::io::Result<Box<dyn Read>> {
                Ok(if file.as_os_str() == "-" {
                    Box::new(stdin())
                } else {
                    Box::new(handed::open_or_pipe(file)?)
                })
            };
            let input = opened().map_err(|e| Failure::cannot(format!("cannot read {}: {e}", file.display())))?;
            stream(&mut BufReader::new(input), &defaults, &to)?;
        }
        (None, Some(scope)) => {
            let draft = args.content.draft(scope, args.actor, args.kind)?;
            one(draft, &to, args.json)?;
        }
        (None, None) => return Err(Failure::cannot("name the scope with --scope")),
    }
    ledger.close()?;
    good()
}

/// Where drafts go, and how.
struct To<'a> {
    ledger: &'a Ledger,
    secrets: &'a Secrets,
    prove: bool,
}

fn one(draft: Draft, to: &To<'_>, json: bool) -> Result<(), Failure> {
    let (receipt, proof) = append(draft, to)?;
    let mut out = terminal::out();
    if json {
        json_line(&mut out, &ReceiptLine::with(&receipt, proof.as_ref()))?;
    } else {
        let again = if receipt.repeated {
            ", appended before under the same key"
        } else {
            ""
        };
        writeln!(out, "{ID}{}{ID:#}  {DIM}seq {}{again}{DIM:#}", receipt.id, receipt.seq)?;
        if let Some(proof) = proof {
            write!(out, "{proof}")?;
        }
    }
    Ok(out.flush()?)
}

fn append(mut draft: Draft, to: &To<'_>) -> Result<(Receipt, Option<InclusionProof>), Failure> {
    let handled = to.secrets.handled(&draft.body, to.ledger.reader());
    if let Some(body) = handled.map_err(Failure::Cannot)? {
        draft.body = body;
    }
    if !to.prove {
        return Ok((to.ledger.append_blocking(draft)?, None));
    }
    let proved = to.ledger.append_proved_blocking(draft)?;
    Ok((proved.receipt, Some(proved.proof)))
}

/// Appends draft after draft, and gives each receipt before it reads on.
fn stream(input: &mut dyn BufRead, defaults: &drafts::Defaults, to: &To<'_>) -> Result<(), Failure> {
    let mut out = terminal::out();
    let mut lines = drafts::Lines::new(input);
    while let Some((number, line)) = lines.next().map_err(Failure::Cannot)? {
        let at = |message: String| format!("line {number}: {message}. The lines before it are in the ledger");
        let draft = defaults.draft(line).map_err(|message| Failure::cannot(at(message)))?;
        let (receipt, proof) = append(draft, to).map_err(|error| match error {
            Failure::No(message) => Failure::No(at(message)),
            Failure::Cannot(message) => Failure::Cannot(at(message)),
            closed @ Failure::OutputClosed => closed,
        })?;
        // Nobody to tell is no reason to go on silently, nor to end as if all had been appended.
        let line = ReceiptLine::with(&receipt, proof.as_ref());
        let told = json_line(&mut out, &line).and_then(|()| out.flush());
        told.map_err(|_| {
            Failure::cannot(format!(
                "line {number} is in the ledger, but its receipt could not be written: the lines after it were not read"
            ))
        })?;
    }
    Ok(())
}

impl Content {
    fn draft(self, scope: Scope, actor: Actor, kind: Kind) -> Result<Draft, Failure> {
        let payload = self.payload.clone().unwrap_or_else(|| self.payload_of_text());
        let source = self.source_channel.map(|channel| Source {
            channel,
            conversation_id: self.source_conversation,
            message_id: self.source_message,
            extra: Map::new(),
        });
        let body = Body::new(source, &payload).map_err(|error| Failure::cannot(error.to_string()))?;
        let mut draft = Draft::new(scope, actor, kind, body);
        draft.evidence = self.evidence;
        draft.supersedes = self.supersedes;
        draft.key = self.key;
        drafts::refuse_reserved(&draft).map_err(Failure::Cannot)?;
        Ok(draft)
    }

    fn payload_of_text(&self) -> String {
        let mut payload = Map::new();
        payload.insert("text".to_owned(), json!(self.text));
        if let Some(confidence) = self.confidence {
            payload.insert("confidence".to_owned(), json!(confidence));
        }
        if let Some(days) = self.ttl_days {
            payload.insert("ttlDays".to_owned(), json!(days));
        }
        if !self.tags.is_empty() {
            payload.insert("tags".to_owned(), json!(self.tags));
        }
        Value::Object(payload).to_string()
    }
}

fn confidence(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if (0.0..=1.0).contains(&number) {
        Ok(number)
    } else {
        Err("it must lie between 0 and 1".to_owned())
    }
}
