//! What somebody names on the command line or puts in a place where it is looked for. It is opened without waiting for anybody, and
//! bounded before it is in memory: a pipe may have no writer, and a device no end.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FsWord, OFlags, fcntl_getfl, fcntl_setfl, fstatfs},
    io::Errno,
};

use crate::failure::Failure;

/// How long a named pipe may be without a writer: in `make-events > pipe & quipu import pipe` either may be first.
const FOR_A_WRITER: Duration = Duration::from_secs(2);

/// Opens what must be a file: settings and components, which nobody streams.
fn open(path: &Path) -> io::Result<Input> {
    let file = without_waiting(path)?;
    let kind = file.metadata()?.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(Input { first: None, file }),
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a pipe",
        () => "a device",
    };
    Err(io::Error::other(format!("it is {what}; it must be a file")))
}

/// Opens what may come from a pipe too, as `/dev/stdin` or by a shell's `<(…)`: what is imported, checked or secret.
pub(crate) fn open_or_pipe(path: &Path) -> io::Result<Input> {
    let file = without_waiting(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    let mut first = None;
    if kind.is_fifo() && is_named(&file)? {
        first = wait_for_a_writer(&file)?;
    }
    fcntl_setfl(&file, fcntl_getfl(&file)?.difference(OFlags::NONBLOCK))?;
    Ok(Input { first, file })
}

/// Whether a pipe has a name, by which a writer may come. One without a name has its writer, or is at its end.
fn is_named(pipe: &File) -> io::Result<bool> {
    /// The file system of pipes without a name (linux/magic.h).
    const PIPEFS_MAGIC: FsWord = 0x5049_5045;
    Ok(fstatfs(pipe)?.f_type != PIPEFS_MAGIC)
}

/// Waits a moment for somebody to open a named pipe for writing. Returns the first byte if it had to be read for that.
fn wait_for_a_writer(pipe: &File) -> io::Result<Option<u8>> {
    let begun = Instant::now();
    loop {
        let mut byte = [0];
        match (&mut &*pipe).read(&mut byte) {
            Ok(0) if begun.elapsed() < FOR_A_WRITER => thread::sleep(Duration::from_millis(20)),
            Ok(0) => {
                let why = "it is a pipe, and nobody writes to it: start the writer first";
                return Err(io::Error::other(why));
            }
            Ok(_) => return Ok(Some(byte[0])),
            // Somebody will.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Opening a pipe for reading otherwise waits until somebody opens it for writing.
fn without_waiting(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let opened = File::options().read(true).custom_flags(flags).open(path);
    opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NXIO) => io::Error::other("it is a socket, or a device that is not there"),
        _ => error,
    })
}

/// A file or a pipe.
pub(crate) struct Input {
    /// Read to see whether somebody writes.
    first: Option<u8>,
    file: File,
}

impl Input {
    /// How many bytes a file has; 0 for what is none.
    pub(crate) fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.first, buffer) {
            (Some(byte), [place, ..]) => {
                *place = byte;
                self.first = None;
                Ok(1)
            }
            (_, buffer) => self.file.read(buffer),
        }
    }
}

/// Reads a file of at most so many bytes, which is `what`, such as "a component".
pub(crate) fn read(path: &Path, most: usize, what: &str) -> Result<Vec<u8>, Failure> {
    whole(path, open(path), most, what)
}

/// The same of what may come from a pipe.
pub(crate) fn read_or_pipe(path: &Path, most: usize, what: &str) -> Result<Vec<u8>, Failure> {
    whole(path, open_or_pipe(path), most, what)
}

/// A file's text.
pub(crate) fn text(path: &Path, most: usize, what: &str) -> Result<String, Failure> {
    as_text(path, read(path, most, what)?)
}

/// The same of what may come from a pipe.
pub(crate) fn text_or_pipe(path: &Path, most: usize, what: &str) -> Result<String, Failure> {
    as_text(path, read_or_pipe(path, most, what)?)
}

fn whole(path: &Path, opened: io::Result<Input>, most: usize, what: &str) -> Result<Vec<u8>, Failure> {
    // Of a file it is known before it is read.
    match &opened {
        Ok(input) if input.size_bytes().is_ok_and(|bytes| bytes > most as u64) => Err(too_large(path, most, what)),
        _ => bounded(path, opened, most, what),
    }
}

/// Reads to the end of what was opened by that path.
pub(crate) fn bounded(path: &Path, opened: io::Result<impl Read>, most: usize, what: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // One more tells that there are too many.
    let read = opened.and_then(|input| input.take(most as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|why| Failure::cannot(format!("cannot read {}: {why}", path.display())))?;
    match bytes.len() <= most {
        true => Ok(bytes),
        false => Err(too_large(path, most, what)),
    }
}

fn too_large(path: &Path, most: usize, what: &str) -> Failure {
    Failure::cannot(format!(
        "cannot read {}: {what} has at most {most} bytes",
        path.display()
    ))
}

fn as_text(path: &Path, bytes: Vec<u8>) -> Result<String, Failure> {
    let text = String::from_utf8(bytes);
    text.map_err(|why| Failure::cannot(format!("cannot read {}: {why}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_read_to_its_limit() {
        let zero = Path::new("/dev/zero");
        assert!(read_or_pipe(zero, 1_000, "an import").is_err());
        assert!(read(zero, 1_000, "a component").is_err(), "a device is no file");
    }
}
