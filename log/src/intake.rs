//! The way into the log: drafts are checked on their caller's thread and queued, be the caller in this process or,
//! through the socket, in another.

use quipu_format::limits;
use smallvec::SmallVec;
use zeroize::Zeroizing;

use crate::{
    Draft, Error, ErrorKind, LedgerReader, Result,
    committer::Committer,
    draft::Prepared,
    erasure::Erasures,
    request::{Answer, Drafts, Request, Until},
    scope_roots,
    screen::Screens,
};

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
    pub(crate) screens: Screens,
}

impl Intake {
    pub(crate) fn new(
        reader: LedgerReader,
        committer: Committer,
        secret: Zeroizing<[u8; 32]>,
        screens: Screens,
    ) -> Self {
        Self {
            reader,
            committer,
            secret,
            screens,
        }
    }

    /// Checks drafts and queues them as soon as there is room. `Unavailable`: the ledger has been closed. `until` says
    /// what the answer waits for.
    pub(crate) fn queue(&self, drafts: Vec<Draft>, until: Until, by: By) -> Result<Answer> {
        let (request, answer) = self.request(drafts.into(), until)?;
        match by {
            By::Committer => crate::wait::block_on(self.committer.submit(request))?,
            By::Caller => self.committer.submit_inline(request)?,
        }
        Ok(answer)
    }

    /// Checks drafts: all that anybody appends, in this process or another.
    pub(crate) fn request(&self, drafts: SmallVec<[Draft; 1]>, until: Until) -> Result<(Request, Answer)> {
        check_count(drafts.len())?;
        self.screens.check(&drafts)?;
        request(&self.reader, &self.secret, drafts, until)
    }
}

/// Checks drafts and makes a request of them.
pub(crate) fn request(
    reader: &LedgerReader,
    secret: &[u8; 32],
    drafts: SmallVec<[Draft; 1]>,
    until: Until,
) -> Result<(Request, Answer)> {
    let (request, answer) = Request::new(prepare(reader, secret, drafts)?, until);
    if request.bytes > limits::COMMIT_BYTES {
        return Err(too_large());
    }
    Ok((request, answer))
}

fn prepare(reader: &LedgerReader, secret: &[u8; 32], drafts: SmallVec<[Draft; 1]>) -> Result<Drafts> {
    check_count(drafts.len())?;
    let mut prepared = Drafts::with_capacity(drafts.len());
    for mut draft in drafts {
        check_links(reader, &draft)?;
        scope_roots::make_ours(&mut draft)?;
        prepared.push(Prepared::new(draft, secret)?);
    }
    Erasures::default().admit(prepared.iter().map(|draft| &draft.envelope), &reader.state)?;
    Ok(prepared)
}

/// What a draft rests on and what it replaces must be there.
fn check_links(reader: &LedgerReader, draft: &Draft) -> Result<()> {
    for id in draft.evidence.iter().chain(&draft.supersedes) {
        if reader.find(*id)?.is_none() {
            let message = format!("{id} is not an entry of this ledger");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
    }
    Ok(())
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
