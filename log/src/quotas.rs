//! What scopes may hold: whether drafts that are to be appended together all fit.

use std::collections::HashMap;

use quipu_format::{Envelope, Quota, QuotaChange, Scope, Signer};

use crate::{
    Error, ErrorKind, Governance, Ledger, LedgerReader, Receipt, Result, ScopeHead, SignedAct, draft::Prepared,
    staging::Chain,
};

/// What a scope may hold. It is asked once for each chain, until an act changes a quota.
#[derive(Default)]
pub(crate) enum Allowed {
    #[default]
    Unasked,
    All,
    UpTo(Box<Quota>),
}

impl Allowed {
    /// Whether anything is forbidden. Asks first, if nobody has.
    pub(crate) fn is_bounded(&mut self, governance: &Governance, envelope: &Envelope) -> bool {
        if let Self::Unasked = self {
            *self = match governance.quota_for(&envelope.scope) {
                Some(state) => Self::UpTo(Box::new(state.quota.clone())),
                None => Self::All,
            };
        }
        matches!(self, Self::UpTo(_))
    }
}

/// Whether an entry changes a quota, if it counts.
pub(crate) fn is_change(envelope: &Envelope) -> bool {
    envelope.kind.as_str().strip_prefix("quipu.") == Some(QuotaChange::MEMBER)
}

/// Refuses drafts of which one does not fit what its scope may hold; each comes with the number of its chain, and the first gets
/// position `next`. Entries of the host's and operators' kinds count, and are not refused: a run in a full scope begins, reads
/// and ends, and what is there can be erased.
pub(crate) fn admit(drafts: &mut [(&mut Prepared, usize)], chains: &[Chain], next: u64) -> Result<()> {
    // Bounds of bytes are known, and nearly always enough.
    let bounded = admit_by(drafts, chains, next, |draft, _, _| Ok(draft.line_bytes as u64));
    bounded.or_else(|_| admit_by(drafts, chains, next, Prepared::counted_bytes))
}

fn admit_by(
    drafts: &mut [(&mut Prepared, usize)],
    chains: &[Chain],
    next: u64,
    bytes_of: impl Fn(&mut Prepared, u64, u32) -> Result<u64>,
) -> Result<()> {
    // What each chain holds with those before.
    let mut held: HashMap<usize, (u32, u64)> = HashMap::new();
    for ((draft, number), seq) in drafts.iter_mut().zip(next..) {
        let chain = &chains[*number];
        let Allowed::UpTo(quota) = &chain.quota else { continue };
        let (count, bytes) = held.entry(*number).or_insert((chain.count, chain.bytes));
        let of_draft = match quota.bytes {
            Some(_) => bytes_of(draft, seq, *count)?,
            None => 0,
        };
        *count += 1;
        *bytes += of_draft;
        if draft.envelope.kind.is_reserved() {
            continue;
        }
        let too_many = quota.entries.filter(|most| *count > *most);
        let too_much = quota.bytes.filter(|most| *bytes > *most);
        let what = match (too_many, too_much) {
            (Some(1), _) => "1 entry".to_owned(),
            (Some(most), _) => format!("{most} entries"),
            (None, Some(most)) => format!("{most} bytes"),
            (None, None) => continue,
        };
        let (holds, adds) = match too_many {
            Some(_) => (chain.count.into(), (*count - chain.count).into()),
            None => (chain.bytes, *bytes - chain.bytes),
        };
        let message = format!(
            "the scope {} has no room for this: the quota of {} allows {what}; it holds {holds}, and this adds at least {adds}. Nothing \
             of this was appended; an operator can raise it with `quipu quota set`",
            draft.envelope.scope, quota.of
        );
        return Err(Error::new(ErrorKind::Quota, message));
    }
    Ok(())
}

impl Ledger {
    /// Sets or removes a quota as the operator whose key `signer` has, and returns when that is durable: it holds for what is
    /// appended from then on, by whichever process. `reason` is sealed.
    ///
    /// # Errors
    /// `Invalid` where the operator is not enrolled, or the quota allows nothing; `NotFound` where there is none to be removed;
    /// `TooLarge` where 10,000 are set.
    pub async fn change_quota(&self, change: &QuotaChange, reason: Option<&str>, signer: &Signer) -> Result<Receipt> {
        let (reader, member) = (self.reader(), QuotaChange::MEMBER);
        let mut act = SignedAct::sign(reader.origin(), reader.head(), member, change, signer)?;
        act.reason = reason.map(str::to_owned);
        let mut receipts = self.act(vec![act]).await?;
        receipts
            .pop()
            .ok_or_else(|| Error::new(ErrorKind::Unavailable, "the ledger gave no receipt for the act"))
    }
}

impl LedgerReader {
    /// Where a scope stands: how many entries it has, and how many bytes, as quotas count them. None: nothing is in it.
    pub fn scope(&self, scope: &Scope) -> Option<ScopeHead> {
        let index = self.index();
        let head = index.scopes.get(scope)?;
        Some(head.shown(scope))
    }
}
