//! Messages over a socket, bounded in bytes and time.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    sync::Arc,
    time::{Duration, Instant},
};

use quipu_format::limits;
use serde::Serialize;

use super::protocol::{self, HEADER_BYTES};
use crate::{Error, Result};

/// Time for a message whose beginning is there.
const MESSAGE: Duration = Duration::from_millis(limits::MESSAGE_MS);
/// Bytes taken from the socket at once.
const BUFFER_BYTES: usize = 64 << 10;

pub(crate) struct Connection {
    stream: BufReader<Stream>,
}

/// A socket that another thread may end, without a descriptor more.
struct Stream(Arc<UnixStream>);

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(bytes)
    }
}

impl Connection {
    pub(crate) fn new(stream: Arc<UnixStream>) -> Self {
        let stream = BufReader::with_capacity(BUFFER_BYTES, Stream(stream));
        Self { stream }
    }

    fn socket(&self) -> &UnixStream {
        &self.stream.get_ref().0
    }

    /// Whether the other end is a process of this one's user, which may read the ledger's keys anyway.
    pub(crate) fn is_ours(&self) -> bool {
        rustix::net::sockopt::socket_peercred(self.socket()).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
    }

    /// Sends a message; the other end must take it in time.
    pub(crate) fn send(&mut self, said: &impl Serialize) -> Result<()> {
        self.send_bytes(&protocol::message(said)?)
    }

    /// Sends what [`protocol::message`] made.
    pub(crate) fn send_bytes(&mut self, message: &[u8]) -> Result<()> {
        let deadline = Instant::now() + MESSAGE;
        let mut stream = self.socket();
        let mut rest = message;
        while !rest.is_empty() {
            let sent = left(deadline)
                .and_then(|left| stream.set_write_timeout(Some(left)))
                .and_then(|()| stream.write(rest));
            match sent {
                Ok(bytes) => rest = &rest[bytes..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(lost(&e)),
            }
        }
        Ok(())
    }

    /// Waits for the beginning of a message, for ever or as long as is said, and gives its length in bytes. None: the
    /// other end has closed the connection.
    pub(crate) fn next(&mut self, patience: Option<Duration>) -> Result<Option<usize>> {
        let mut header = [0; HEADER_BYTES];
        let read = self.socket().set_read_timeout(patience).and_then(|()| {
            if self.stream.fill_buf()?.is_empty() {
                return Ok(false);
            }
            self.stream.read_exact(&mut header).map(|()| true)
        });
        match read {
            Ok(true) => protocol::length(header).map(Some),
            Ok(false) => Ok(None),
            Err(e) => Err(lost(&e)),
        }
    }

    /// The rest of the message, which must come in time. Memory is taken for what came, not for what was announced.
    pub(crate) fn rest(&mut self, length: usize) -> Result<Vec<u8>> {
        let deadline = Instant::now() + MESSAGE;
        let mut message = Vec::with_capacity(length.min(BUFFER_BYTES));
        while message.len() < length {
            if self.stream.buffer().is_empty() {
                let timeout = left(deadline).and_then(|left| self.socket().set_read_timeout(Some(left)));
                timeout.map_err(|e| lost(&e))?;
            }
            match self.stream.fill_buf() {
                Ok([]) => return Err(lost(&io::ErrorKind::UnexpectedEof.into())),
                Ok(bytes) => {
                    let taken = bytes.len().min(length - message.len());
                    message.extend_from_slice(&bytes[..taken]);
                    self.stream.consume(taken);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(lost(&e)),
            }
        }
        Ok(message)
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

fn lost(error: &io::Error) -> Error {
    Error::io("talk to the other process through the ledger's socket", error)
}
