use std::{io::Write, time::Duration};

use quipu_format::{WitnessKey, limits};
use quipu_log::{ErrorKind, Submission};
use serde::Serialize;
use ureq::Agent;

use crate::{
    failure::{Failure, Outcome, good},
    ledger::LedgerDir,
    render::{GOOD, json_line},
    terminal::{self, escaped},
};

/// Show the newest checkpoint to witnesses, and keep their signatures
///
/// A witness (C2SP tlog-witness) signs a checkpoint only if it goes on from the last one that it saw of this ledger. So a
/// ledger that was rolled back, or that has two histories, is found out by it, whoever holds the ledger's keys.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu witness --url http://witness.example:8080 --witness VKEY
  quipu witness --url http://a.example --witness VKEY_A --url http://b.example --witness VKEY_B

Plain HTTP alone: a checkpoint is public, and the answer is signed by the witness's key. For one behind TLS, name a
forwarder of yours.")]
pub(crate) struct Args {
    /// Where a witness is: its submission prefix, before /add-checkpoint; one for each --witness, in the same order
    #[arg(long, required = true, value_name = "URL")]
    url: Vec<String>,
    /// The verifier key of that witness
    #[arg(long, required = true, value_name = "VKEY")]
    witness: Vec<WitnessKey>,
    /// Seconds that a witness may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u32,
    /// Print one line of JSON for each witness
    #[arg(long)]
    json: bool,
}

/// A witness's word.
#[derive(Serialize)]
struct Signed {
    witness: String,
    size: u64,
    time: u64,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    if args.url.len() != args.witness.len() {
        return Err(Failure::cannot("name one --witness for each --url, in the same order"));
    }
    if let Some(url) = args.url.iter().find(|url| !url.starts_with("http://")) {
        return Err(Failure::cannot(format!(
            "{url} is not a http:// URL: for a witness behind TLS name a forwarder of yours"
        )));
    }
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(args.timeout.into())))
        .build()
        .into();
    let mut submission = ledger.read()?.submission()?;
    let mut out = terminal::out();
    for (url, witness) in args.url.iter().zip(&args.witness) {
        let time = submit(&agent, url, witness, &mut submission)?;
        let (name, size) = (witness.name().to_owned(), submission.size());
        if args.json {
            let witness = name;
            json_line(&mut out, &Signed { witness, size, time })?;
        } else {
            let name = escaped(&name).into_owned();
            writeln!(
                out,
                "{GOOD}witnessed{GOOD:#} {size} entries by {name}, at {time} s since 1970"
            )?;
        }
    }
    submission.keep()?;
    out.flush()?;
    good()
}

/// Shows a checkpoint to a witness, from what it says that it has seen; gives the time that it signs.
fn submit(agent: &Agent, url: &str, witness: &WitnessKey, submission: &mut Submission) -> Result<u64, Failure> {
    let mut seen = 0;
    loop {
        let request = submission.request(seen).map_err(disagreement)?;
        let (status, answer) = post(agent, url, &request)?;
        let said = || escaped(answer.trim_end()).into_owned();
        match status {
            200 => return Ok(submission.take(witness, &answer)?),
            409 => {
                let size = answer.strip_suffix('\n').and_then(|size| size.parse::<u64>().ok());
                let size =
                    size.ok_or_else(|| Failure::cannot(format!("{url} answers 409 without a size: {}", said())))?;
                // It only ever sees more: each turn is nearer to its end.
                if size > seen {
                    seen = size;
                    continue;
                }
                return Err(Failure::no(format!(
                    "{url} has seen another history of this ledger with {size} entries: show it to whoever holds the \
                     checkpoint, and see what `quipu verify` says"
                )));
            }
            422 => {
                return Err(Failure::no(format!(
                    "{url} does not accept that this log goes on from the {seen} entries that it has seen: it is another \
                     history"
                )));
            }
            403 | 404 => {
                let message = format!(
                    "{url} does not know this ledger: give it the verifier key that `quipu stats` prints ({status})"
                );
                return Err(Failure::cannot(message));
            }
            _ => return Err(Failure::cannot(format!("{url} answers {status}: {}", said()))),
        }
    }
}

/// The status and the whole answer, which is bounded.
fn post(agent: &Agent, url: &str, request: &str) -> Result<(u16, String), Failure> {
    let failed = |error: ureq::Error| match error {
        ureq::Error::BodyExceedsLimit(limit) => Failure::cannot(format!(
            "{url} answers with more than {limit} bytes, the limit of a witness's answer"
        )),
        error => Failure::cannot(format!("{url} cannot be asked: {error}")),
    };
    let url = format!("{}/add-checkpoint", url.trim_end_matches('/'));
    let mut response = agent.post(&url).send(request).map_err(failed)?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(limits::WITNESS_ANSWER_BYTES);
    Ok((status, body.read_to_string().map_err(failed)?))
}

/// A log that is behind what the witness has seen is found out: the answer is no.
fn disagreement(error: quipu_log::Error) -> Failure {
    match error.kind() {
        ErrorKind::Tampered => Failure::no(error.to_string()),
        _ => error.into(),
    }
}
