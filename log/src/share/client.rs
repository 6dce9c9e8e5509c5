//! The end of a process that does not write, until it does: what callers hand over, and wait for.
//!
//! All of it can be repeated: a draft that has no idempotency key is given a random one, so that what a process did
//! commit before it went is answered with its first receipt.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use base64::Engine;
use quipu_format::limits;
use serde_json::value::RawValue;

use super::{Join, connection::Connection, courier::Courier, protocol};
use crate::{
    Draft, Error, ErrorKind, Ledger, LedgerReader, Result,
    checkpoint::Signed,
    intake::{self, By},
    request::{Answer, Drafts, Receipts, Request, Until},
    screen::Screens,
    wait,
};

/// How often the process that writes is asked for a checkpoint. It answers when it has signed one or cannot; another file
/// may have it by the time that one looks.
const ATTEMPTS: u32 = 3;

pub(crate) struct Client {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    screens: Screens,
}

pub(super) struct Shared {
    /// What is durable, as far as this process has seen.
    pub(super) reader: LedgerReader,
    pub(super) queue: Mutex<Queue>,
    pub(super) arrived: Condvar,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) pending: VecDeque<Pending>,
    /// This process has come to write: the ledger that it opened, which takes all that comes.
    pub(super) own: Option<Ledger>,
    pub(super) closed: bool,
}

/// What a caller waits for.
pub(super) struct Pending {
    /// Drafts to be appended together. None: how far the log goes.
    pub(super) drafts: Option<Sent>,
    /// The answer waits for a checkpoint that covers the drafts and the first so many entries of the log.
    pub(super) covered: Option<u64>,
    pub(super) request: Request,
    /// It may have reached a process that writes.
    pub(super) sent: bool,
}

pub(super) struct Sent {
    pub(super) json: Box<RawValue>,
    /// Of each draft, whether its key is of our making: its caller knows of none.
    pub(super) our_key: Vec<bool>,
}

