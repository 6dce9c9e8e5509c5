use std::{
    io::Write,
    path::{Path, PathBuf},
};

use quipu_format::{Actor, Limits, Scope, Timestamp, limits};
use quipu_host::{Compacted, Compactor, CompactorComponent, Memory, Outcome as Ended};
use quipu_log::{Draft, Ledger, Receipt};
use quipu_projections::{Compaction, NoiseRules, Projections};
use serde::Serialize;
use serde_json::Value;

use crate::{
    drafts,
    failure::{Failure, Outcome, good, verdict},
    handed,
    ledger::{LedgerDir, Wait},
    render::{BAD, DIM, ID, ReceiptLine, json_line, text_chars},
    sandbox,
    scene::still_building,
    terminal::{self, Out, counted, escaped, escaped_lines, shortened},
};

/// Write summaries of a scope; what they cover stays as it is
///
/// Summaries of tier 1 cover the sessions of conversations, and by the month what is no turn of one; those of tier 2 cover
/// summaries, and so on up to the one that covers all. Repeated facts are one line, what the rules for noise match is one
/// signal, what has expired, is superseded, retracted or erased is left out, and of what was said the sentences are taken that
/// say most. Each line names the events that it rests on. A second run adds nothing; after a retraction or erasure it
/// replaces what that touched.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu compact --scope customer:acme-inc
  quipu compact --scope customer:acme-inc --older-than 30d --tier 1
  quipu compact --scope customer:acme-inc --rules noise.toml
  quipu compact --scope customer:acme-inc --with compactor.wasm --actor tool:weekly")]
pub(crate) struct Args {
    /// The scope
    #[arg(long)]
    scope: Scope,
    /// Leave alone what happened in the last so many days (`30d`) or hours (`12h`) and no summary covers yet
    #[arg(long, value_name = "AGE", value_parser = age, conflicts_with = "component")]
    older_than: Option<u64>,
    /// Up to this tier [default: up to the one that covers all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16), conflicts_with = "component")]
    tier: Option<u32>,
    /// Collapse noise by the rules in this file, such as `noise.toml`, in place of the ledger's; other rules make other
    /// summaries, which replace those that are there
    #[arg(long, value_name = "FILE", conflicts_with = "component")]
    rules: Option<PathBuf>,
    /// Have this component of world `compactor` propose the summaries
    #[arg(long = "with", value_name = "FILE")]
    component: Option<PathBuf>,
    /// Whose summaries they are
    #[arg(long, value_name = "ACTOR", default_value = "tool:compactor")]
    actor: Actor,
    /// Print what would be appended first, and append no summary
    #[arg(long)]
    dry_run: bool,
    /// Print each summary as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wait: Wait,
}

/// Summaries that are appended at a time.
const AT_ONCE: usize = 64;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryLine<'a> {
    kind: &'a str,
    payload: Value,
    evidence: &'a [quipu_format::EventId],
    supersedes: &'a [quipu_format::EventId],
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<ReceiptLine>,
}

pub(crate) fn execute(args: Args, dir: &LedgerDir) -> Outcome {
    if args.scope.is_reserved() || args.actor.is_reserved() {
        return Err(Failure::cannot(
            "scopes that begin with quipu: and actors that begin with host: are the ledger's own",
        ));
    }
    let ledger = dir.write_unguarded(&args.wait)?;
    let done = match &args.component {
        Some(file) => with_component(&args, file, &ledger),
        None => built_in(&args, &ledger),
    };
    ledger.close()?;
    done
}

fn built_in(args: &Args, ledger: &Ledger) -> Outcome {
    let reader = ledger.reader();
    let projections = Projections::open(reader)?;
    let now = terminal::now();
    let before = args
        .older_than
        .map(|age| Timestamp::from_ms(now.as_ms().saturating_sub(age)));
    let compaction = Compaction {
        scope: args.scope.clone(),
        actor: args.actor.clone(),
        now,
        before,
        rules: args.rules.as_deref().map(rules).transpose()?,
    };
    let (mut out, mut appended, mut kept) = (terminal::out(), 0, 0);
    for tier in 1..=args.tier.unwrap_or(quipu_projections::limits::TIERS) {
        catch_up(&projections, ledger)?;
        let plan = projections.compaction(&compaction, tier)?;
        kept += plan.kept;
        let mut progress = terminal::Progress::new("compacting");
        let total = plan.new.len() as u64;
        for (nth, some) in plan.new.chunks(AT_ONCE).enumerate() {
            let drafts = some.iter().map(|new| projections.summarised(&compaction, tier, new));
            appended += put(args, ledger, drafts.collect::<Result<_, _>>()?, &mut out)?;
            progress.show(total.min(((nth + 1) * AT_ONCE) as u64), total);
        }
        drop(progress);
        for some in plan.obsolete.chunks(limits::LINKS) {
            appended += put(args, ledger, vec![projections.taken_back(&compaction, some)?], &mut out)?;
        }
        // What the next tier covers has no name before it is appended.
        if !plan.more || (args.dry_run && !plan.is_done()) {
            break;
        }
    }
    if !args.json {
        let count = counted(appended, "summary");
        let kept = if kept == 0 {
            String::new()
        } else {
            format!(", {kept} hold as they are")
        };
        match (appended, args.dry_run) {
            (0, _) => writeln!(out, "{DIM}nothing to do{kept}{DIM:#}")?,
            (_, true) => writeln!(
                out,
                "{DIM}{count} would be appended, and those of higher tiers over them{kept}{DIM:#}"
            )?,
            _ => writeln!(out, "{DIM}{count} appended{kept}{DIM:#}")?,
        }
    }
    out.flush()?;
    good()
}

