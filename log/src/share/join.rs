//! Finding who writes: nobody, and then this process does, or another one, which is asked to write for us.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use quipu_format::VerifierKey;

use super::{
    SOCKET,
    connection::Connection,
    protocol::{self, Answer, Question},
};
use crate::{
    Error, ErrorKind, Ledger, OpenOptions, Result,
    disk::Folder,
    lock::{self, Lock, RETRY},
};

/// How long another process may take to say that it serves us, at least.
const GREETING: Duration = Duration::from_secs(1);

/// How to come to write a ledger, at first and each time that the process that wrote it has gone.
pub(crate) struct Join {
    path: PathBuf,
    folder: Folder,
    options: OpenOptions,
}

/// Has the process that writes give the ledger another key to sign with.
pub(crate) fn ask_to_rotate(mut connection: Connection) -> Result<VerifierKey> {
    connection.send(&Question::Rotate)?;
    let unknown = |why: String| {
        let message = format!("{why}. Whether the key was rotated is unknown: `quipu key list` tells");
        Error::new(ErrorKind::Unavailable, message)
    };
    let answered = connection.next(None).and_then(|length| match length {
        Some(length) => connection.rest(length),
        None => Err(Error::new(ErrorKind::Unavailable, "the process that writes has gone")),
    });
    let answer = answered.map_err(|e| unknown(e.to_string()))?;
    match protocol::parse(&answer)? {
        Answer::Rotated { key } => Ok(key.parse()?),
        Answer::Refused(refusal) => Err(refusal.into()),
        _ => Err(unknown("its answer is none to what was asked".into())),
    }
}

/// Who writes.
pub(crate) enum Way {
    /// This process.
    Own(Ledger),
    /// Another one, which has said that entries below `.1` are durable.
    Through(Connection, u64),
}

impl Join {
    pub(crate) fn new(path: &Path, folder: Folder, options: OpenOptions) -> Self {
        let path = path.to_owned();
        Self { path, folder, options }
    }

    /// When to give up what begins now.
    pub(crate) fn patience(&self) -> Instant {
        Instant::now() + self.options.wait
    }

    /// Tries until one of the two is so.
    pub(crate) fn within(&self, deadline: Instant) -> Result<Way> {
        loop {
            if let Some(lock) = Lock::try_take(&self.folder)? {
                let ledger = Ledger::open_locked(&self.path, self.folder.clone(), lock, &self.options)?;
                return Ok(Way::Own(ledger));
            }
            let why = match self.greet(deadline) {
                Ok((connection, head)) => return Ok(Way::Through(connection, head)),
                Err(why) => why,
            };
            if Instant::now() >= deadline {
                let why = format!(", and nothing can be handed to it: {why}");
                return Err(lock::held(&self.folder, self.options.wait, &why));
            }
            thread::sleep(RETRY);
        }
    }

    /// Connects, and waits for the other process to say that it serves us.
    fn greet(&self, deadline: Instant) -> Result<(Connection, u64)> {
        let mut connection = Connection::new(Arc::new(self.folder.connect(SOCKET)?));
        if !connection.is_ours() {
            let message = "the ledger's socket is another user's";
            return Err(Error::new(ErrorKind::Locked, message));
        }
        let patience = deadline.saturating_duration_since(Instant::now()).max(GREETING);
        match connection.next(Some(patience))? {
            None => Err(Error::new(ErrorKind::Locked, "it closed the connection")),
            Some(length) => match protocol::parse(&connection.rest(length)?)? {
                Answer::Ready { head } => Ok((connection, head)),
                Answer::Refused(refusal) => Err(refusal.into()),
                Answer::Appended { .. } | Answer::Covered | Answer::Rotated { .. } => {
                    Err(Error::new(ErrorKind::Locked, "it spoke out of turn"))
                }
            },
        }
    }
}
