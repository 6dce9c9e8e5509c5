//! The folder `components`: bytes of the components that ran, each under the SHA-256 of its bytes, so that a run can
//! be executed again.

use quipu_format::Hash;

use crate::{
    Error, ErrorKind, Result,
    disk::{Access, Folder},
};

pub(crate) const FOLDER: &str = "components";
/// Bytes of a component.
const COMPONENT_BYTES: u64 = 256 << 20;

/// File name of a component: its digest in hexadecimal digits, as `sha256sum` prints it.
pub(crate) fn file_name(sha256: &Hash) -> String {
    format!("{}.wasm", sha256.to_hex())
}

/// Stores a component, unless it is there, and returns its digest when it is durable.
pub(crate) fn put(ledger: &Folder, bytes: &[u8]) -> Result<Hash> {
    if bytes.len() as u64 > COMPONENT_BYTES {
        let message = format!(
            "the component has {} bytes; at most {COMPONENT_BYTES} are kept",
            bytes.len()
        );
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    let sha256 = Hash::of(&[bytes]);
    let folder = ledger.sub(FOLDER)?;
    // Two of one digest, of two processes for example, would share a temporary name.
    let _one_at_a_time = folder.lock()?;
    if read(ledger, &sha256)?.is_none() {
        folder.replace(&file_name(&sha256), bytes, Access::Usual)?;
    } else {
        // Whoever put it there may have died before its name was durable.
        folder.sync()?;
    }
    Ok(sha256)
}

/// Digests that the stored components' names give.
pub(crate) fn list(ledger: &Folder) -> Result<Vec<Hash>> {
    let names = match ledger.sub(FOLDER) {
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        folder => folder?.list()?,
    };
    Ok(names
        .iter()
        .filter_map(|name| digest(name.strip_suffix(".wasm")?))
        .collect())
}

/// A digest in hexadecimal digits.
pub(crate) fn digest(hex: &str) -> Option<Hash> {
    let bytes: Option<Vec<u8>> = (0..32)
        .map(|i| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok())
        .collect();
    Some(Hash(bytes?.try_into().ok()?))
}

/// Reads a component back. None: there is none of that digest, or its file no longer has it.
pub(crate) fn read(ledger: &Folder, sha256: &Hash) -> Result<Option<Vec<u8>>> {
    let folder = match ledger.sub(FOLDER) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        folder => folder?,
    };
    let bytes = folder.read(&file_name(sha256), COMPONENT_BYTES)?;
    Ok(bytes.filter(|bytes| Hash::of(&[bytes]) == *sha256))
}
