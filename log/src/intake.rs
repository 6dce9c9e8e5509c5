//! The way into the log: drafts are checked on their caller's thread and queued, be the caller in this process or,
//! through the socket, in another.

use quipu_format::limits;
use smallvec::SmallVec;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::{
    Draft, Error, ErrorKind, LedgerReader, Result,
    committer::Committer,
    draft::Prepared,
    erasure::Erasures,
    scope_roots,
    sequencer::{self, Request},
};

/// What becomes of drafts that were queued; it ends unanswered if the ledger does.
pub(crate) type Answer = oneshot::Receiver<sequencer::Answer>;

/// Who commits what is queued.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The committing thread.
    Committer,
    /// The caller, who may block, where nobody else is committing.
    Caller,
}

pub(crate) struct Intake {
    pub(crate) reader: LedgerReader,
    pub(crate) committer: Committer,
    secret: Zeroizing<[u8; 32]>,
}

impl Intake {
    pub(crate) fn new(reader: LedgerReader, committer: Committer, secret: Zeroizing<[u8; 32]>) -> Self {
        Self {
            reader,
            committer,
            secret,
        }
    }

    /// Checks drafts and queues them as soon as there is room. `Unavailable`: the ledger has been closed.
    pub(crate) async fn submit(&self, drafts: SmallVec<[Draft; 1]>) -> Result<Answer> {
        let (request, answer) = self.request(drafts)?;
        self.committer.submit(request).await?;
        Ok(answer)
    }

    /// The same, for callers that may block.
    pub(crate) fn queue(&self, drafts: Vec<Draft>, by: By) -> Result<Answer> {
        let (request, answer) = self.request(drafts.into())?;
        match by {
            By::Committer => crate::wait::block_on(self.committer.submit(request))?,
            By::Caller => self.committer.submit_inline(request)?,
        }
        Ok(answer)
    }

    fn request(&self, drafts: SmallVec<[Draft; 1]>) -> Result<(Request, Answer)> {
        request(&self.reader, &self.secret, drafts)
    }
}

/// Checks drafts and makes a request of them.
pub(crate) fn request(
    reader: &LedgerReader,
    secret: &[u8; 32],
    drafts: SmallVec<[Draft; 1]>,
) -> Result<(Request, Answer)> {
    let (reply, answer) = oneshot::channel();
    let drafts = prepare(reader, secret, drafts)?;
    let request = Request { drafts, reply };
    if request.bytes() > limits::COMMIT_BYTES {
        return Err(too_large());
    }
    Ok((request, answer))
}

fn prepare(reader: &LedgerReader, secret: &[u8; 32], drafts: SmallVec<[Draft; 1]>) -> Result<SmallVec<[Prepared; 1]>> {
    check_count(drafts.len())?;
    for id in drafts
        .iter()
        .flat_map(|draft| draft.evidence.iter().chain(&draft.supersedes))
    {
        if reader.find(*id)?.is_none() {
            let message = format!("{id} is not an entry of this ledger");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
    }
    let ours = drafts.into_iter().map(scope_roots::as_ours);
    let drafts: Result<SmallVec<[Prepared; 1]>> = ours.map(|draft| Prepared::new(draft?, secret)).collect();
    let drafts = drafts?;
    Erasures::default().admit(drafts.iter().map(|draft| &draft.envelope), &reader.state)?;
    Ok(drafts)
}

/// Refuses a number of drafts that cannot be appended together.
pub(crate) fn check_count(drafts: usize) -> Result<()> {
    if (1..=limits::DRAFTS).contains(&drafts) {
        return Ok(());
    }
    let message = format!("{drafts} drafts at once; 1 to {} fit", limits::DRAFTS);
    let kind = if drafts == 0 {
        ErrorKind::Invalid
    } else {
        ErrorKind::TooLarge
    };
    Err(Error::new(kind, message))
}

/// Of drafts that fit no commit.
pub(crate) fn too_large() -> Error {
    let message = format!("the drafts take more than {} bytes together", limits::COMMIT_BYTES);
    Error::new(ErrorKind::TooLarge, message)
}
