//! The writer's end: a thread that accepts, and one for each connection, which checks drafts and queues them like any
//! other caller, so that they join commits with all the rest.

use std::{
    collections::HashMap,
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use quipu_format::limits;

use super::{
    connection::Connection,
    protocol::{self, Answer, Question, Refusal},
};
use crate::{
    Draft, Error, ErrorKind, Receipt, Result,
    checkpointer::Checkpointer,
    intake::{By, Intake},
    request::{Receipts, Until},
    rotation, wait,
};

/// How long answers may take to be sent when the ledger is closed.
const GRACE: Duration = Duration::from_millis(500);
/// How long accepting pauses when the system has no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until it is dropped. No thread of it is waited for that does not end by itself.
pub(crate) struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    intake: Arc<Intake>,
    checkpointer: Arc<Checkpointer>,
    listener: UnixListener,
    state: Mutex<State>,
    /// A connection has ended, messages have been dealt with, or the ledger is closing.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    closing: bool,
    /// By number: their sockets, to end them.
    connections: HashMap<u64, Arc<UnixStream>>,
    accepted: u64,
    /// Bytes of the messages that are being received.
    receiving: usize,
}

impl Server {
    /// Serves the socket. None, and a trace, where there is no thread for it.
    pub(crate) fn start(listener: UnixListener, intake: Arc<Intake>, checkpointer: Arc<Checkpointer>) -> Option<Self> {
        let shared = Arc::new(Shared {
            intake,
            checkpointer,
            listener,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = shared.clone();
        let started = thread::Builder::new()
            .name("quipu-accept".into())
            .spawn(move || accepting.accept());
        match started {
            Ok(_) => Some(Self { shared }),
            Err(error) => {
                tracing::warn!(%error, "other processes cannot append to this ledger meanwhile");
                None
            }
        }
    }

    /// Takes no more connections and questions; those that were taken are answered.
    pub(crate) fn refuse_more(&self) {
        let mut state = self.shared.state();
        state.closing = true;
        let _ = rustix::net::shutdown(&self.shared.listener, rustix::net::Shutdown::Both);
        for stream in state.connections.values() {
            let _ = stream.shutdown(Shutdown::Read);
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.refuse_more();
        let deadline = Instant::now() + GRACE;
        let mut state = self.shared.state();
        while !state.connections.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        for stream in state.connections.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(_) if self.state().closing => return,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Gives a connection its thread, or tells it why not.
    fn admit(self: &Arc<Self>, stream: UnixStream) {
        let stream = Arc::new(stream);
        let mut connection = Connection::new(stream.clone());
        let mut state = self.state();
        if state.closing {
            return;
        }
        let refused = if !connection.is_ours() {
            Some("the process that writes to the ledger runs as another user".to_owned())
        } else if state.connections.len() >= limits::CONNECTIONS {
            let most = limits::CONNECTIONS;
            Some(format!(
                "the process that writes to the ledger serves {most} others already"
            ))
        } else {
            None
        };
        if let Some(message) = refused {
            drop(state);
            // A message this small never waits for the other end: nothing was sent before it.
            let refusal = Refusal::from(Error::new(ErrorKind::Locked, message));
            let _ = connection.send(&Answer::Refused(refusal));
            return;
        }
        let number = state.accepted;
        state.accepted += 1;
        state.connections.insert(number, stream);
        drop(state);
        let served = Served {
            shared: self.clone(),
            number,
        };
        // If it fails, dropping the closure ends the connection.
        let _ = thread::Builder::new()
            .name("quipu-serve".into())
            .spawn(move || served.serve(connection));
    }
}

/// A connection that counts as one until this is dropped, even by a panic.
struct Served {
    shared: Arc<Shared>,
    number: u64,
}

impl Served {
    fn serve(&self, mut connection: Connection) {
        if let Err(error) = self.converse(&mut connection) {
            tracing::debug!(%error, "a connection of another process is ended");
            let _ = connection.send(&Answer::Refused(error.into()));
        }
    }

    fn converse(&self, connection: &mut Connection) -> Result<()> {
        let intake = &self.shared.intake;
        connection.send(&Answer::Ready {
            head: intake.reader.head(),
        })?;
        while let Some(length) = connection.next(None)? {
            let Some(room) = self.room(length) else { break };
            let message = connection.rest(length)?;
            let (requests, size) = match protocol::parse(&message)? {
                Question::Append(requests) => (requests, None),
                Question::Prove(requests, size) => (requests, Some(size)),
                Question::Rotate => {
                    let key = rotation::rotate(intake, &self.shared.checkpointer)?.to_string();
                    connection.send(&Answer::Rotated { key })?;
                    continue;
                }
            };
            let requests: Vec<_> = requests.into_iter().map(protocol::decode).collect();
            drop(message);
            check_total(&requests)?;
            self.check_size(size.unwrap_or(0))?;
            let Some(each) = self.append(requests) else { break };
            drop(room);
            let appended = each.iter().flatten().flatten().map(|receipt| receipt.seq + 1).max();
            let head = intake.reader.head();
            connection.send(&Answer::Appended { head, each })?;
            if let Some(size) = size {
                if let Some(last) = size.max(appended.unwrap_or(0)).checked_sub(1) {
                    // Where no checkpoint could be signed there is none to be found.
                    let _ = wait::block_on(self.shared.checkpointer.cover(last));
                }
                connection.send(&Answer::Covered)?;
            }
        }
        Ok(())
    }

    /// Waits until a message may be received. None: the ledger is closing.
    fn room(&self, bytes: usize) -> Option<Room<'_>> {
        let mut state = self.shared.state();
        while !state.closing && state.receiving + bytes > limits::MESSAGES_BYTES {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closing {
            return None;
        }
        state.receiving += bytes;
        Some(Room {
            shared: &self.shared,
            bytes,
        })
    }

    /// Appends each. None: the ledger has been closed meanwhile, and only who writes next can tell.
    fn append(&self, requests: Vec<Result<Vec<Draft>>>) -> Option<Vec<Result<Vec<Receipt>, Refusal>>> {
        let last = requests.len().saturating_sub(1);
        let mut answers = Vec::with_capacity(requests.len());
        for (nth, request) in requests.into_iter().enumerate() {
            let by = if nth == last { By::Caller } else { By::Committer };
            match request.and_then(|drafts| self.shared.intake.queue(drafts, Until::Durable, by)) {
                Err(error) if error.kind() == ErrorKind::Unavailable => return None,
                answer => answers.push(answer),
            }
        }
        let answers = answers.into_iter().map(|answer| {
            Some(match answer {
                Ok(answer) => wait::block_on(answer)?.map(Receipts::into_vec).map_err(Refusal::from),
                Err(error) => Err(error.into()),
            })
        });
        answers.collect()
    }
}

impl Served {
    /// No checkpoint is waited for that may never come.
    fn check_size(&self, size: u64) -> Result<()> {
        let head = self.shared.intake.reader.head();
        if size <= head {
            return Ok(());
        }
        let message = format!("a checkpoint of {size} entries was asked for, and there are {head}");
        Err(Error::new(ErrorKind::Invalid, message))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shared.state().connections.remove(&self.number);
        self.shared.changed.notify_all();
    }
}

/// Room that a message takes until this is dropped.
struct Room<'a> {
    shared: &'a Shared,
    bytes: usize,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.shared.state().receiving -= self.bytes;
        self.shared.changed.notify_all();
    }
}

/// What one message asks for must have its answer in one.
fn check_total(requests: &[Result<Vec<Draft>>]) -> Result<()> {
    let drafts: usize = requests.iter().flatten().map(Vec::len).sum();
    if drafts.max(requests.len()) <= limits::DRAFTS {
        return Ok(());
    }
    let message = format!(
        "{drafts} drafts in {} appends of one message; at most {} fit",
        requests.len(),
        limits::DRAFTS
    );
    Err(Error::new(ErrorKind::TooLarge, message))
}
