//! Has the crates `tlog_tiles` and `signed_note` verify exported logs: stranger VERIFIER-KEY < CASES
//!
//! Each line of the input names a folder with `checkpoint` and `tile/`, and perhaps `older`, a checkpoint that it must go
//! on from; or with `proofs/`, files as C2SP `tlog-proof` has them; or with both. For each the answer is one line, `accepted CASE` or `refused CASE WHY`.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Error as TlogError, Hash, HashReader, Tile, TileHashReader, TileReader, check_record, check_tree,
    prove_record, prove_tree, record_hash, stored_hash_index, stored_hashes_for_record_hash, tree_hash,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Height of the tiles of C2SP `tlog-tiles`.
const HEIGHT: u8 = 8;
const WIDTH: u64 = 1 << HEIGHT;

fn main() -> Result<()> {
    let key = env::args().nth(1).ok_or("usage: stranger VERIFIER-KEY < CASES")?;
    for case in io::stdin().lines() {
        let case = case?;
        match check(Path::new(&case), &key) {
            Ok(()) => println!("accepted {case}"),
            Err(why) => println!("refused {case} {}", why.to_string().replace('\n', " ")),
        }
    }
    Ok(())
}

fn check(case: &Path, key: &str) -> Result<()> {
    if case.join("checkpoint").exists() {
        check_log(case, key)?;
    }
    for entry in fs::read_dir(case.join("proofs")).into_iter().flatten() {
        let file = entry?.path();
        if file.extension().is_some_and(|name| name == "tlog-proof") {
            check_proof(&file, key)?;
        }
    }
    Ok(())
}

fn check_log(case: &Path, key: &str) -> Result<()> {
    let signed = opened(&fs::read(case.join("checkpoint"))?, key)?;
    let (size, root) = (signed.size(), *signed.hash());
    let tiles = Tiles(case.to_owned());
    let authentic = TileHashReader::new(size, root, &tiles);
    let entries = Entries::read(&tiles, size)?;
    if tree_hash(size, &entries)? != root {
        return Err("the entries have another root".into());
    }
    for first in (0..size).step_by(WIDTH as usize) {
        let indexes: Vec<_> = (first..size.min(first + WIDTH))
            .map(|n| stored_hash_index(0, n))
            .collect();
        if authentic.read_hashes(&indexes)? != entries.read_hashes(&indexes)? {
            return Err(format!("the tile from {first} on is of other entries").into());
        }
    }
    for n in (0..size).step_by((size / 64 + 1) as usize) {
        let proof = prove_record(size, n, &authentic)?;
        check_record(&proof, size, root, n, entries.leaf(n)?)?;
    }
    if let Ok(older) = fs::read(case.join("older")) {
        let older = opened(&older, key)?;
        if older.size() > 0 {
            let proof = prove_tree(size, older.size(), &authentic)?;
            check_tree(&proof, size, root, older.size(), *older.hash())?;
        }
    }
    Ok(())
}

fn opened(note: &[u8], key: &str) -> Result<Checkpoint> {
    let key = StandardVerifier::new(key).map_err(|e| format!("{e:?}"))?;
    let note = Note::from_bytes(note).map_err(|e| format!("{e:?}"))?;
    note.verify(&VerifierList::new(vec![Box::new(key)]))
        .map_err(|e| format!("{e:?}"))?;
    Ok(Checkpoint::from_bytes(note.text()).map_err(|e| e.to_string())?)
}

/// A proof as C2SP `tlog-proof` has it. The entry is its extra data; where it has none, the file beside it.
fn check_proof(file: &Path, key: &str) -> Result<()> {
    let text = fs::read_to_string(file)?;
    let (head, note) = text.split_once("\n\n").ok_or("no proof")?;
    let mut lines = head.split('\n').peekable();
    if lines.next() != Some("c2sp.org/tlog-proof@v1") {
        return Err("no proof".into());
    }
    let extra = lines.next_if(|line| line.starts_with("extra "));
    let entry = match extra {
        Some(extra) => BASE64_STANDARD.decode(&extra["extra ".len()..])?,
        None => fs::read(file.with_extension("entry"))?,
    };
    let index = lines
        .next()
        .and_then(|line| line.strip_prefix("index "))
        .ok_or("no index")?;
    let number: u64 = index.parse()?;
    if number.to_string() != index {
        return Err("the index is written otherwise".into());
    }
    let hashes = lines.map(Hash::parse_hash).collect::<std::result::Result<_, _>>()?;
    let signed = opened(note.as_bytes(), key)?;
    Ok(check_record(
        &hashes,
        signed.size(),
        *signed.hash(),
        number,
        record_hash(&entry),
    )?)
}

/// The tiles of an exported folder, not to be believed.
struct Tiles(PathBuf);

impl Tiles {
    /// A tile, or where it is not there the beginning of a wider one.
    fn read(&self, tile: &Tile) -> io::Result<Vec<u8>> {
        let file = |tile: &Tile| {
            let path = tile
                .path()
                .replace("tile/8/data/", "tile/entries/")
                .replace("tile/8/", "tile/");
            fs::read(self.0.join(path))
        };
        let full = Tile::new(HEIGHT, tile.level(), tile.level_index(), WIDTH as u32, tile.is_data());
        file(tile).or_else(|_| file(&full))
    }
}

impl TileReader for Tiles {
    fn height(&self) -> u8 {
        HEIGHT
    }

    fn read_tiles(&self, tiles: &[Tile]) -> std::result::Result<Vec<Vec<u8>>, TlogError> {
        let read = |tile: &Tile| {
            let mut bytes = self.read(tile).map_err(|_| TlogError::InvalidTile)?;
            bytes.truncate(tile.width() as usize * 32);
            Ok(bytes)
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// All hashes of the tree over the entries of the bundles, computed anew.
struct Entries(Vec<Hash>);

impl Entries {
    fn read(tiles: &Tiles, size: u64) -> Result<Self> {
        let mut entries = Self(Vec::new());
        for first in (0..size).step_by(WIDTH as usize) {
            let width = WIDTH.min(size - first);
            let bundle = tiles.read(&Tile::new(HEIGHT, 0, first / WIDTH, width as u32, true))?;
            let mut rest = &bundle[..];
            for n in first..first + width {
                let (length, behind) = rest.split_first_chunk().ok_or("a bundle ends early")?;
                let length = u16::from_be_bytes(*length).into();
                let (entry, behind) = behind.split_at_checked(length).ok_or("a bundle ends early")?;
                let hashes = stored_hashes_for_record_hash(n, record_hash(entry), &entries)?;
                entries.0.extend(hashes);
                rest = behind;
            }
            if !rest.is_empty() {
                return Err("a bundle goes on behind its entries".into());
            }
        }
        Ok(entries)
    }

    fn leaf(&self, n: u64) -> Result<Hash> {
        Ok(self.read_hashes(&[stored_hash_index(0, n)])?[0])
    }
}

impl HashReader for Entries {
    fn read_hashes(&self, indexes: &[u64]) -> std::result::Result<Vec<Hash>, TlogError> {
        let hash = |&at: &u64| self.0.get(at as usize).copied().ok_or(TlogError::IndexesNotInTree);
        indexes.iter().map(hash).collect()
    }
}
