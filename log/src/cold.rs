//! A segment that is compressed and can still be read anywhere: zstd's seekable format, frames that stand alone and a
//! table of them at the end. `zstd -d` gives the segment back. docs/FORMAT.md, "Archive".

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Error, ErrorKind, Result,
    disk::{DiskFile, FileBackend},
    segment,
};

/// Bytes of a segment in one frame: what is decompressed to read one entry.
const FRAME_BYTES: usize = 128 << 10;
/// Frames that a segment can have.
const MOST_FRAMES: u64 = segment::MOST_BYTES.div_ceil(FRAME_BYTES as u64);
/// How hard to compress: sealed bodies are text in base64 that is otherwise random, so more gains little.
const LEVEL: i32 = 6;
/// Magic numbers of a skippable frame and of a table of frames, little-endian.
const SKIPPABLE: u32 = 0x184D_2A5E;
const SEEKABLE: u32 = 0x8F92_EAB1;
/// Bytes of the table beside its entries: a skippable frame's header, and the footer.
const HEADER_BYTES: u64 = 8;
const FOOTER_BYTES: u64 = 9;
const ENTRY_BYTES: u64 = 8;

/// The whole file of a segment's bytes.
pub(crate) fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    let failed = |e: io::Error| Error::io("compress a segment", &e);
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).map_err(failed)?;
    compressor.include_checksum(true).map_err(failed)?;
    let (mut file, mut table, mut count) = (Vec::new(), Vec::new(), 0_u32);
    for part in bytes.chunks(FRAME_BYTES) {
        let frame = compressor.compress(part).map_err(failed)?;
        table.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        table.extend_from_slice(&(part.len() as u32).to_le_bytes());
        file.extend_from_slice(&frame);
        count += 1;
    }
    file.extend_from_slice(&SKIPPABLE.to_le_bytes());
    file.extend_from_slice(&((table.len() as u64 + FOOTER_BYTES) as u32).to_le_bytes());
    file.extend_from_slice(&table);
    file.extend_from_slice(&count.to_le_bytes());
    // No checksums in the table: each frame has its own.
    file.push(0);
    file.extend_from_slice(&SEEKABLE.to_le_bytes());
    Ok(file)
}

/// A compressed segment, to be read as if it were not.
pub(crate) struct ColdFile {
    file: DiskFile,
    frames: Vec<Frame>,
    length: u64,
    /// The frame that was read last: entries that are read together stand together.
    last: Mutex<Option<(usize, Arc<Vec<u8>>)>>,
}

#[derive(Clone, Copy)]
struct Frame {
    /// Where it begins in the file, and its bytes there.
    offset: u64,
    stored: u32,
    /// Where it begins in the segment, and its bytes there.
    start: u64,
    length: u32,
}

impl ColdFile {
    /// Reads the table of frames; nothing in it is believed that does not fit the file.
    pub(crate) fn open(file: DiskFile) -> Result<DiskFile> {
        let name = file.name().to_owned();
        let frames = read_table(&file)?.ok_or_else(|| {
            let message = format!("{name} is damaged: it does not end with a table of its frames");
            Error::new(ErrorKind::Corrupt, message)
        })?;
        let length = frames.last().map_or(0, |last| last.start + u64::from(last.length));
        let this = Self {
            file,
            frames,
            length,
            last: Mutex::default(),
        };
        Ok(DiskFile::over(Box::new(this), name))
    }

    fn frame(&self, number: usize) -> io::Result<Arc<Vec<u8>>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, bytes)) = last.filter(|(at, _)| *at == number) {
            return Ok(bytes);
        }
        let frame = self.frames[number];
        let stored = self.file.read_range(frame.offset, frame.stored as usize);
        let stored = stored.map_err(|e| io::Error::other(e.to_string()))?;
        let bytes = zstd::bulk::decompress(&stored, frame.length as usize);
        let bytes = bytes.ok().filter(|bytes| bytes.len() == frame.length as usize);
        let Some(bytes) = bytes.map(Arc::new) else {
            let what = format!("it is damaged: the frame at byte {} is not whole", frame.offset);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, bytes.clone()));
        Ok(bytes)
    }
}

