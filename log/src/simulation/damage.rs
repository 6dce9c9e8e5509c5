//! What changes behind the ledger's back: a flipped bit, a sector of zeros, a file that lost its end. Nothing may be
//! lost in silence, and nothing invented.

use std::{collections::BTreeMap, path::Path};

use super::{
    dice::Dice,
    disk::Disk,
    image::SECTOR,
    model::{Result, ensure},
    world::World,
};
use crate::{ErrorKind, opening, verify::verify_in};

/// Damages the ledger of a world that has lived through so many power cuts and is closed, in so many ways.
pub(super) fn run(seed: u64, cuts: u64, times: usize) -> Result {
    let (mut world, _unseed) = World::new(seed, None)?;
    world.live_through(cuts)?;
    let mut dice = world.dice.fork();
    sweep(&world, &mut dice, times)
}

/// Damages one file of a closed ledger, and looks what becomes of it; as often as told, each time on a fresh copy.
fn sweep(world: &World, dice: &mut Dice, times: usize) -> Result {
    let files = world.disk.state().files();
    for _ in 0..times {
        let disk = world.disk.copy();
        let path = dice.pick(&files).clone();
        let what = hurt(&disk, &path, dice);
        look(world, &disk).map_err(|e| format!("{path}, {what}: {e}"))?;
    }
    Ok(())
}

fn hurt(disk: &Disk, path: &str, dice: &mut Dice) -> String {
    let mut what = String::new();
    disk.state().damage(path, |bytes| {
        let at = dice.below(bytes.len());
        match dice.below(6) {
            0 => {
                let begin = at / SECTOR * SECTOR;
                let end = (begin + SECTOR).min(bytes.len());
                bytes[begin..end].fill(0);
                what = format!("bytes {begin} to {end} are zeros");
            }
            1 => {
                bytes.truncate(at);
                what = format!("it ends at byte {at}");
            }
            _ => {
                let bit = dice.below(8);
                bytes[at] ^= 1 << bit;
                what = format!("bit {bit} of byte {at} flipped");
            }
        }
    });
    what
}

fn look(world: &World, disk: &Disk) -> Result {
    let model = &world.model;
    let process = disk.process(false);
    // Verification names the damage, or it does not matter.
    let verdict = verify_in(&process.folder(), &mut |_| {});
    let named = verdict.as_ref().map_or(true, |verdict| verdict.fault.is_some());
    ensure!(
        named
            || verdict.is_ok_and(|verdict| {
                let told = verdict.intact + verdict.erased_with_authority;
                verdict.entries == model.next() && told == model.next()
            }),
        "verification finds nothing, and entries are missing"
    );
    // A reader serves what was appended, or says that it cannot.
    match opening::reader(process.folder(), Path::new("")) {
        Ok(reader) => model.check_damaged(&reader, named)?,
        Err(e) => ensure!(named, "a reader is refused, and nothing says why: {e}"),
    }
    // An open for writing changes nothing where it refuses, and loses nothing where it does not.
    let before = contents(disk);
    let process = disk.process(true);
    match world.open_once(&process) {
        Ok(parts) => {
            let reader = parts.reader();
            for seq in 0..model.next() {
                match reader.event(seq) {
                    Ok(Some(event)) => ensure!(
                        model.hash(seq) == Some(event.hash),
                        "entry {seq} is another one for the writer: {event:?}"
                    ),
                    Ok(None) => return Err(format!("entry {seq} is missing for the writer, and nothing said so")),
                    // A full segment is not read at open; damage in it shows when it is.
                    Err(e) => ensure!(
                        named && e.kind() == ErrorKind::Corrupt,
                        "entry {seq} cannot be read: {e}"
                    ),
                }
            }
        }
        Err(e) => {
            let after = contents(disk);
            let changed = |(path, bytes): &(&String, &Vec<u8>)| after.get(*path) != Some(*bytes);
            let changed: Vec<_> = before.iter().filter(changed).map(|(path, _)| path).collect();
            ensure!(
                changed.is_empty(),
                "the ledger is refused ({e}), and {changed:?} was changed"
            );
        }
    }
    Ok(())
}

/// Files that hold what cannot be made anew.
fn contents(disk: &Disk) -> BTreeMap<String, Vec<u8>> {
    let state = disk.state();
    let kept =
        |path: &String| path.ends_with(".log") || ["keys", "checkpoint", "signer", "quipu.json"].contains(&&**path);
    let files = state.files().into_iter().filter(kept);
    files.map(|path| (path.clone(), state.content(&path))).collect()
}
