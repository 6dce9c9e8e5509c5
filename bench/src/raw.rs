//! The limit that the disk sets: one pwrite and one fdatasync of so many payloads, on a filled file.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    Result,
    closed_loop::{Measured, WARM_UP},
    machine::Watch,
    payload::{PAYLOAD_BYTES, Payloads},
    settings::Settings,
};

/// As a segment of the log.
const FILE_BYTES: u64 = 64 << 20;

/// Payloads a second when `payloads` of them are written and synced at once, one after the other.
pub(crate) fn measure(settings: &Settings, payloads: usize) -> Result<Measured> {
    let path = settings.folder.join("raw");
    let file = filled(&path)?;
    let mut made = Payloads::of(0);
    let write: Vec<u8> = (0..payloads).flat_map(|_| made.make().into_bytes()).collect();
    assert_eq!(write.len(), payloads * PAYLOAD_BYTES);
    let mut at = 0;
    let mut commit = || -> Result<Duration> {
        if at + write.len() as u64 > FILE_BYTES {
            at = 0;
        }
        let begin = Instant::now();
        file.write_all_at(&write, at)?;
        file.sync_data()?;
        at += write.len() as u64;
        Ok(begin.elapsed())
    };

    let begin = Instant::now();
    while begin.elapsed() < WARM_UP {
        commit()?;
    }
    let (watch, begin) = (Watch::start(&settings.folder), Instant::now());
    let mut latencies = Vec::new();
    while begin.elapsed() < settings.length {
        latencies.push(commit()?);
    }
    let measured = Measured::new(latencies.len() * payloads, begin.elapsed(), &latencies, watch.load());
    std::fs::remove_file(path)?;
    Ok(measured)
}

/// A file of real bytes: a sync then writes data alone, where a sparse or only allocated file would write metadata too.
fn filled(path: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let fill = vec![b'\n'; 1 << 20];
    for at in (0..FILE_BYTES).step_by(fill.len()) {
        file.write_all_at(&fill, at)?;
    }
    file.sync_all()?;
    Ok(file)
}
