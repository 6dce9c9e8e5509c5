//! What somebody names on the command line or puts in a place where it is looked for. It is opened without waiting for anybody, and
//! bounded before it is in memory: a pipe may have no writer, and a device no end.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::failure::Failure;

/// Opens what must be a file: settings and components, which nobody streams.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = without_waiting(path)?;
    let kind = file.metadata()?.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(file),
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
    if kind.is_fifo() {
        let mut byte = [0];
        match (&file).read(&mut byte) {
            Ok(0) => {
                return Err(io::Error::other(
                    "it is a pipe, and nobody writes to it: start the writer first",
                ));
            }
            Ok(_) => first = Some(byte[0]),
            // Somebody will.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    fcntl_setfl(&file, fcntl_getfl(&file)?.difference(OFlags::NONBLOCK))?;
    Ok(Input { first, file })
}

/// Opening a pipe for reading otherwise waits until somebody opens it for writing.
fn without_waiting(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    File::options().read(true).custom_flags(flags).open(path)
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
    bounded(path, open(path), most as u64, what)
}

/// The same of what may come from a pipe.
pub(crate) fn read_or_pipe(path: &Path, most: u64, what: &str) -> Result<Vec<u8>, Failure> {
    bounded(path, open_or_pipe(path), most, what)
}

/// A file's text.
pub(crate) fn text(path: &Path, most: usize, what: &str) -> Result<String, Failure> {
    as_text(path, read(path, most, what)?)
}

/// The same of what may come from a pipe.
pub(crate) fn text_or_pipe(path: &Path, most: usize, what: &str) -> Result<String, Failure> {
    as_text(path, read_or_pipe(path, most as u64, what)?)
}

/// Reads to the end of what was opened by that path.
pub(crate) fn bounded(path: &Path, opened: io::Result<impl Read>, most: u64, what: &str) -> Result<Vec<u8>, Failure> {
    let cannot = |why: &dyn std::fmt::Display| Failure::cannot(format!("cannot read {}: {why}", path.display()));
    let mut bytes = Vec::new();
    // One more tells that there are too many.
    let read = opened.and_then(|input| input.take(most + 1).read_to_end(&mut bytes));
    read.map_err(|e| cannot(&e))?;
    match bytes.len() as u64 <= most {
        true => Ok(bytes),
        false => Err(cannot(&format_args!("{what} has at most {most} bytes"))),
    }
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
