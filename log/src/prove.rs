//! Proofs: that an entry is in the ledger, and that the ledger only grew.

use std::sync::Arc;

use quipu_format::{
    Checkpoint, ConsistencyProof, InclusionProof, leaf_hash,
    tree::{self, TileHashes},
};
use smallvec::smallvec;

use crate::{
    Draft, Error, ErrorKind, Ledger, LedgerReader, Receipt, Result,
    checkpoint::Signed,
    checkpointer::signed,
    intake::By,
    ledger::{Role, one, unanswered},
    request::{Answer, Until},
    tree_files::TreeFiles,
    wait,
};

/// A receipt with the proof that its entry is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proved {
    /// As [`Ledger::append`] gives it.
    pub receipt: Receipt,
    /// Verified with [`LedgerReader::verifier_key`], here or anywhere.
    pub proof: InclusionProof,
}

impl Ledger {
    /// As [`append`](Self::append), with a proof: a checkpoint is signed for the commit at once, and is durable when this
    /// returns. All who wait share it.
    ///
    /// # Errors
    /// As for `append`. `Unavailable` also where the entry is durable and no checkpoint could be signed for it, which the
    /// message says: [`prove`](Self::prove) tries that again.
    pub async fn append_proved(&self, draft: Draft) -> Result<Proved> {
        let answer = match self.role() {
            Role::Writer(writer) => {
                let (request, answer) = writer.intake.request(smallvec![draft], Until::Covered)?;
                writer.intake.committer.submit(request).await?;
                Covering::Here(answer)
            }
            Role::Client(client) => Covering::There(client.queue_covered(vec![draft], By::Committer)?),
        };
        self.proved(answer).await
    }

    /// The same, for callers that may block.
    pub fn append_proved_blocking(&self, draft: Draft) -> Result<Proved> {
        let answer = match self.role() {
            Role::Writer(writer) => Covering::Here(writer.intake.queue(vec![draft], Until::Covered, By::Caller)?),
            Role::Client(client) => Covering::There(client.queue_covered(vec![draft], By::Caller)?),
        };
        wait::block_on(self.proved(answer))
    }

    async fn proved(&self, answer: Covering) -> Result<Proved> {
        match answer {
            Covering::Here(mut answer) => {
                let receipt = one((&mut answer).await.unwrap_or_else(|| Err(unanswered()))?)?;
                let signed = answer.signed().unwrap_or_else(|| Err(unanswered()));
                let proof = signed.and_then(|signed| prove_by(self.reader(), receipt.seq, &signed));
                proved(receipt, proof)
            }
            Covering::There(answer) => {
                let receipt = one(self.answered(answer.await.unwrap_or_else(|| Err(unanswered())))?)?;
                let proof = self.prove(receipt.seq).await;
                proved(receipt, proof)
            }
        }
    }

    /// A proof of the entry at a position. If no checkpoint covers it yet, one is signed at once, by the process that
    /// writes.
    ///
    /// # Errors
    /// `NotFound`: there is no such entry.
    pub async fn prove(&self, seq: u64) -> Result<InclusionProof> {
        let reader = self.reader();
        if seq >= reader.head() {
            return Err(no_entry(seq));
        }
        match self.cover(seq).await? {
            Some(signed) => prove_by(reader, seq, &signed),
            None => reader.prove(seq),
        }
    }

    /// The checkpoint that covers an entry, when it is durable; it is signed at once if there is none yet. None: another
    /// process has signed it, and the newest one on disk covers the entry.
    pub(crate) async fn cover(&self, seq: u64) -> Result<Option<Arc<Signed>>> {
        match self.role() {
            Role::Writer(writer) => signed(writer.checkpointer.cover(seq)).await.map(Some),
            Role::Client(client) => Box::pin(client.cover(seq)).await,
        }
    }

    /// The same, for callers that may block.
    pub fn prove_blocking(&self, seq: u64) -> Result<InclusionProof> {
        wait::block_on(self.prove(seq))
    }
}

impl LedgerReader {
    /// A proof that the entry is in the tree of the newest checkpoint, with the entry's envelope as its extra data. It is
    /// checked before it is returned. The body is not looked at, so an erased entry has one too.
    ///
    /// # Errors
    /// `NotFound`: there is no such entry, or the newest checkpoint does not cover it yet.
    pub fn prove(&self, seq: u64) -> Result<InclusionProof> {
        let (note, checkpoint) = self.checkpoint()?;
        self.refresh()?;
        prove_in(self, seq, &checkpoint, &note, &TreeFiles::open(&self.state.folder)?)
    }

