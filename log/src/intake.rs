//! The way into the log: drafts are checked on their caller's thread and queued, be the caller in this process or,
//! through the socket, in another.

use quipu_format::limits;
use smallvec::SmallVec;
use tokio::sync::oneshot::{self, Receiver, Sender};
use zeroize::Zeroizing;

use crate::{
    Draft, Error, ErrorKind, LedgerReader, Result,
    committer::Committer,
    draft::Prepared,
    erasure::Erasures,
    reply::Reply,
    scope_roots,
    sequencer::{self, Request},
};

/// What becomes of drafts that were queued; it ends unanswered if the ledger does.
pub(crate) type Answer = Receiver<sequencer::Answer>;

/// What whoever makes a request waits for: [`Reply::Durable`] or [`Reply::Covered`].
type Wanted<T> = fn(Sender<T>) -> Reply;

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

    /// Checks drafts and queues them as soon as there is room. `Unavailable`: the ledger has been closed. `wanted` says
    /// what the answer waits for.
    pub(crate) async fn submit<T>(&self, drafts: SmallVec<[Draft; 1]>, wanted: Wanted<T>) -> Result<Receiver<T>> {
        let (request, answer) = self.request(drafts, wanted)?;
        self.committer.submit(request).await?;
        Ok(answer)
    }

    /// The same, for callers that may block.
    pub(crate) fn queue<T>(&self, drafts: Vec<Draft>, wanted: Wanted<T>, by: By) -> Result<Receiver<T>> {
        let (request, answer) = self.request(drafts.into(), wanted)?;
        match by {
            By::Committer => crate::wait::block_on(self.committer.submit(request))?,
            By::Caller => self.committer.submit_inline(request)?,
        }
        Ok(answer)
    }

    fn request<T>(&self, drafts: SmallVec<[Draft; 1]>, wanted: Wanted<T>) -> Result<(Request, Receiver<T>)> {
        request(&self.reader, &self.secret, drafts, wanted)
    }
}

/// Checks drafts and makes a request of them.
pub(crate) fn request<T>(
    reader: &LedgerReader,
    secret: &[u8; 32],
    drafts: SmallVec<[Draft; 1]>,
    wanted: Wanted<T>,
) -> Result<(Request, Receiver<T>)> {
    let (reply, answer) = oneshot::channel();
    let drafts = prepare(reader, secret, drafts)?;
    let reply = wanted(reply);
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
