//! The `quipu` command. Each subcommand parses its arguments, calls a library and prints what it says.

mod acting;
mod agent;
mod agents;
mod append;
mod archive;
mod audit;
mod backup;
mod blame;
mod called;
mod cascade;
mod check;
mod compact;
mod completions;
mod confirm;
mod context;
mod diff;
mod disclose;
mod doctor;
mod dot;
mod drafts;
mod event_name;
mod export;
mod facts;
mod failure;
mod forget;
mod handed;
mod history;
mod hold;
mod impact;
mod import;
mod init;
mod key;
mod keys;
mod ledger;
mod log;
mod new;
mod operator;
mod passphrase;
mod project;
mod prove;
mod quarantine;
mod question;
mod quota;
mod rebuild;
mod recover;
mod redact;
mod render;
mod replay;
mod request;
mod restore;
mod retention;
mod retract;
mod run;
mod sandbox;
mod sanitised;
mod scene;
mod scratch;
mod seal;
mod search;
mod secrets;
mod show;
mod shown;
mod stats;
mod summary;
mod terminal;
mod traces;
mod tree;
mod verify;
mod why;
mod witness;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    failure::{Failure, Outcome},
    ledger::LedgerDir,
};

/// Memory for agents that cannot rewrite it.
///
/// A ledger is a folder that holds an append-only, signed log. Agents are WebAssembly components that get handles
/// to read it and one call to append to it.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  quipu init                                    make a ledger in ./ledger
  quipu import support.jsonl                    bring events in
  quipu run agent.wasm \"How does acme-inc want its invoices?\" \\
        --actor agent:support --home customer:acme-inc
  quipu agents                                  which agents may run, and who can read and write what
  quipu log --last 10                           what was remembered
  quipu why evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D      what that rests on
  quipu verify                                  nobody changed anything
  quipu replay --all                            these components wrote what their runs appended

Exit codes: 0 good; 1 the answer is no (verify failed, not found, the run failed, a replay differs); 2 wrong usage, or
cannot read; 3 nothing is wrong, and not all could be looked at (verify: archived segments are not where they should be;
replay: a run cannot be replayed).",
    infer_subcommands = false,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(flatten)]
    ledger: LedgerDir,
    #[command(flatten)]
    traces: traces::Args,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Args),
    Import(import::Args),
    Append(append::Args),
    Run(run::Args),
    Replay(replay::Args),
    Agents(agents::Args),
    Agent(agent::Args),
    Log(log::Args),
    Show(show::Args),
    Search(search::Args),
    Facts(facts::Args),
    Summary(summary::Args),
    Compact(compact::Args),
    Context(context::Args),
    Why(why::Args),
    Impact(impact::Args),
    Blame(blame::Args),
    History(history::Args),
    Diff(diff::Args),
    Shown(shown::Args),
    Retract(retract::Args),
    Quarantine(quarantine::Args),
    Project(project::Args),
    Verify(verify::Args),
    Witness(witness::Args),
    Prove(prove::Args),
    Disclose(disclose::Args),
    Check(check::Args),
    Audit(audit::Args),
    New(new::Args),
    Recover(recover::Args),
    Seal(seal::Args),
    Stats(stats::Args),
    Rebuild(rebuild::Args),
    Key(key::Args),
    Export(export::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Confirm(confirm::Args),
    Archive(archive::Args),
    Redact(redact::Redact),
    Retain(redact::Retain),
    ForgetScope(redact::ForgetScope),
    Operator(operator::Args),
    Keys(keys::Args),
    Hold(hold::Args),
    Retention(retention::Args),
    Quota(quota::Args),
    Request(request::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    /// What `run` and others have compile components: wasm in, code out
    #[command(hide = true)]
    CompileComponent,
    /// What `run --ephemeral` has clean up
    #[command(hide = true)]
    RemoveScratch {
        folder: PathBuf,
    },
}

/// Characters of what is wrong with the arguments.
const SHOWN_USAGE: usize = 4_000;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return usage(&said),
    };
    traces::begin(&cli.traces, &cli.ledger.path);
    execute(cli.command, &cli.ledger).unwrap_or_else(|failure| failure.report())
}