/// None: it is no table of frames that fill the file.
fn read_table(file: &DiskFile) -> Result<Option<Vec<Frame>>> {
    let length = file.len()?;
    let Some(at) = length.checked_sub(FOOTER_BYTES) else {
        return Ok(None);
    };
    let footer = file.read_range(at, FOOTER_BYTES as usize)?;
    let (count, magic) = (u64::from(number(&footer, 0)), number(&footer, 5));
    let table_bytes = count * ENTRY_BYTES;
    let Some(begin) = at.checked_sub(table_bytes + HEADER_BYTES) else {
        return Ok(None);
    };
    if magic != SEEKABLE || footer.get(4) != Some(&0) || count > MOST_FRAMES {
        return Ok(None);
    }
    let table = file.read_range(begin, (HEADER_BYTES + table_bytes) as usize)?;
    if number(&table, 0) != SKIPPABLE || u64::from(number(&table, 4)) != table_bytes + FOOTER_BYTES {
        return Ok(None);
    }
    let (mut frames, mut offset, mut start) = (Vec::new(), 0, 0);
    for entry in 0..count as usize {
        let at = HEADER_BYTES as usize + entry * ENTRY_BYTES as usize;
        let (stored, length) = (number(&table, at), number(&table, at + 4));
        if length == 0 || length as usize > FRAME_BYTES {
            return Ok(None);
        }
        frames.push(Frame {
            offset,
            stored,
            start,
            length,
        });
        offset += u64::from(stored);
        start += u64::from(length);
    }
    Ok((offset == begin).then_some(frames))
}

/// The little-endian number there; 0 behind the end.
fn number(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk());
    four.map_or(0, |four| u32::from_le_bytes(*four))
}

impl FileBackend for ColdFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.length || bytes.is_empty() {
            return Ok(0);
        }
        let number = self.frames.partition_point(|frame| frame.start <= offset) - 1;
        let frame = self.frame(number)?;
        let from = &frame[(offset - self.frames[number].start) as usize..];
        let count = from.len().min(bytes.len());
        bytes[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_read_only(&self) -> io::Result<()> {
        Ok(())
    }

    fn is_immutable(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn set_immutable(&self, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn is_shared(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Access, Folder};

    fn stored(bytes: &[u8]) -> (tempfile::TempDir, Folder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        folder.replace("cold", bytes, Access::Usual).unwrap();
        (temporary, folder)
    }

    /// Some frames, the last one not full.
    fn segment() -> Vec<u8> {
        (0..3 * FRAME_BYTES + 1_000).map(|i| ((i * i) >> 7) as u8).collect()
    }

    #[test]
    fn any_part_reads_as_before() {
        let bytes = segment();
        let (_temporary, folder) = stored(&compress(&bytes).unwrap());
        let file = ColdFile::open(folder.read_file("cold").unwrap()).unwrap();
        assert_eq!(file.len().unwrap() as usize, bytes.len());
        let frame = FRAME_BYTES;
        for (from, to) in [
            (0, 10),
            (frame - 3, frame + 3),
            (5, bytes.len()),
            (3 * frame, 3 * frame + 999),
            (7, 7),
        ] {
            assert_eq!(file.read_range(from as u64, to - from).unwrap(), bytes[from..to]);
        }
        assert_eq!(
            file.read_range(bytes.len() as u64 - 2, 100).unwrap(),
            bytes[bytes.len() - 2..]
        );
        assert!(file.read_range(u64::MAX / 2, 100).unwrap().is_empty());
        assert!(compress(&[]).unwrap().len() < 20);
    }

    #[test]
    fn damage_is_told_and_nothing_wrong_is_read() {
        let bytes = segment();
        let whole = compress(&bytes).unwrap();
        let (_temporary, folder) = stored(&whole);
        let read = |stored: &[u8]| {
            folder.replace("cold", stored, Access::Usual)?;
            let file = ColdFile::open(folder.read_file("cold")?)?;
            file.read_range(0, file.len()? as usize)
        };
        assert_eq!(read(&whole).unwrap(), bytes);
        // All of the table, and some of the frames.
        let places = (0..whole.len()).step_by(1_009).chain(whole.len() - 60..whole.len());
        for at in places {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            match read(&bad) {
                // A header may have more than one meaning.
                Ok(read) => assert_eq!(read, bytes, "byte {at}"),
                Err(e) => assert_eq!(e.kind(), ErrorKind::Corrupt, "byte {at}: {e}"),
            }
            assert!(read(&whole[..at]).is_err(), "cut at {at}");
        }
    }
}