fn rules(file: &Path) -> Result<NoiseRules, Failure> {
    let text = handed::text(file, quipu_projections::limits::NOISE_BYTES, "a file of rules")?;
    Ok(NoiseRules::parse(&text, &file.display().to_string())?)
}

/// Appends drafts, unless nothing is to be, and prints them. Returns how many are new.
fn put(args: &Args, ledger: &Ledger, drafts: Vec<Draft>, out: &mut Out) -> Result<usize, Failure> {
    for draft in &drafts {
        drafts::refuse_reserved(draft).map_err(Failure::Cannot)?;
    }
    let receipts = match args.dry_run {
        true => Vec::new(),
        false => ledger.append_all_blocking(drafts.clone())?,
    };
    for (nth, draft) in drafts.iter().enumerate() {
        print(args, draft, receipts.get(nth), out)?;
    }
    out.flush()?;
    Ok(drafts.len() - receipts.iter().filter(|receipt| receipt.repeated).count())
}

fn print(args: &Args, draft: &Draft, receipt: Option<&Receipt>, out: &mut Out) -> std::io::Result<()> {
    let payload: Value = serde_json::from_str(draft.body.payload.get()).unwrap_or_default();
    if args.json {
        let line = SummaryLine {
            kind: draft.kind.as_str(),
            payload,
            evidence: &draft.evidence,
            supersedes: &draft.supersedes,
            receipt: receipt.map(ReceiptLine::from),
        };
        return json_line(out, &line);
    }
    let id = receipt.map_or("(not appended)".to_owned(), |receipt| receipt.id.to_string());
    let what = match payload["tier"].as_u64() {
        Some(tier) => format!("tier {tier}, covers {}", draft.evidence.len()),
        None => format!("takes back {}", draft.supersedes.len()),
    };
    let text = payload["text"].as_str().unwrap_or_default().replace('\n', " · ");
    let text = escaped(&text).into_owned();
    let text = shortened(&text, text_chars(32 + what.len() + 2));
    writeln!(out, "{ID}{id:30}{ID:#}  {DIM}{what}{DIM:#}  {text}")
}

/// Folds what is missing, so that what was just appended is seen.
fn catch_up(projections: &Projections, ledger: &Ledger) -> Result<(), Failure> {
    let head = ledger.reader().refresh()?;
    let mut progress = terminal::Progress::new("deriving");
    let reached = projections.build(&mut |reached, head| progress.show(reached, head))?;
    drop(progress);
    match reached >= head {
        true => Ok(()),
        false => Err(still_building(reached, head)),
    }
}

fn with_component(args: &Args, file: &Path, ledger: &Ledger) -> Outcome {
    let wasm = handed::read(file, limits::COMPONENT_BYTES, "a component")?;
    let component = CompactorComponent::new(&wasm)?;
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let executor = executor.map_err(|error| Failure::cannot(format!("cannot start threads: {error}")))?;
    let done = executor.block_on(async {
        let compactor = Compactor::new(Memory::new(ledger.clone())?, Limits::default())?.compiling(sandbox::compiler());
        compactor.run(&component, &args.scope, &args.actor, !args.dry_run).await
    });
    drop(executor);
    let done = done?;
    let printed = told(args, &done);
    verdict(printed, matches!(done.outcome, Ended::Ok(_)).into())
}

fn told(args: &Args, done: &Compacted) -> std::io::Result<()> {
    let (mut out, mut err) = (terminal::out(), anstream::stderr());
    let new = done.receipts.iter().filter(|receipt| !receipt.repeated).count();
    for receipt in &done.receipts {
        match args.json {
            true => json_line(&mut out, &ReceiptLine::from(receipt))?,
            false if receipt.repeated => {}
            false => writeln!(out, "{ID}{}{ID:#}  {DIM}seq {}{DIM:#}", receipt.id, receipt.seq)?,
        }
    }
    out.flush()?;
    match &done.outcome {
        Ended::Ok(count) => writeln!(err, "{DIM}run {} proposed {count}, {new} appended{DIM:#}", done.run),
        Ended::Failed(why) => writeln!(err, "{BAD}error: {BAD:#}the compactor failed: {}", escaped_lines(why)),
        Ended::Trapped(why) => writeln!(
            err,
            "{BAD}error: {BAD:#}the compactor was ended: {}",
            escaped_lines(why)
        ),
        _ => writeln!(err, "{BAD}error: {BAD:#}the compactor was ended: its deadline passed"),
    }
}

/// `30d` or `12h`, in milliseconds.
fn age(text: &str) -> Result<u64, String> {
    let wrong = || "an age is a number of days or hours, as 30d or 12h".to_owned();
    let (number, hours) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
        (Some(days), _) => (days, 24),
        (_, Some(hours)) => (hours, 1),
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(hours * 3_600_000).ok_or_else(wrong)
}
