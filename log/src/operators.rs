//! Who may act on the ledger: the operators that are enrolled, folded from the ledger's own entries. docs/FORMAT.md,
//! "Acts".

use std::{collections::HashSet, ops::Range};

use quipu_format::{Act, ActId, Envelope, Erasure, Scope, VerifierKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Error, ErrorKind, Governance, LedgerReader, Result, index::SharedIndex, lineage::FORK, ordered::Order,
    reader::Direction,
};

/// Kind of the entry that enrols or removes an operator.
pub(crate) const KIND: &str = "quipu.operator";

/// Kinds that only an operator's act can have.
const SIGNED: &[&str] = &[Erasure::KIND, "quipu.quarantine"];

/// What an act does to the operators: the member `operator` of `sys`. Each has a verifier key, as a signed note names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum OperatorChange {
    /// From now on this key's acts count.
    Enrol(String),
    /// From now on they do not.
    Remove(String),
}

impl OperatorChange {
    /// Name of the member of `sys`.
    pub const MEMBER: &str = "operator";
}

/// The operators at one place of the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operators {
    origin: String,
    keys: Vec<VerifierKey>,
    /// There has been one: from then on only operators make operators.
    founded: bool,
    /// Acts in `quipu:ledger`, and all that were taken since the ledger was opened. Each is done once.
    done: HashSet<ActId>,
    /// Entries that may have enrolled or removed somebody could not be read.
    gap: bool,
    /// What they have ordered.
    governance: Governance,
}

impl Operators {
    /// Of an open ledger: reads the entries of `quipu:ledger`, and no others.
    pub(crate) fn read(reader: &LedgerReader) -> Result<Self> {
        let mut this = Self::default();
        this.follow(reader, 0..u64::MAX)?;
        Ok(this)
    }

