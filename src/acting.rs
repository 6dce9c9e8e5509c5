//! Who acts as an operator, on the command line.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use quipu_format::{Signer, limits};
use quipu_log::{Ledger, Ordered, Receipt, SignedAct};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    failure::{Failure, Outcome, good},
    handed,
    ledger::{LedgerDir, Wait},
    render::{DIM, GOOD, ReceiptLine, json_line},
    terminal::{self, escaped},
};

/// An operator and their key.
#[derive(clap::Args)]
pub(crate) struct Operator {
    /// The operator who acts: `kim` or `operator:kim`
    #[arg(long, value_name = "NAME")]
    pub(crate) operator: String,
    /// The file with the operator's key
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
}

/// The key in an operator's key file.
pub(crate) fn signer(path: &Path) -> Result<Signer, Failure> {
    let cannot = |what: &dyn std::fmt::Display| Failure::cannot(format!("cannot read {}: {what}", path.display()));
    // One byte more tells, whatever the file is. Memory that does not grow leaves no copy behind.
    let most = limits::KEY_FILE_BYTES + 1;
    let mut text = Zeroizing::new(String::with_capacity(2 * most as usize));
    let input = handed::open_or_pipe(path).map_err(|e| cannot(&e))?;
    input.take(most).read_to_string(&mut text).map_err(|e| cannot(&e))?;
    if text.len() as u64 == most {
        let what = format!(
            "it is no key's file, for it has more than {} bytes",
            limits::KEY_FILE_BYTES
        );
        return Err(cannot(&what));
    }
    Signer::parse(text.trim_end()).map_err(|e| cannot(&e))
}

/// An operator who acts on a ledger.
#[derive(clap::Args)]
pub(crate) struct Acting {
    #[command(flatten)]
    pub(crate) operator: Operator,
    #[command(flatten)]
    wait: Wait,
}

impl Operator {
    /// The operator's key, which must have the operator's name.
    pub(crate) fn signer(&self) -> Result<Signer, Failure> {
        let path = self.key.display();
        let signer = signer(&self.key)?;
        let name = full_name(&self.operator);
        let key = signer.verifier_key();
        match key.name() == name {
            true => Ok(signer),
            false => Err(Failure::cannot(format!(
                "{path} holds the key of {}, not of {name}",
                key.name()
            ))),
        }
    }

    /// Signs what is done and does it, durably.
    pub(crate) fn act(
        &self,
        ledger: &Ledger,
        member: &str,
        value: &impl Serialize,
        reason: Option<&str>,
    ) -> Result<Receipt, Failure> {
        let reader = ledger.reader();
        let mut act = SignedAct::sign(reader.origin(), reader.refresh()?, member, value, &self.signer()?)?;
        act.reason = reason.map(str::to_owned);
        let mut receipts = ledger.act_blocking(vec![act]).map_err(Failure::of_one)?;
        receipts
            .pop()
            .ok_or_else(|| Failure::cannot("the ledger gave no receipt for the act"))
    }
}

impl Acting {
    /// Opens the ledger to act on it, alone or through the process that writes it.
    pub(crate) fn open(&self, ledger: &LedgerDir) -> Result<Ledger, Failure> {
        ledger.write(&self.wait)
    }

    /// Opens the ledger, does one act on it, and tells `what` was done.
    pub(crate) fn act(
        &self,
        dir: &LedgerDir,
        member: &str,
        value: &impl Serialize,
        reason: Option<&str>,
        json: bool,
        what: &str,
    ) -> Outcome {
        let ledger = self.open(dir)?;
        let receipt = self.operator.act(&ledger, member, value, reason)?;
        done(ledger, &receipt, json, what)
    }
}

/// Closes the ledger and tells that an act was done: its receipt as JSON, or `what` and the name of its entry.
pub(crate) fn done(ledger: Ledger, receipt: &Receipt, json: bool, what: &str) -> Outcome {
    ledger.close()?;
    let mut out = terminal::out();
    match json {
        true => json_line(&mut out, &ReceiptLine::from(receipt))?,
        false => writeln!(
            out,
            "{GOOD}{}{GOOD:#}  {DIM}{} seq {}{DIM:#}",
            escaped(what),
            receipt.id,
            receipt.seq
        )?,
    }
    out.flush()?;
    good()
}

/// A line with the reason of an act, where it has one.
pub(crate) fn tell_reason(out: &mut impl Write, reason: Option<&str>) -> io::Result<()> {
    match reason.filter(|reason| !reason.is_empty()) {
        Some(reason) => writeln!(out, "  {DIM}{}{DIM:#}", escaped(reason)),
        None => Ok(()),
    }
}

/// An operator's name as keys and entries have it.
pub(crate) fn full_name(name: &str) -> String {
    match name.starts_with("operator:") {
        true => name.to_owned(),
        false => format!("operator:{name}"),
    }
}

/// `2026-02-20T02:11:43Z by operator:kim`.
pub(crate) fn by(ordered: &Ordered) -> String {
    let ts = ordered.ts.to_string();
    let seconds = ts.get(..19).unwrap_or(&ts);
    format!("{seconds}Z by {}", ordered.operator)
}
