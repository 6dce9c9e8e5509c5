//! Who waits for drafts, and for what: that they are durable, or that a checkpoint covers them as well.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{
    Result,
    checkpoint::Signed,
    sequencer::{Answer, Receipts},
};

/// Whoever made a request.
pub(crate) enum Reply {
    /// Waits for the receipts.
    Durable(oneshot::Sender<Answer>),
    /// Waits for the receipts and for the checkpoint, which is told in one message.
    Covered(oneshot::Sender<Covered>),
}

/// Receipts of what is durable, and the checkpoint that covers it, or why there is none.
pub(crate) type Covered = Result<(Receipts, Result<Arc<Signed>>)>;

/// Somebody whose entries are durable, and who waits for a checkpoint.
pub(crate) struct Waiting {
    pub(crate) receipts: Receipts,
    /// Entries that the checkpoint must cover.
    pub(crate) size: u64,
    pub(crate) reply: oneshot::Sender<Covered>,
}

impl Reply {
    /// Tells what came of the request, or gives who still waits for a checkpoint.
    pub(crate) fn tell(self, answer: Answer) -> Option<Waiting> {
        match (self, answer) {
            (Self::Covered(reply), Ok(receipts)) => {
                let last = receipts.iter().map(|receipt| receipt.seq).max();
                let size = last.map_or(0, |seq| seq + 1);
                return Some(Waiting { receipts, size, reply });
            }
            // Whoever waited may have gone: the entries stay.
            (Self::Covered(reply), Err(error)) => drop(reply.send(Err(error))),
            (Self::Durable(reply), answer) => drop(reply.send(answer)),
        }
        None
    }
}

impl Waiting {
    /// Whoever waited may have gone.
    pub(crate) fn tell(self, signed: Result<Arc<Signed>>) {
        let _ = self.reply.send(Ok((self.receipts, signed)));
    }
}
