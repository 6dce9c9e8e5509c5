//! Puts checksums right, so that damage gets past them to what reads behind.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use quipu_format::{authenticate, checksum};

use crate::frozen;

const BLOCK_BYTES: usize = 4_096;

/// Gives a ledger's file the checksums, or the authentication, that its present bytes would have.
pub fn mend(name: &str, bytes: &mut Vec<u8>) {
    match name {
        "heads" | "heads.new" => authenticate_heads(bytes),
        _ if name.ends_with(".idx") => mend_blocks(bytes),
        _ if name.ends_with(".log") || name.starts_with("keys") => mend_lines(bytes),
        _ => {}
    }
}

/// Lines end with the checksum of what stands before it.
fn mend_lines(bytes: &mut [u8]) {
    for line in bytes.split_mut(|&byte| byte == b'\n') {
        if let Some((covered, crc)) = line.split_last_chunk_mut::<8>() {
            *crc = checksum(covered);
        }
    }
}

/// A sidecar's blocks end with their number and the checksum of data and number.
fn mend_blocks(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    for (number, block) in bytes.chunks_exact_mut(BLOCK_BYTES).enumerate() {
        block[BLOCK_BYTES - 16..BLOCK_BYTES - 8].copy_from_slice(&(number as u64).to_be_bytes());
        if let Some((covered, crc)) = block.split_last_chunk_mut::<8>() {
            *crc = checksum(covered);
        }
    }
}

/// The last line is the MAC of those before, under the ledger's secret: the fifth field of the key file.
fn authenticate_heads(bytes: &mut Vec<u8>) {
    let keys = String::from_utf8_lossy(&frozen().files["keys"]);
    let secret = keys
        .split('\t')
        .nth(4)
        .and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
    let secret: [u8; 32] = secret
        .and_then(|secret| secret.try_into().ok())
        .expect("the key file is good");
    let last = bytes
        .strip_suffix(b"\n")
        .unwrap_or(bytes)
        .iter()
        .rposition(|&byte| byte == b'\n');
    bytes.truncate(last.map_or(0, |lf| lf + 1));
    let mac = authenticate(&secret, bytes);
    bytes.extend_from_slice(format!("{mac}\n").as_bytes());
}
