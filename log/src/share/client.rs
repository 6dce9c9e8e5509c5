//! The end of a process that does not write, until it does: a thread takes what callers have queued to the process
//! that writes, as much at a time as waits. When that one has gone it finds the next, or opens the ledger here, and
//! repeats what was not answered.
//!
//! Repeating is exact: a draft that has no idempotency key is given a random one, so that what the last process did
//! commit is answered with its first receipt.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};

use base64::Engine;
use quipu_format::limits;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::{
    Join, Way,
    connection::Connection,
    protocol::{self, Question, Refusal},
};
use crate::{
    Draft, Error, ErrorKind, Ledger, LedgerReader, Receipt, Result,
    intake::{self, By},
    lock::RETRY,
    wait,
};

/// Bytes of drafts that are sent together, unless one append has more.
const BATCH_BYTES: usize = 1 << 20;

pub(crate) struct Client {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    /// What is durable, as far as this process has seen.
    reader: LedgerReader,
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    pending: VecDeque<Pending>,
    /// This process has come to write: the ledger that it opened, which takes all that comes.
    own: Option<Ledger>,
    closed: bool,
}

/// What a caller waits for.
struct Pending {
    /// Drafts to be appended together. None: how far the log goes.
    drafts: Option<Sent>,
    reply: oneshot::Sender<Result<Vec<Receipt>>>,
    /// It may have reached a process that writes.
    sent: bool,
}

struct Sent {
    json: Box<RawValue>,
    /// Of each draft, whether its key is of our making: its caller knows of none.
    our_key: Vec<bool>,
}