    /// Goes on past the entries of `quipu:ledger` in a range.
    pub(crate) fn follow(&mut self, reader: &LedgerReader, range: Range<u64>) -> Result<()> {
        let index = &reader.state.index;
        for seq in index.select(&Scope::ledger(), range, Direction::Forward, usize::MAX)? {
            match reader.envelope(seq) {
                Ok(Some(envelope)) => self.take(&envelope).unwrap_or_else(|error| {
                    // `quipu verify` names it.
                    tracing::warn!(%error, seq, "an act does not count");
                }),
                Ok(None) => break,
                Err(error) if matches!(error.kind(), ErrorKind::NotHere | ErrorKind::Corrupt) => {
                    tracing::warn!(%error, seq, "what operators ordered from here on does not count: quotas do not hold");
                    self.pass();
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Whether drafts may be appended together to a log of so many entries, as far as they are acts. Kinds that only an act
    /// can have are refused without one.
    pub(crate) fn admit<'a>(&self, drafts: impl Iterator<Item = &'a Envelope>, size: u64) -> Result<()> {
        let (mut ids, mut changes) = (HashSet::new(), 0);
        // What is ordered counts for the drafts behind it.
        let mut ordered = None;
        for envelope in drafts.filter(|envelope| envelope.kind.is_reserved()) {
            match Act::of(envelope)? {
                Some(act) => {
                    if !ids.insert(act.id) {
                        let message = format!("the act {} is there twice", act.id);
                        return Err(Error::new(ErrorKind::Conflict, message));
                    }
                    changes += usize::from(self.check(&act, size)?.is_some());
                    match ordered.as_ref().unwrap_or(&self.governance).check(&act)? {
                        Order::Other => {}
                        order => ordered
                            .get_or_insert_with(|| self.governance.clone())
                            .take(order, envelope),
                    }
                }
                None => changes += usize::from(self.unsigned(envelope)?.is_some()),
            }
        }
        if changes > 1 {
            let message = "operators are enrolled and removed one at a time: each change counts for the next";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(())
    }

    /// Passes over entries that cannot be read.
    pub(crate) fn pass(&mut self) {
        self.gap = true;
    }

    /// What they have ordered.
    pub(crate) fn governance(&self) -> &Governance {
        &self.governance
    }

    /// The keys that are enrolled.
    pub(crate) fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// Whether there has been an operator. None: what cannot be read would tell.
    pub(crate) fn have_been(&self) -> Option<bool> {
        (self.founded || !self.gap).then_some(self.founded)
    }

    /// Whether an entry is an act that was done before, and signed.
    pub(crate) fn repeats(&self, envelope: &Envelope) -> bool {
        let act = Act::of(envelope).ok().flatten();
        act.is_some_and(|act| self.done.contains(&act.id) && self.check_signature(&act).is_ok())
    }

    /// Goes on past an entry, of whatever scope. An error says why it does not count: then nothing has changed.
    pub(crate) fn take(&mut self, envelope: &Envelope) -> Result<()> {
        let Some(sys) = &envelope.sys else { return Ok(()) };
        if envelope.seq == 0 {
            self.found(&sys["genesis"]);
        } else if envelope.kind.as_str() == FORK
            && let Some(origin) = sys["fork"]["origin"].as_str()
        {
            origin.clone_into(&mut self.origin);
        }
        let act = Act::of(envelope)?;
        let change = match &act {
            Some(act) => self.check(act, envelope.seq)?,
            None => self.unsigned(envelope)?,
        };
        if let Some(act) = &act {
            let order = self.governance.check(act)?;
            self.governance.take(order, envelope);
        }
        match change {
            Some(Change::Enrol(key)) => {
                self.keys.push(key);
                self.founded = true;
            }
            Some(Change::Remove(key)) => self.keys.retain(|known| *known != key),
            None => {}
        }
        self.done.extend(act.map(|act| act.id));
        Ok(())
    }

    /// Refuses where entries were passed over: what operators ordered last may be among them.
    pub(crate) fn whole(&self) -> Result<()> {
        if self.gap {
            let message = "entries of quipu:ledger cannot be read, so that it is not known who is an operator and what they \
                           ordered last: bring back the archived segments, or restore what is damaged";
            return Err(Error::new(ErrorKind::NotHere, message));
        }
        Ok(())
    }

    /// Whether an act may be done in a log of so many entries.
    fn check(&self, act: &Act, size: u64) -> Result<Option<Change>> {
        self.whole()?;
        if self.done.contains(&act.id) {
            let message = format!(
                "the act {} was done before, and an act is done once: sign a new one",
                act.id
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        if act.size > size {
            let message = format!(
                "the act {} was resolved at {} entries, and the log has {size}: it is of another copy of the ledger",
                act.id, act.size
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        self.check_signature(act)?;
        if act.member != OperatorChange::MEMBER {
            return Ok(None);
        }
        self.change(&act.value).map(Some)
    }

    fn check_signature(&self, act: &Act) -> Result<()> {
        let name = act.operator.as_str();
        let mut keys = self.keys.iter().filter(|key| key.name() == name).peekable();
        if keys.peek().is_none() {
            let message = format!(
                "{name} is not an operator of this ledger: `quipu operator list` shows who is, and each of them can \
                 enrol another"
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if keys.any(|key| act.check(&self.origin, key).is_ok()) {
            return Ok(());
        }
        let message = format!(
            "the act {} is not signed by the key that {name} was enrolled with",
            act.id
        );
        Err(Error::new(ErrorKind::Invalid, message))
    }

    fn change(&self, value: &Value) -> Result<Change> {
        let invalid = |message: String| Error::new(ErrorKind::Invalid, message);
        let change = OperatorChange::deserialize(value).map_err(|e| invalid(format!("the act's operator: {e}")))?;
        match change {
            OperatorChange::Enrol(key) => {
                let key = operator_key(&key)?;
                if self.keys.contains(&key) {
                    let message = format!("{} is enrolled with this key already", key.name());
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
                Ok(Change::Enrol(key))
            }
            OperatorChange::Remove(key) => {
                let key = operator_key(&key)?;
                if !self.keys.contains(&key) {
                    return Err(invalid(format!("{key} is no operator's key in this ledger")));
                }
                if self.keys.len() == 1 {
                    let message =
                        "the last operator cannot be removed, for nobody could act any more: enrol another first";
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
                Ok(Change::Remove(key))
            }
        }
    }

    /// What an entry that is no act changes. Kinds that only an act can have are refused.
    fn unsigned(&self, envelope: &Envelope) -> Result<Option<Change>> {
        if SIGNED.contains(&envelope.kind.as_str()) || Governance::is_signed(&envelope.kind) {
            let message = format!("an entry of kind {} needs an operator's signature", envelope.kind);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        self.first(envelope)
    }

    /// The host may enrol the first operator itself, as genesis does: as long as there has been none.
    fn first(&self, envelope: &Envelope) -> Result<Option<Change>> {
        if envelope.kind.as_str() != KIND {
            return Ok(None);
        }
        let value = envelope.sys.as_ref().map(|sys| &sys[OperatorChange::MEMBER]);
        match self.change(value.unwrap_or(&Value::Null))? {
            Change::Enrol(key) if !self.founded && !self.gap => Ok(Some(Change::Enrol(key))),
            _ => {
                let message = "the ledger has had operators, so that only one of them can enrol or remove another";
                Err(Error::new(ErrorKind::Conflict, message))
            }
        }
    }

    fn found(&mut self, genesis: &Value) {
        if let Some(origin) = genesis["origin"].as_str() {
            origin.clone_into(&mut self.origin);
        }
        let keys = genesis["operators"].as_array().into_iter().flatten();
        self.keys
            .extend(keys.filter_map(|key| operator_key(key.as_str()?).ok()));
        self.founded |= !self.keys.is_empty();
    }
}

enum Change {
    Enrol(VerifierKey),
    Remove(VerifierKey),
}

/// Reads a verifier key that is an operator's.
pub(crate) fn operator_key(text: &str) -> Result<VerifierKey> {
    let key: VerifierKey = text.parse()?;
    let named = key.name().starts_with("operator:") && quipu_format::Actor::new(key.name()).is_ok();
    if !named {
        let message = format!(
            "the name of an operator's key begins with operator:, unlike {:?}",
            key.name()
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(key)
}
