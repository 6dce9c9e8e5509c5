//! Where a passphrase comes from: a file, or somebody at the terminal.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
};

use quipu_format::limits;
use quipu_log::Passphrase;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::{failure::Failure, handed};

/// Reads a passphrase from a file; its last line break does not count.
pub(crate) fn read(path: &Path) -> Result<Passphrase, Failure> {
    let cannot = |what: &dyn std::fmt::Display| {
        Failure::cannot(format!("cannot take a passphrase from {}: {what}", path.display()))
    };
    let input = handed::open_or_pipe(path).map_err(|e| cannot(&e))?;
    let text = taken(|text| input.take(MOST).read_to_end(text)).map_err(|e| cannot(&e))?;
    Passphrase::new(without_break(&text)).map_err(|e| cannot(&e))
}

/// Asks at the terminal, which does not show what is typed.
pub(crate) fn ask() -> Result<Passphrase, Failure> {
    let Ok(mut terminal) = File::options().read(true).write(true).open("/dev/tty") else {
        return Err(Failure::cannot(
            "the ledger's key file is sealed under a passphrase: name a file with it by --passphrase-file or \
             QUIPU_PASSPHRASE_FILE, or run this on a terminal, which is asked",
        ));
    };
    let text = {
        // Before it is asked, or what is typed at once is shown and lost.
        let _quiet = Quiet::new(&terminal)?;
        (&terminal).write_all(b"passphrase: ")?;
        let mut lines = BufReader::with_capacity(1, (&terminal).take(MOST));
        taken(|text| lines.read_until(b'\n', text))?
    };
    terminal.write_all(b"\n")?;
    Ok(Passphrase::new(without_break(&text))?)
}

/// Bytes that are read: one more than a passphrase and its line break have.
const MOST: u64 = limits::PASSPHRASE_BYTES as u64 + 3;

/// What `read` appends, in memory that does not grow and so leaves no copy behind.
fn taken(read: impl FnOnce(&mut Vec<u8>) -> std::io::Result<usize>) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(2 * MOST as usize));
    read(&mut text)?;
    Ok(text)
}

fn without_break(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: rustix::termios::Termios,
}

impl<'a> Quiet<'a> {
    fn new(terminal: &'a File) -> std::io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // Nothing else can be done about it.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}