impl Client {
    /// Starts the thread over a connection that is ready. `head`: what is durable by now.
    pub(crate) fn start(
        reader: LedgerReader,
        join: Join,
        connection: Connection,
        head: u64,
        screens: Screens,
    ) -> Result<Self> {
        reader.proved(head);
        let shared = Arc::new(Shared {
            reader,
            queue: Mutex::default(),
            arrived: Condvar::new(),
        });
        let courier = Courier::new(shared.clone(), join, connection);
        let thread = thread::Builder::new()
            .name("quipu-hand-over".into())
            .spawn(move || courier.work())
            .map_err(|e| Error::io("start the thread that hands appends over", &e))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
            screens,
        })
    }

    pub(crate) fn screens(&self) -> &Screens {
        &self.screens
    }

    /// Shows what was acknowledged here, and what others have appended, a little later.
    pub(crate) fn reader(&self) -> &LedgerReader {
        &self.shared.reader
    }

    /// Queues drafts.
    pub(crate) fn queue(&self, drafts: Vec<Draft>, by: By) -> Result<Answer> {
        self.queue_for(drafts, None, by)
    }

    /// The same; where another process writes they are answered when a checkpoint covers them, unless none could be signed.
    pub(crate) fn queue_covered(&self, drafts: Vec<Draft>, by: By) -> Result<Answer> {
        self.queue_for(drafts, Some(0), by)
    }

    fn queue_for(&self, drafts: Vec<Draft>, covered: Option<u64>, by: By) -> Result<Answer> {
        intake::check_count(drafts.len())?;
        if let Some(own) = self.own()? {
            return own.queue(drafts, by);
        }
        self.screens.check(&drafts)?;
        self.push(Some(Sent::new(drafts)?), covered, by)
    }

    /// Asks how far the log goes; the reader then shows it. The answer has no receipts.
    pub(crate) fn ask_head(&self) -> Result<Answer> {
        self.push(None, None, By::Committer)
    }

    /// Waits until a checkpoint on disk covers the entry, for which the process that writes is asked. If it has gone, another
    /// comes to write and is asked; it may be this one.
    pub(crate) async fn cover(&self, seq: u64) -> Result<Option<Arc<Signed>>> {
        for _ in 0..ATTEMPTS {
            if let Some(own) = self.own()? {
                return own.cover(seq).await;
            }
            if self.reader().checkpoint()?.1.size > seq {
                return Ok(None);
            }
            let asked = self.push(None, Some(seq + 1), By::Committer)?;
            asked.await.unwrap_or_else(|| Err(closed()))?;
        }
        if self.reader().checkpoint()?.1.size > seq {
            return Ok(None);
        }
        let message = format!(
            "the process that writes to the ledger cannot sign a checkpoint that covers entry {seq}: its log says why. Ask \
             again later"
        );
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Waits for what is queued to be answered, and takes no more.
    pub(crate) fn close(&self) -> Result<()> {
        self.shared.queue().closed = true;
        self.shared.arrived.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic there drops what waits, which tells those who wait.
            let _ = thread.join();
        }
        let own = self.shared.queue().own.take();
        own.map_or(Ok(()), Ledger::close)
    }

    fn own(&self) -> Result<Option<Ledger>> {
        let queue = self.shared.queue();
        if queue.closed {
            Err(closed())
        } else {
            Ok(queue.own.clone())
        }
    }

    fn push(&self, drafts: Option<Sent>, covered: Option<u64>, by: By) -> Result<Answer> {
        let (request, answer) = Request::new(Drafts::new(), Until::Durable);
        let pending = Pending {
            drafts,
            covered,
            request,
            sent: false,
        };
        let mut queue = self.shared.queue();
        if queue.closed {
            return Err(closed());
        }
        if let Some(own) = queue.own.clone() {
            // The thread has ended, since the caller looked or long ago.
            drop(queue);
            if let Some(sent) = &pending.drafts {
                return own.queue(protocol::decode(&sent.json)?, by);
            }
            self.shared.give(pending, &own);
            return Ok(answer);
        }
        queue.pending.push_back(pending);
        drop(queue);
        self.shared.arrived.notify_one();
        Ok(answer)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the ledger was not closed well");
        }
    }
}

impl Shared {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends to the ledger that this process has come to write.
    pub(super) fn give(&self, pending: Pending, own: &Ledger) {
        let Some(sent) = &pending.drafts else {
            self.reader.proved(own.reader().head());
            return pending.answer(Ok(Receipts::new()));
        };
        let answer = protocol::decode(&sent.json).and_then(|drafts| own.queue(drafts, By::Caller));
        let receipts = answer.and_then(|answer| wait::block_on(answer).unwrap_or_else(|| Err(closed())));
        pending.answer(receipts);
    }
}

impl Sent {
    fn new(mut drafts: Vec<Draft>) -> Result<Self> {
        let our_key: Vec<bool> = drafts.iter().map(|draft| draft.key.is_none()).collect();
        for draft in drafts.iter_mut().filter(|draft| draft.key.is_none()) {
            draft.key = Some(random_key()?);
        }
        let json = protocol::encode(drafts)?;
        // A message that holds this alone must not be too large either.
        if json.get().len() > limits::MESSAGE_BYTES - 64 {
            return Err(intake::too_large());
        }
        Ok(Self { json, our_key })
    }
}

impl Pending {
    /// Whoever waited may have gone: the entries stay.
    pub(super) fn answer(self, mut answer: Result<Receipts>) {
        if let (Ok(receipts), Some(sent)) = (&mut answer, &self.drafts) {
            for (receipt, our_key) in receipts.iter_mut().zip(&sent.our_key) {
                receipt.repeated &= !our_key;
            }
        }
        self.request.lock().outcome = Some(answer);
        self.request.answer();
    }
}

fn random_key() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::new(ErrorKind::Io, format!("the system gives no randomness for a key: {e}")))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the ledger has been closed: open it again")
}
