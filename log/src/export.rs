//! The ledger's history as a static folder that any tlog-tiles client reads: C2SP tlog-tiles, "Tiles" and "Entry
//! bundles".

use std::path::Path;

use quipu_format::tree::{self, TILE_WIDTH, TileHashes};
use serde::Serialize;

use crate::{
    Error, ErrorKind, LedgerReader, Result, checkpoint,
    disk::{Access, Folder},
    manifest,
    tree_files::TreeFiles,
};

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExportSummary {
    /// Entries, as many as the newest checkpoint covers.
    pub entries: u64,
    /// Tiles of hashes, partial ones included.
    pub tiles: u64,
    /// Entry bundles, partial ones included.
    pub bundles: u64,
}

impl LedgerReader {
    /// Writes checkpoint, tiles and entry bundles as any tlog-tiles client reads them (`checkpoint`, `tile/…`) into a
    /// folder that is empty, does not exist, or holds an earlier export. `progress` is told how many entries are there, and
    /// of how many. Bundles hold envelopes and so no content, but all scopes, actors, kinds, times and links.
    pub fn export_tiles(&self, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<ExportSummary> {
        tiles(self, path, progress)
    }
}

fn tiles(reader: &LedgerReader, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<ExportSummary> {
    let (note, checkpoint) = reader.checkpoint()?;
    reader.refresh()?;
    let folder = Folder::create(path)?;
    let names = folder.list()?;
    if names.iter().any(|name| name == manifest::FILE)
        || !names.is_empty()
            && (reader.state)
                .signed(|manifest| checkpoint::read(&folder, &manifest.verifier_key))
                .is_err()
    {
        let message = format!(
            "the folder {} holds something else than an earlier export of this ledger: choose another one",
            path.display()
        );
        return Err(Error::new(ErrorKind::Exists, message));
    }
    let hashes = TreeFiles::open(&reader.state.folder)?;
    if tree::root(checkpoint.size, &hashes)? != checkpoint.root {
        return Err(TreeFiles::stale());
    }
    let mut summary = ExportSummary {
        entries: checkpoint.size,
        tiles: 0,
        bundles: 0,
    };
    let mut count = checkpoint.size;
    for level in 0_u8.. {
        for (tile, width) in tiles_of(count) {
            let bytes: Vec<u8> = hashes
                .read(level, tile * TILE_WIDTH as u64, width)?
                .iter()
                .flat_map(|h| h.0)
                .collect();
            put(&folder, &format!("tile/{level}"), tile, width, &bytes)?;
            summary.tiles += 1;
        }
        count /= TILE_WIDTH as u64;
        if count == 0 {
            break;
        }
    }
    for (tile, width) in tiles_of(checkpoint.size) {
        let mut bundle = Vec::new();
        for seq in tile * TILE_WIDTH as u64..tile * TILE_WIDTH as u64 + width as u64 {
            let envelope = reader.envelope_bytes(seq)?;
            // An envelope has at most 65,535 bytes: it was parsed.
            bundle.extend_from_slice(&(envelope.len() as u16).to_be_bytes());
            bundle.extend_from_slice(&envelope);
        }
        put(&folder, "tile/entries", tile, width, &bundle)?;
        summary.bundles += 1;
        progress(tile * TILE_WIDTH as u64 + width as u64, checkpoint.size);
    }
    // Last, so that a client that sees it finds all that it covers.
    folder.replace(checkpoint::FILE, note.as_bytes(), Access::Usual)?;
    Ok(summary)
}

/// The tiles that `count` hashes fill, each with its width; only the last may be partial.
fn tiles_of(count: u64) -> impl Iterator<Item = (u64, usize)> {
    let width = TILE_WIDTH as u64;
    (0..count.div_ceil(width)).map(move |tile| (tile, (count - tile * width).min(width) as usize))
}

/// Writes tile `number`.
fn put(folder: &Folder, above: &str, number: u64, width: usize, bytes: &[u8]) -> Result<()> {
    let path = format!("{above}/{}", tile_path(number, width));
    let (parent, name) = path.rsplit_once('/').unwrap_or((".", &path));
    let parent = folder.create_sub(parent)?;
    parent.remove(name)?;
    let file = parent.create_file(name, Access::Usual)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()
}

/// A tile's path below its level: its number in groups of three digits, all but the last with an `x` before them, and
/// `.p/<width>` behind where it is partial.
fn tile_path(number: u64, width: usize) -> String {
    let mut path = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    match width {
        TILE_WIDTH => path,
        _ => format!("{path}.p/{width}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's own examples, and the sizes around a full tile.
    #[test]
    fn tiles_are_those_of_the_specification() {
        assert_eq!(tile_path(1_234_067, 256), "x001/x234/067");
        assert_eq!(tile_path(0, 256), "000");
        assert_eq!(tile_path(999, 255), "999.p/255");
        assert_eq!(tile_path(1_000, 1), "x001/000.p/1");
        let paths = |count| {
            tiles_of(count)
                .map(|(tile, width)| tile_path(tile, width))
                .collect::<Vec<_>>()
        };
        assert_eq!(paths(0), [""; 0]);
        assert_eq!(paths(255), ["000.p/255"]);
        assert_eq!(paths(256), ["000"]);
        assert_eq!(paths(257), ["000", "001.p/1"]);
        let level_0 = paths(70_000);
        assert_eq!((level_0.len(), level_0[273].as_str()), (274, "273.p/112"));
        assert_eq!(paths(70_000 / 256), ["000", "001.p/17"]);
        assert_eq!(paths(70_000 / 256 / 256), ["000.p/1"]);
    }
}