/// Help, or what is wrong with the arguments, which are quoted and may be anybody's.
fn usage(said: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    if let DisplayHelp | DisplayHelpOnMissingArgumentOrSubcommand | DisplayVersion = said.kind() {
        said.exit()
    }
    let text = said.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    Failure::cannot(terminal::shortened(text, SHOWN_USAGE)).report()
}

fn execute(command: Command, ledger: &LedgerDir) -> Outcome {
    match command {
        Command::Init(args) => init::execute(args, ledger),
        Command::Import(args) => import::execute(args, ledger),
        Command::Append(args) => append::execute(args, ledger),
        Command::Run(args) => run::execute(args, ledger),
        Command::Replay(args) => replay::execute(&args, ledger),
        Command::Agents(args) => agents::execute(&args, ledger),
        Command::Agent(args) => agent::execute(args, ledger),
        Command::Log(args) => log::execute(args, ledger),
        Command::Show(args) => show::execute(args, ledger),
        Command::Search(args) => search::execute(args, ledger),
        Command::Facts(args) => facts::execute(args, ledger),
        Command::Summary(args) => summary::execute(args, ledger),
        Command::Compact(args) => compact::execute(args, ledger),
        Command::Context(args) => context::execute(args, ledger),
        Command::Why(args) => why::execute(args, ledger),
        Command::Impact(args) => impact::execute(args, ledger),
        Command::Blame(args) => blame::execute(args, ledger),
        Command::History(args) => history::execute(args, ledger),
        Command::Diff(args) => diff::execute(args, ledger),
        Command::Shown(args) => shown::execute(args, ledger),
        Command::Retract(args) => retract::execute(args, ledger),
        Command::Quarantine(args) => quarantine::execute(args, ledger),
        Command::Project(args) => project::execute(args, ledger),
        Command::Verify(args) => verify::execute(args, ledger),
        Command::Witness(args) => witness::execute(args, ledger),
        Command::Prove(args) => prove::execute(args, ledger),
        Command::Disclose(args) => disclose::execute(args, ledger),
        Command::Check(args) => check::execute(args),
        Command::Audit(args) => audit::execute(args, ledger),
        Command::New(args) => new::execute(args),
        Command::Recover(args) => recover::execute(args, ledger),
        Command::Seal(args) => seal::execute(args, ledger),
        Command::Stats(args) => stats::execute(args, ledger),
        Command::Rebuild(args) => rebuild::execute(args, ledger),
        Command::Key(args) => key::execute(args, ledger),
        Command::Export(args) => export::execute(args, ledger),
        Command::Backup(args) => backup::execute(args, ledger),
        Command::Restore(args) => restore::execute(args, ledger),
        Command::Confirm(args) => confirm::execute(args, ledger),
        Command::Archive(args) => archive::execute(args, ledger),
        Command::Redact(args) => redact::redact(args, ledger),
        Command::Retain(args) => redact::retain(args, ledger),
        Command::ForgetScope(args) => redact::forget_scope(args, ledger),
        Command::Operator(args) => operator::execute(args, ledger),
        Command::Keys(args) => keys::execute(args, ledger),
        Command::Hold(args) => hold::execute(args, ledger),
        Command::Retention(args) => retention::execute(args, ledger),
        Command::Quota(args) => quota::execute(args, ledger),
        Command::Request(args) => request::execute(args, ledger),
        Command::Doctor(args) => doctor::execute(&args, ledger),
        Command::Completions(args) => completions::execute(&args),
        Command::CompileComponent => Ok(quipu_host::serve_compiler().into()),
        Command::RemoveScratch { folder } => scratch::remove(&folder),
    }
}
