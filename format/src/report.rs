//! What came of a deletion request, for those who asked or audit. docs/FORMAT.md, "Completion report".

use serde::{Deserialize, Serialize};

use crate::{
    Act, Cause, Envelope, Erasure, Error, EventId, HoldId, InclusionProof, Policy, Request, RequestId, RequestOutcome,
    Result, Scope, Signer, Timestamp, VerifierKey, leaf_hash,
};

/// What the note of a report begins with; a checkpoint cannot, for its second line is a number.
pub const BEGINNING: &str = "quipu/report\n";

/// A completion report. It is sent as a signed note of the ledger's key whose text has three lines: `quipu/report`, the
/// ledger's origin, and this as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Report {
    /// Who asked for what, and by when it was to be answered.
    pub request: Request,
    /// When the ledger took the request.
    pub opened: Timestamp,
    /// When it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Timestamp>,
    /// How it was answered; absent: it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RequestOutcome>,
    /// Entries of the ledger that the report takes into account.
    pub size: u64,
    /// What was erased to answer the request, in the order of the log.
    pub erased: Vec<Erased>,
    /// Entries that those erasures cover, each counted once.
    pub entries: u64,
    /// How each scope that the request is about stands now, and each that was erased from.
    pub scopes: Vec<ScopeLeft>,
    /// What is held in these scopes now, and why.
    pub held: Vec<HeldNow>,
    /// What is derived from the ledger, and how far it has followed the log: past an erasure it has forgotten.
    pub derived: Vec<Derived>,
}

/// One erasure, and its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Erased {
    /// The entry that says so.
    pub id: EventId,
    /// Its position.
    pub seq: u64,
    /// When the ledger took it.
    pub ts: Timestamp,
    /// Who ordered it.
    pub operator: String,
    /// The scope that was erased from.
    pub scope: Scope,
    /// Why it came about.
    pub cause: Cause,
    /// First and last `nth` of each stretch.
    pub ranges: Vec<[u32; 2]>,
    /// Its entry's envelope, with the operator's signature.
    pub envelope: String,
    /// A tlog-proof that the entry is in the ledger.
    pub proof: String,
}

/// How a scope stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScopeLeft {
    /// The scope.
    pub scope: Scope,
    /// Entries that it has, erased ones among them.
    pub entries: u64,
    /// Entries that can still be opened; those that record an erasure are among them.
    pub open: u64,
    /// The retention policy for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

/// What a hold keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeldNow {
    /// The hold.
    pub hold: HoldId,
    /// Since when.
    pub since: Timestamp,
    /// The scope.
    pub scope: Scope,
    /// First and last `nth` of each stretch; absent: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Vec<[u32; 2]>>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// State that is derived from the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Derived {
    /// Its name.
    pub name: String,
    /// Entries below it have been followed.
    pub as_of: u64,
}

impl Erased {
    /// Reads what an erasure's entry says.
    pub fn of(envelope: &[u8], proof: &InclusionProof) -> Result<Self> {
        let entry = Envelope::parse(envelope)?;
        let act = Act::of(&entry)?.filter(|act| act.member == Erasure::MEMBER);
        let act = act.ok_or_else(|| Error::new(format!("entry {} is no operator's erasure", entry.seq)))?;
        let erasure = Erasure::parse(&act.value)?;
        let envelope = std::str::from_utf8(envelope).map_err(|_| Error::new("the envelope is not UTF-8"))?;
        Ok(Self {
            id: entry.id,
            seq: entry.seq,
            ts: entry.ts,
            operator: act.operator.to_string(),
            scope: erasure.scope,
            cause: erasure.cause,
            ranges: erasure.ranges,
            envelope: envelope.to_owned(),
            proof: proof.to_string(),
        })
    }

    /// Checks that the entry says what is said of it, answers that request, and is in the ledger of that key.
    fn check(&self, request: &RequestId, key: &VerifierKey) -> Result<()> {
        let refused = |why: String| Error::new(format!("the erasure of entry {}: {why}", self.seq));
        let proof: InclusionProof = self.proof.parse()?;
        if Self::of(self.envelope.as_bytes(), &proof)? != *self {
            return Err(refused("its entry says something else".into()));
        }
        let entry = Envelope::parse(self.envelope.as_bytes())?;
        let erasure = Act::of(&entry)?.map(|act| Erasure::parse(&act.value)).transpose()?;
        if erasure.is_none_or(|erasure| erasure.request.as_ref() != Some(request)) {
            return Err(refused("it answers another request, or none".into()));
        }
        if proof.index != self.seq {
            return Err(refused(format!("its proof is of entry {}", proof.index)));
        }
        proof
            .verify(&leaf_hash(self.envelope.as_bytes()), key)
            .map(drop)
            .map_err(|e| refused(e.to_string()))
    }
}

impl Report {
    /// The signed note. The signer is the ledger's.
    pub fn sign(&self, signer: &Signer) -> Result<String> {
        let json = serde_json::to_string(self).map_err(|e| Error::new(format!("the report is not JSON: {e}")))?;
        // In JSON these can only stand in strings, where they may be escaped.
        let plain = json.chars().fold(String::with_capacity(json.len()), |mut plain, c| {
            match c {
                '\u{7f}'..='\u{9f}' => plain.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => plain.push(c),
            }
            plain
        });
        let key = signer.verifier_key();
        let note = signer.sign(&format!("{BEGINNING}{}\n{plain}\n", key.name()));
        if note.len() > crate::limits::NOTE_BYTES {
            return Err(Error::new(format!(
                "the report has {} bytes; at most {} fit: name the erasures by several requests",
                note.len(),
                crate::limits::NOTE_BYTES
            )));
        }
        Ok(note)
    }

    /// Reads a report, and checks that the ledger of this key signed it and that every erasure in it is an entry of that
    /// ledger which says so.
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self> {
        let refused = |why: &str| Error::new(format!("this is no completion report: {why}"));
        let text = key.verify(note)?;
        let (origin, json) = text
            .strip_prefix(BEGINNING)
            .and_then(|rest| rest.strip_suffix('\n'))
            .and_then(|rest| rest.split_once('\n'))
            .ok_or_else(|| refused("it must have three lines, the first of them quipu/report"))?;
        if origin != key.name() {
            return Err(refused("it is of another ledger"));
        }
        let report: Self = serde_json::from_str(json).map_err(|e| refused(&e.to_string()))?;
        for erased in &report.erased {
            erased.check(&report.request.id, key)?;
        }
        if report.covered() != report.entries {
            return Err(refused("its number of entries is not that of its erasures"));
        }
        Ok(report)
    }

    /// Entries that its erasures cover, each counted once.
    pub fn covered(&self) -> u64 {
        let mut ranges: Vec<_> = self
            .erased
            .iter()
            .flat_map(|erased| {
                let scope = erased.scope.as_str();
                erased
                    .ranges
                    .iter()
                    .map(move |[first, last]| (scope, u64::from(*first), u64::from(*last)))
            })
            .collect();
        ranges.sort_unstable();
        let (mut count, mut reached) = (0, ("", 0));
        for (scope, first, last) in ranges {
            let from = match reached.0 == scope {
                true => first.max(reached.1),
                false => first,
            };
            count += (last + 1).saturating_sub(from);
            reached = (scope, (last + 1).max(from));
        }
        count
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
