use std::{
    io::Write,
    path::{Path, PathBuf},
};

use quipu_audit::{Audit, Change, Policy, Report, attest, check_attestation, component_wit, wit};
use quipu_format::{VerifierKey, limits};

use crate::{
    acting,
    failure::{Failure, Outcome, Verdict, good, verdict},
    handed,
    ledger::LedgerDir,
    render::json_line,
    terminal::{self, escaped_lines},
};

/// Say what a component can do, from its binary alone
///
/// Nothing is run, and no ledger is needed, unless it is to sign what is found. The first line is the verdict: what the component can do with memory, and what
/// it cannot. It follows from the component's type, so it holds whatever its code does.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu audit agent.wasm
  quipu audit agent.wasm --policy allowed.toml
  quipu audit agent.wasm --diff deployed.wasm            # what is wider, what is narrower
  quipu audit agent.wasm --format sarif > audit.sarif    # for a code host
  quipu audit agent.wasm --format html > audit.html      # one page, to read or print
  quipu audit agent.wasm --attest > agent.attestation    # in the name of ./ledger
  quipu audit agent.wasm --attest --key ~/kim.key > agent.attestation
  quipu audit agent.wasm --check-attestation agent.attestation --vkey operator:kim+0b1c…+AW…
  quipu audit agent.wasm --wit                           # its type, in WIT
  quipu audit --wit                                      # quipu's interface, in WIT

A policy is a TOML file; what it does not name it does not restrict:
  interfaces = [\"types\", \"read\", \"recall\"]   worlds = [\"observer\"]   digests = [\"9f2c…\"]
  max_bytes = 4000000   deny = [\"start-function\"]

Exit codes: 0 it conforms; 1 it does not, or breaks the policy, or is wider than what --diff names; 2 it cannot be read.")]
pub(crate) struct Args {
    /// The component, or a core module with a component-type section
    #[arg(required_unless_present = "wit")]
    component: Option<PathBuf>,
    /// Hold it against this policy as well: a TOML file
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Say what it can do that this older component could not, and the other way round
    #[arg(long, value_name = "OLD.wasm")]
    diff: Option<PathBuf>,
    /// How the report is written
    #[arg(long, value_enum, default_value_t = Format::Text, conflicts_with = "json")]
    format: Format,
    /// The same as `--format json`
    #[arg(long)]
    json: bool,
    /// Print the verdict, and the policy's digest if there is one, as an attestation: an in-toto statement in a DSSE
    /// envelope, signed by the ledger's own key unless --key names another
    #[arg(long, conflicts_with_all = ["diff", "format", "json", "check_attestation"])]
    attest: bool,
    /// Whose key signs, in place of the ledger's: a file from `quipu operator add --new-key` or `quipu init --operator`
    #[arg(long, value_name = "FILE", requires = "attest")]
    key: Option<PathBuf>,
    /// Check that an attestation says what is found here, and is signed by --vkey
    #[arg(long, value_name = "FILE", requires = "vkey", conflicts_with_all = ["diff", "format", "json"])]
    check_attestation: Option<PathBuf>,
    /// The verifier key of whoever signed the attestation: name+id+base64
    #[arg(long, value_name = "KEY", requires = "check_attestation")]
    vkey: Option<VerifierKey>,
    /// Print its type in WIT, and nothing else; without a component, quipu's own interface
    #[arg(long, conflicts_with_all = ["policy", "diff", "format", "json", "attest", "check_attestation"])]
    wit: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs, on one line
    Json,
    /// SARIF 2.1.0, which code hosts show beside a change
    Sarif,
    /// One page that needs nothing besides itself
    Html,
    /// For a comment or a wiki
    Markdown,
}

pub(crate) fn execute(args: Args, ledger: &LedgerDir) -> Outcome {
    let Some(path) = &args.component else {
        return interface();
    };
    let wasm = component(path)?;
    if args.wit {
        return type_of(path, &wasm);
    }
    // A file that cannot be used is said before anything is printed.
    let text = match &args.policy {
        Some(path) => Some(handed::text_or_pipe(path, limits::POLICY_BYTES, "a policy")?),
        None => None,
    };
    let policy = match (&args.policy, &text) {
        (Some(path), Some(text)) => Some(Policy::parse(text).map_err(|why| cannot(path, &why))?),
        _ => None,
    };
    let old = match &args.diff {
        Some(path) => Some((name(path), audit(path, &component(path)?)?)),
        None => None,
    };
    let audit = audit(path, &wasm)?;
    let breaches = policy.map(|policy| policy.breaches(&audit)).unwrap_or_default();
    let change = old.map(|(name, old)| (name, Change::between(&old, &audit)));
    let report = Report {
        name: &name(path),
        audit: &audit,
        breaches: &breaches,
        change: change.as_ref().map(|(name, change)| (name.as_str(), change)),
    };
    if args.attest {
        let signer = match &args.key {
            Some(key) => acting::signer(key)?,
            None => ledger.read()?.signer()?,
        };
        let signed = attest(&report, text.as_deref(), &signer);
        let mut out = terminal::out();
        writeln!(out, "{signed}")?;
        out.flush()?;
        // Also of a component that does not conform: the attestation says so.
        return verdict(Ok(()), Verdict::from(report.is_good()));
    }
    if let (Some(file), Some(key)) = (&args.check_attestation, &args.vkey) {
        let attestation = handed::read_or_pipe(file, limits::ATTESTATION_BYTES, "an attestation")?;
        let checked = check_attestation(&attestation, key, &report, text.as_deref());
        checked.map_err(|why| Failure::no(format!("{}: {why}", file.display())))?;
    }
    let format = if args.json { Format::Json } else { args.format };
    verdict(print(&report, format), Verdict::from(report.is_good()))
}

fn print(report: &Report<'_>, format: Format) -> std::io::Result<()> {
    let mut out = terminal::out();
    match format {
        Format::Text => write!(out, "{}", report.text())?,
        Format::Markdown => write!(out, "{}", report.markdown())?,
        Format::Html => write!(out, "{}", report.html())?,
        Format::Json => json_line(&mut out, &report.json())?,
        Format::Sarif => json_line(&mut out, &report.sarif())?,
    }
    out.flush()
}

/// Quipu's own interface.
fn interface() -> Outcome {
    let mut out = terminal::out();
    for (name, text) in wit() {
        writeln!(out, "// {name}\n{text}")?;
    }
    out.flush()?;
    good()
}

/// The component's type.
fn type_of(path: &Path, wasm: &[u8]) -> Outcome {
    let wit = component_wit(wasm).map_err(|why| cannot(path, &why))?;
    let mut out = terminal::out();
    write!(out, "{}", escaped_lines(&wit))?;
    out.flush()?;
    good()
}

fn audit(path: &Path, wasm: &[u8]) -> Result<Audit, Failure> {
    Audit::of(wasm).map_err(|why| cannot(path, &why))
}

fn component(path: &Path) -> Result<Vec<u8>, Failure> {
    handed::read_or_pipe(path, limits::COMPONENT_BYTES, "a component")
}

fn cannot(path: &Path, why: &impl std::fmt::Display) -> Failure {
    Failure::cannot(format!("{}: {why}", path.display()))
}

/// The last part of the path: the report says nothing of where the file lies.
fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
