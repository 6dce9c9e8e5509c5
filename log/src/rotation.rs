//! Giving a ledger another key to sign with. An entry, signed for by the old key, names the new one; whoever opens the
//! ledger for writing then finishes what the entry says, so that a crash after any step is finished by the next open.
//! docs/FORMAT.md, "Rotation of keys".

use std::time::Duration;

use quipu_format::{Envelope, Scope, Signer, VerifierKey, limits};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    Error, ErrorKind, LedgerAt, LedgerReader, Result,
    disk::{Access, Folder},
    index::SharedIndex,
    keyfile::wipe,
    lock::Lock,
    manifest::Manifest,
    opening::{Parts, SIGNER, read_signer},
    random,
    reader::Direction,
    restore,
    segment::Filling,
    stamps::SystemClock,
    verifier_keys::{VerifierKeys, is_succession, sign_succession},
};

/// Kind of the entry that names the new key.
pub(crate) const KIND: &str = "quipu.key";
/// The new key, until it is `signer`, and then the old one, until it is overwritten.
const NEXT: &str = "signer.next";

/// Gives a ledger that nobody writes a new key of the same name; the old one is overwritten. Returns the new verifier key
/// when a checkpoint that it verifies is durable.
///
/// # Errors
/// `Locked` where a process writes to the ledger for longer than `wait`: end it, and rotate then.
pub fn rotate_key<'a>(at: impl Into<LedgerAt<'a>>, wait: Duration) -> Result<VerifierKey> {
    let at = at.into();
    let folder = at.folder()?;
    restore::refuse_copy(&folder)?;
    let _lock = Lock::take(&folder, wait)?;
    let open = || {
        let filling = Filling::new(limits::SEGMENT_BYTES);
        Parts::open(&folder, at.path, filling, Box::new(SystemClock::new()))
    };
    begin(&mut open()?, &folder)?;
    // What is left is what an open does.
    let parts = open()?;
    Ok((*parts.state.manifest.verifier_key).clone())
}

/// Makes the new key and appends the entry that names it. Nothing may be signed with the old key after.
pub(crate) fn begin(parts: &mut Parts, folder: &Folder) -> Result<()> {
    let old = read_signer(folder, SIGNER, &parts.state.manifest)?;
    let new = Signer::new(parts.state.manifest.verifier_key.name(), *random::secret()?)?;
    let next = new.verifier_key();
    folder.replace(NEXT, new.to_text().as_bytes(), Access::Private)?;
    let sys = json!({"key": {
        "from": old.verifier_key().to_string(),
        "verifierKey": next.to_string(),
        "note": sign_succession(&old, &next),
    }});
    parts.append_system(KIND, sys)?;
    Ok(())
}

/// The new key that an envelope names, where it is of the kind that does and `key` signed for it.
///
/// # Errors
/// It is of that kind, and `key` did not.
pub(crate) fn successor(envelope: &Envelope, key: Option<&VerifierKey>) -> Result<Option<VerifierKey>, String> {
    if envelope.kind.as_str() != KIND {
        return Ok(None);
    }
    let said = envelope.sys.as_ref().map(|sys| &sys["key"]);
    let text = |name: &str| said.and_then(|said| said[name].as_str()).unwrap_or_default();
    let from: VerifierKey = text("from").parse().map_err(|e| format!("{e}"))?;
    let next: VerifierKey = text("verifierKey").parse().map_err(|e| format!("{e}"))?;
    if key.is_some_and(|key| *key != from) {
        return Err("it names a successor of another key than the ledger had".into());
    }
    if envelope.scope != Scope::ledger() || !is_succession(text("note"), &from, &next) {
        return Err("the ledger's key did not sign for the one that it names".into());
    }
    Ok(Some(next))
}

/// Which file has the key that the manifest names.
pub(crate) fn current_signer(folder: &Folder, manifest: &Manifest) -> Result<Signer> {
    match read_signer(folder, SIGNER, manifest) {
        // A crash came before the two files' names were exchanged.
        Err(e) if e.kind() == ErrorKind::Tampered => read_signer(folder, NEXT, manifest).map_err(|_| e),
        signer => signer,
    }
}

/// Finishes a rotation that was begun: the log is as it will stay. Gives the manifest and signer that hold from now on.
/// `covered`: entries that a checkpoint covers.
pub(crate) fn finish(reader: &LedgerReader, covered: u64, signer: Signer) -> Result<(Option<VerifierKeys>, Signer)> {
    let folder = &reader.state.folder;
    let manifest = &reader.state.manifest;
    let Some(next) = read_next(folder)? else {
        return Ok((None, signer));
    };
    let mut newer = None;
    let mut now = signer;
    if next.verifier_key() != now.verifier_key()
        && let Some(seq) = named(reader, covered, &now.verifier_key(), &next.verifier_key())?
    {
        let keys = manifest.verifier_key.followed_by(next.verifier_key(), seq);
        let keys = keys.ok_or_else(|| Error::new(ErrorKind::Corrupt, "quipu.json names keys that cannot be"))?;
        let written = Manifest {
            verifier_key: keys.clone(),
            copy: false,
        };
        written.write(folder)?;
        (newer, now) = (Some(keys), next);
    }
    // `quipu.json` names the key now: it gets its name, and the other is destroyed.
    let in_place = read_text(folder, SIGNER)?.is_some_and(|signer| signer.verifier_key() == now.verifier_key());
    if !in_place {
        folder.exchange(NEXT, SIGNER)?;
        folder.sync()?;
    }
    wipe(folder, NEXT)?;
    Ok((newer, now))
}

/// Position of the entry that names `next` as the key after `key`, among those that no checkpoint covers.
fn named(reader: &LedgerReader, covered: u64, key: &VerifierKey, next: &VerifierKey) -> Result<Option<u64>> {
    let index = &reader.state.index;
    for seq in index.select(&Scope::ledger(), covered..u64::MAX, Direction::Forward, usize::MAX)? {
        let Some(envelope) = reader.envelope(seq)? else {
            continue;
        };
        if successor(&envelope, Some(key)).is_ok_and(|named| named.as_ref() == Some(next)) {
            return Ok(Some(seq));
        }
    }
    Ok(None)
}

/// A key that was not written whole is none: no entry names it yet.
fn read_next(folder: &Folder) -> Result<Option<Signer>> {
    let there = read_text(folder, NEXT)?;
    if there.is_none() {
        wipe(folder, NEXT)?;
    }
    Ok(there)
}

fn read_text(folder: &Folder, name: &str) -> Result<Option<Signer>> {
    let text = folder.read(name, 64 << 10)?.map(Zeroizing::new);
    Ok(text.and_then(|text| Signer::parse(std::str::from_utf8(&text).ok()?.trim_end()).ok()))
}
