//! The thread that takes what callers have queued to the process that writes, as much at a time as waits. When that one
//! has gone it finds the next, or opens the ledger here, and repeats what was not answered.

use std::{
    mem,
    sync::{Arc, PoisonError},
    thread,
    time::Instant,
};

use quipu_format::limits;

use super::{
    Join, Way,
    client::{Pending, Shared, closed},
    connection::Connection,
    protocol::{self, Answer, Question, Refusal},
};
use crate::{Error, ErrorKind, Ledger, LedgerReader, Receipt, Result, lock::RETRY, request::Receipts};

/// Bytes of drafts that are sent together, unless one append has more.
const BATCH_BYTES: usize = 1 << 20;

/// The thread's own.
pub(super) struct Courier {
    shared: Arc<Shared>,
    join: Join,
    connection: Option<Connection>,
}

impl Courier {
    pub(super) fn new(shared: Arc<Shared>, join: Join, connection: Connection) -> Self {
        Self {
            shared,
            join,
            connection: Some(connection),
        }
    }

    /// Works until the ledger is closed, or this process has come to write it.
    pub(super) fn work(mut self) {
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
                        let asked = batch.iter().any(|pending| pending.covered.is_some());
                        let waiting = answer(batch, answers);
                        if asked && let Err(error) = covered(connection) {
                            // It is durable: who waits asks whoever writes now for the checkpoint alone.
                            tracing::debug!(%error, "the process that wrote has gone");
                            self.connection = None;
                        }
                        waiting
                            .into_iter()
                            .for_each(|(pending, receipts)| pending.answer(Ok(receipts)));
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

/// Why an exchange came to nothing.
enum Failed {
    /// The other process has gone, or goes.
    Lost(Error),
    /// It says why it does not take what was sent.
    Refused(Error),
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
    let question = match batch.iter().filter_map(|pending| pending.covered).max() {
        None => Question::Append(requests),
        Some(size) => Question::Prove(requests, size),
    };
    let message = protocol::message(&question).map_err(Failed::Refused)?;
    // A message that was not sent whole has no effect.
    connection.send_bytes(&message).map_err(Failed::Lost)?;
    batch.iter_mut().for_each(|pending| pending.sent = true);
    drop(message);
    let answer = connection.next(None).map_err(Failed::Lost)?;
    let length = answer.ok_or_else(|| Failed::Lost(closed()))?;
    let answer = connection.rest(length).map_err(Failed::Lost)?;
    match protocol::parse(&answer).map_err(Failed::Lost)? {
        Answer::Appended { head, each } if each.len() == expected => {
            reader.proved(head);
            Ok(each)
        }
        Answer::Refused(refusal) => Err(match Error::from(refusal) {
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

/// Waits for the second answer: that a checkpoint covers what was asked for.
fn covered(connection: &mut Connection) -> Result<()> {
    let length = connection.next(None)?.ok_or_else(closed)?;
    match protocol::parse(&connection.rest(length)?)? {
        Answer::Covered => Ok(()),
        Answer::Refused(refusal) => Err(refusal.into()),
        _ => Err(Error::new(ErrorKind::Io, "its answer is none to what was asked")),
    }
}

/// One answer for each that has drafts. Gives back those that wait for a checkpoint too, and what they will be told.
fn answer(batch: Vec<Pending>, answers: Vec<Result<Vec<Receipt>, Refusal>>) -> Vec<(Pending, Receipts)> {
    let mut answers = answers.into_iter();
    let mut waiting = Vec::new();
    for pending in batch {
        let answer = match pending.drafts {
            None => Some(Ok(Receipts::new())),
            Some(_) => answers
                .next()
                .map(|answer| answer.map(Receipts::from).map_err(Error::from)),
        };
        match answer.unwrap_or_else(|| Err(closed())) {
            Ok(receipts) if pending.covered.is_some() => waiting.push((pending, receipts)),
            answer => pending.answer(answer),
        }
    }
    waiting
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