    /// A proof that the ledger of the newest checkpoint begins with that of an older one, a signed note that somebody
    /// kept. It is checked before it is returned.
    ///
    /// # Errors
    /// `Invalid`: the note is not one that this ledger signed. `LostEntries`: it is newer than all that this ledger has.
    /// `Tampered`: this ledger has another history than the one that was signed then.
    pub fn prove_consistency(&self, old: &[u8]) -> Result<ConsistencyProof> {
        let opened = |note: &[u8]| {
            let opened = self.state.signed(|manifest| {
                let opened = manifest.verifier_key.open_with(note);
                opened.map(|(checkpoint, key)| (checkpoint, key.clone()))
            });
            opened.map_err(|why| Error::new(ErrorKind::Invalid, why))
        };
        let (then, old_key) = opened(old)?;
        let (note, now) = self.checkpoint()?;
        if then.size > now.size {
            let message = format!(
                "that checkpoint covers {} entries, and the newest one here {}: this is an older copy of the ledger, or \
                 it lost its end",
                then.size, now.size
            );
            return Err(Error::new(ErrorKind::LostEntries, message));
        }
        let hashes = TreeFiles::open(&self.state.folder)?;
        if tree::root(now.size, &hashes)? != now.root {
            return Err(TreeFiles::stale());
        }
        if tree::root(then.size, &hashes)? != then.root {
            let message = format!(
                "the first {} entries of this ledger are not those that the checkpoint was signed for: one key has signed \
                 two histories",
                then.size
            );
            return Err(Error::new(ErrorKind::Tampered, message));
        }
        let proof = ConsistencyProof {
            old: String::from_utf8_lossy(old).into_owned(),
            new: note,
            hashes: tree::consistency_proof(then.size, now.size, &hashes)?,
        };
        proof
            .verify_with(&old_key, &opened(proof.new.as_bytes())?.1)
            .map_err(|_| TreeFiles::stale())?;
        Ok(proof)
    }
}

/// An append whose proof is waited for.
enum Covering {
    /// Of this process, which signs the checkpoint.
    Here(Answer),
    /// Of another one, which answers when it has.
    There(Answer),
}

/// A proof by a checkpoint that was just signed: nothing but the envelope is read.
fn prove_by(reader: &LedgerReader, seq: u64, signed: &Signed) -> Result<InclusionProof> {
    prove_in(reader, seq, &signed.checkpoint, &signed.note, signed)
}

/// A proof in the tree of a checkpoint of this ledger.
fn prove_in(
    reader: &LedgerReader,
    seq: u64,
    checkpoint: &Checkpoint,
    note: &str,
    tree: &impl TileHashes<Error = Error>,
) -> Result<InclusionProof> {
    if seq >= checkpoint.size {
        let message = format!(
            "entry {seq} is not covered by a checkpoint yet (the newest covers {}): ask again in a second",
            checkpoint.size
        );
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let envelope = reader.envelope_bytes(seq)?;
    let hashes = tree::inclusion_proof(checkpoint.size, seq, tree)?;
    tree::verify_inclusion(checkpoint.size, seq, &leaf_hash(&envelope), &hashes, &checkpoint.root)
        .map_err(|_| TreeFiles::stale())?;
    Ok(InclusionProof {
        index: seq,
        extra: Some(envelope),
        hashes,
        checkpoint: note.to_owned(),
    })
}

fn proved(receipt: Receipt, proof: Result<InclusionProof>) -> Result<Proved> {
    match proof {
        Ok(proof) => Ok(Proved { receipt, proof }),
        Err(error) => {
            let message = format!(
                "{} is durable at position {}, but there is no proof of it yet ({error}): ask for that alone",
                receipt.id, receipt.seq
            );
            Err(Error::new(ErrorKind::Unavailable, message))
        }
    }
}

/// Stored bytes of an envelope or a body, which are JSON and so UTF-8.
pub(crate) fn text_of(json: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(json).map_err(|e| Error::new(ErrorKind::Corrupt, format!("no JSON: {e}")))?;
    Ok(text.to_owned())
}

pub(crate) fn no_entry(seq: u64) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no entry {seq}"))
}
