//! Files that somebody hands over, checked before they are in memory: one may have no end.

use std::{fs::File, io::Read, path::Path};

use crate::failure::Failure;

/// Reads a file of at most so many bytes, which is `what`, such as "a checkpoint".
pub(crate) fn read(path: &Path, most: usize, what: &str) -> Result<Vec<u8>, Failure> {
    let cannot = |why: &dyn std::fmt::Display| Failure::cannot(format!("cannot read {}: {why}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| cannot(&e))?;
    // One more tells that there are too many.
    let read = file.take(most as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|e| cannot(&e))?;
    match bytes.len() <= most {
        true => Ok(bytes),
        false => Err(cannot(&format_args!("{what} has at most {most} bytes"))),
    }
}

/// The same, of text.
pub(crate) fn text(path: &Path, most: usize, what: &str) -> Result<String, Failure> {
    let text = String::from_utf8(read(path, most, what)?);
    text.map_err(|why| Failure::cannot(format!("cannot read {}: {why}", path.display())))
}
