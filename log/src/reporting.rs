//! The completion report of a deletion request, from what is in the log.

use std::{collections::BTreeSet, thread, time::Duration};

use quipu_format::{
    Act, Cause, Envelope, Erasure, RequestId, Scope, Signer,
    report::{Derived, Erased, HeldNow, Report, ScopeLeft},
};
use serde_json::Value;

use crate::{Error, ErrorKind, Governance, LedgerReader, Result, rotation, signer_file};

/// Times that a report is collected because the key that would sign it is rotated meanwhile, and the pause between them.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

impl LedgerReader {
    /// What came of a request so far; `derived` says how far what is derived has come. `progress` is told how many entries
    /// have been looked at, and of how many.
    ///
    /// # Errors
    /// `NotFound` where there is no such request, or where a checkpoint does not cover an erasure yet.
    pub fn report(&self, id: &RequestId, derived: Vec<Derived>, progress: &mut dyn FnMut(u64, u64)) -> Result<Report> {
        let size = self.refresh()?;
        let governance = self.governance()?;
        let Some(state) = governance.request(id) else {
            let message = format!("there is no request named {id}: `quipu request list` shows which there are");
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let mut erased = Vec::new();
        // Erasures name a request only while it is open.
        let end = state.closed.as_ref().map_or(size, |closed| closed.seq);
        let first = state.opened.seq;
        let mut authority = self.authority();
        for seq in first..end {
            let envelope = self.envelope(seq)?.filter(|envelope| answers(envelope, id));
            if let Some(envelope) = envelope
                && authority.refusal(&envelope)?.is_none()
            {
                erased.push(Erased::of(&self.envelope_bytes(seq)?, self.prove(seq)?)?);
            }
            if seq % 1_024 == 0 {
                progress(seq - first, end - first);
            }
        }
        progress(end - first, end - first);
        let of_request = state.request.scopes.iter();
        let scopes: BTreeSet<_> = of_request.chain(erased.iter().map(|erased| &erased.scope)).collect();
        let mut report = Report {
            request: state.request.clone(),
            opened: state.opened.ts,
            closed: state.closed.as_ref().map(|closed| closed.ts),
            outcome: state.outcome,
            size,
            scopes: scopes.iter().map(|scope| self.left(&governance, scope)).collect(),
            held: self.held_now(&governance, &scopes)?,
            derived,
            entries: 0,
            erased: Vec::new(),
        };
        drop(scopes);
        report.erased = erased;
        report.entries = report.covered();
        Ok(report)
    }

    /// As [`report`](Self::report), as a note that the ledger's key signs: the one key with which everything else of the
    /// ledger is checked, and which those who asked can know. Who ordered an erasure signed its entry. Where the ledger's
    /// key is rotated meanwhile, the report is collected again.
    ///
    /// # Errors
    /// As for `report`; `Unavailable` where the key is rotated again and again.
    pub fn signed_report(
        &self,
        id: &RequestId,
        derived: &[Derived],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<String> {
        for _ in 1..ATTEMPTS {
            let report = self.report(id, derived.to_vec(), progress)?;
            match self.sign_report(&report) {
                Err(e) if e.kind() == ErrorKind::Unavailable => thread::sleep(PAUSE),
                signed => return signed,
            }
        }
        self.sign_report(&self.report(id, derived.to_vec(), progress)?)
    }

    /// The ledger's key, for a statement in its name that says itself what it is, such as an attestation: nothing that this
    /// key signs may be taken for a checkpoint.
    ///
    /// # Errors
    /// `NotFound` where the file `signer` is missing, `Sealed` where it is under a passphrase that was not given.
    pub fn signer(&self) -> Result<Signer> {
        let state = &self.state;
        state.signed(|manifest| signer_file::current(&state.folder, manifest))
    }

    /// Signs a report with the key that is in force for it.
    ///
    /// # Errors
    /// `Unavailable` where the ledger's key was rotated after the report was collected: then no key may sign it any more.
    fn sign_report(&self, report: &Report) -> Result<String> {
        let state = &self.state;
        let signer = self.signer()?;
        // Whatever was rotated before is known after this.
        let covered = self.checkpoint()?.1.size;
        let keys = &state.manifest().verifier_key;
        let until = keys.earlier().last().map_or(0, |earlier| earlier.until);
        let is_rotated = **keys != signer.verifier_key()
            || report.size <= until && until > 0
            || rotation::is_named_in(self, covered..report.size)?;
        if is_rotated {
            let message = "the ledger's key was rotated after the report was collected: collect it again";
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        Ok(report.sign(&signer)?)
    }

    fn left(&self, governance: &Governance, scope: &Scope) -> ScopeLeft {
        let entries = self.index().scopes.get(scope).map_or(0, |head| head.count);
        let open = self.all_alive(scope).iter().map(|[a, b]| u64::from(b - a) + 1).sum();
        ScopeLeft {
            scope: scope.clone(),
            entries: entries.into(),
            open,
            policy: governance.policy_for(scope).map(|state| state.policy.clone()),
        }
    }

    /// What of a scope can still be opened.
    fn all_alive(&self, scope: &Scope) -> Vec<[u32; 2]> {
        let count = self.index().scopes.get(scope).map_or(0, |head| head.count);
        let last = count.checked_sub(1);
        last.map_or_else(Vec::new, |last| self.alive(scope, 0..=last))
    }

    fn held_now(&self, governance: &Governance, scopes: &BTreeSet<&Scope>) -> Result<Vec<HeldNow>> {
        let mut held = Vec::new();
        for state in governance.holds().filter(|state| state.released.is_none()) {
            for part in state.hold.over.iter().filter(|part| scopes.contains(&part.scope)) {
                // What was erased before the hold is not kept by it.
                let open = Erasure {
                    cause: Cause::Redact,
                    ranges: self.all_alive(&part.scope),
                    request: None,
                    scope: part.scope.clone(),
                };
                let ranges = state.hold.of(&open);
                if ranges.is_empty() {
                    continue;
                }
                held.push(HeldNow {
                    hold: state.hold.id.clone(),
                    since: state.since.ts,
                    scope: part.scope.clone(),
                    ranges: part.ranges.is_some().then_some(ranges),
                    reason: self.reason(state.since.seq)?,
                });
            }
        }
        Ok(held)
    }

    /// Why an act was done, in its operator's words. None: they gave no reason, or it is erased.
    pub fn reason(&self, seq: u64) -> Result<Option<String>> {
        let event = self.event(seq)?;
        let payload = event.as_ref().and_then(|event| event.payload());
        let payload: Value = payload
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        Ok(payload["reason"].as_str().map(str::to_owned))
    }
}

/// Whether an entry is an erasure that answers the request.
fn answers(envelope: &Envelope, id: &RequestId) -> bool {
    envelope.kind.as_str() == Erasure::KIND
        && Act::of(envelope)
            .ok()
            .flatten()
            .and_then(|act| Erasure::parse(&act.value).ok())
            .is_some_and(|erasure| erasure.request.as_ref() == Some(id))
}