impl Client {
    /// Starts the thread over a connection that is ready. `head`: what is durable by now.
    pub(crate) fn start(reader: LedgerReader, join: Join, connection: Connection, head: u64) -> Result<Self> {
        reader.proved(head);
        let shared = Arc::new(Shared {
            reader,
            queue: Mutex::default(),
            arrived: Condvar::new(),
        });
        let courier = Courier {
            shared: shared.clone(),
            join,
            connection: Some(connection),
        };
        let thread = thread::Builder::new()
            .name("quipu-hand-over".into())
            .spawn(move || courier.work())
            .map_err(|e| Error::io("start the thread that hands appends over", &e))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Shows what was acknowledged here, and what others have appended, a little later.
    pub(crate) fn reader(&self) -> &LedgerReader {
        &self.shared.reader
    }

    /// Queues drafts.
    pub(crate) fn queue(&self, drafts: Vec<Draft>, by: By) -> Result<intake::Answer> {
        intake::check_count(drafts.len())?;
        if let Some(own) = self.own()? {
            return own.queue(drafts, by);
        }
        self.push(Some(Sent::new(drafts)?), by)
    }

    /// Asks how far the log goes; the reader then shows it. The answer has no receipts.
    pub(crate) fn ask_head(&self) -> Result<intake::Answer> {
        self.push(None, By::Committer)
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

    fn push(&self, drafts: Option<Sent>, by: By) -> Result<intake::Answer> {
        let (reply, answer) = oneshot::channel();
        let pending = Pending {
            drafts,
            reply,
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
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends to the ledger that this process has come to write.
    fn give(&self, pending: Pending, own: &Ledger) {
        let Some(sent) = &pending.drafts else {
            self.reader.proved(own.reader().head());
            return pending.answer(Ok(Vec::new()));
        };
        let answer = protocol::decode(&sent.json).and_then(|drafts| own.queue(drafts, By::Caller));
        let receipts = answer.and_then(|answer| wait::block_on(answer).unwrap_or_else(|_| Err(closed())));
        pending.answer(receipts);
    }
}

/// The thread's own.
struct Courier {
    shared: Arc<Shared>,
    join: Join,
    connection: Option<Connection>,
}

/// Why an exchange came to nothing.
enum Failed {
    /// The other process has gone, or goes.
    Lost(Error),
    /// It says why it does not take what was sent.
    Refused(Error),
}

impl Courier {
    fn work(mut self) {
        let _nobody_waits_in_vain = CloseOnDrop(self.shared.clone());
        while let Some(batch) = self.next_batch() {
            if let Some(own) = self.deliver(batch) {
                return self.retire(own);
            }
        }
    }

    /// As much as is sent together; waits for it. None: there will be no more.
    fn next_batch(&self) -> Option<Vec<Pending>> {
        let mut queue = self.shared.queue();
        while queue.pending.is_empty() {
            if queue.closed {
                return None;
            }
            queue = self.shared.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let (mut bytes, mut drafts) = (0, 0);
        let fits = queue.pending.iter().take_while(|pending| {
            bytes += pending.drafts.as_ref().map_or(0, |sent| sent.json.get().len());
            drafts += pending.drafts.as_ref().map_or(1, |sent| sent.our_key.len());
            bytes <= BATCH_BYTES && drafts <= limits::DRAFTS
        });
        let count = fits.count().max(1);
        Some(queue.pending.drain(..count).collect())
    }

    /// Gets the batch answered, by whoever writes. Returns the ledger if that has come to be this process.
    fn deliver(&mut self, mut batch: Vec<Pending>) -> Option<Ledger> {
        let mut patience: Option<Instant> = None;
        loop {
            if let Some(connection) = &mut self.connection {
                match exchange(connection, &self.shared.reader, &mut batch) {
                    Ok(answers) => {
                        let mut answers = answers.into_iter();
                        for pending in batch {
                            let answer = match pending.drafts {
                                None => Some(Ok(Vec::new())),
                                Some(_) => answers.next().map(|answer| answer.map_err(Error::from)),
                            };
                            pending.answer(answer.unwrap_or_else(|| Err(closed())));
                        }
                        return None;
                    }
                    Err(Failed::Refused(error)) => {
                        self.connection = None;
                        fail(batch, &error);
                        return None;
                    }
                    Err(Failed::Lost(error)) => {
                        tracing::debug!(%error, "the process that wrote has gone");
                        self.connection = None;
                        if patience.is_some_and(|deadline| Instant::now() >= deadline) {
                            fail(batch, &error);
                            return None;
                        }
                        if patience.is_some() {
                            thread::sleep(RETRY);
                        }
                    }
                }
            }
            let deadline = *patience.get_or_insert_with(|| self.join.patience());
            match self.join.within(deadline) {
                Ok(Way::Through(connection, head)) => {
                    self.shared.reader.proved(head);
                    self.connection = Some(connection);
                }
                Ok(Way::Own(own)) => {
                    batch.into_iter().for_each(|pending| self.shared.give(pending, &own));
                    return Some(own);
                }
                Err(error) => {
                    fail(batch, &error);
                    return None;
                }
            }
        }
    }

    /// From now on callers append to the ledger that this process writes.
    fn retire(self, own: Ledger) {
        loop {
            let mut queue = self.shared.queue();
            if queue.pending.is_empty() {
                queue.own = Some(own);
                return;
            }
            let waiting = mem::take(&mut queue.pending);
            drop(queue);
            waiting.into_iter().for_each(|pending| self.shared.give(pending, &own));
        }
    }
}

/// However the thread ends, nobody is left waiting.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        if queue.own.is_none() {
            queue.closed = true;
            queue.pending.clear();
        }
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
    fn answer(self, mut answer: Result<Vec<Receipt>>) {
        if let (Ok(receipts), Some(sent)) = (&mut answer, &self.drafts) {
            for (receipt, our_key) in receipts.iter_mut().zip(&sent.our_key) {
                receipt.repeated &= !our_key;
            }
        }
        let _ = self.reply.send(answer);
    }
}

/// Sends a batch and waits for its answers, one for each that has drafts.
fn exchange(
    connection: &mut Connection,
    reader: &LedgerReader,
    batch: &mut [Pending],
) -> Result<Vec<Result<Vec<Receipt>, Refusal>>, Failed> {
    let requests: Vec<_> = batch
        .iter()
        .filter_map(|pending| Some(&*pending.drafts.as_ref()?.json))
        .collect();
    let expected = requests.len();
    let message = protocol::message(&Question::Append(requests)).map_err(Failed::Refused)?;
    // A message that was not sent whole has no effect.
    connection.send_bytes(&message).map_err(Failed::Lost)?;
    batch.iter_mut().for_each(|pending| pending.sent = true);
    drop(message);
    let answer = connection.next(None).map_err(Failed::Lost)?;
    let length = answer.ok_or_else(|| Failed::Lost(closed()))?;
    let answer = connection.rest(length).map_err(Failed::Lost)?;
    match protocol::parse(&answer).map_err(Failed::Lost)? {
        protocol::Answer::Appended { head, each } if each.len() == expected => {
            reader.proved(head);
            Ok(each)
        }
        protocol::Answer::Refused(refusal) => Err(match Error::from(refusal) {
            // It would be no better anywhere else.
            error if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::TooLarge) => Failed::Refused(error),
            error => Failed::Lost(error),
        }),
        _ => Err(Failed::Lost(Error::new(
            ErrorKind::Io,
            "its answer is none to what was asked",
        ))),
    }
}

/// Of what was sent and not answered nobody knows whether it was appended.
fn fail(batch: Vec<Pending>, error: &Error) {
    for pending in batch {
        let error = if pending.sent && pending.drafts.is_some() {
            let message = format!(
                "the process that wrote to the ledger has gone, and whether it appended this is unknown: open the ledger \
                 again, and repeat with the same idempotency key. {error}"
            );
            Error::new(ErrorKind::Unavailable, message)
        } else {
            error.clone()
        };
        pending.answer(Err(error));
    }
}

fn random_key() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::new(ErrorKind::Io, format!("the system gives no randomness for a key: {e}")))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the ledger has been closed: open it again")
}
