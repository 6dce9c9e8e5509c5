//! Giving a ledger another key to sign with. An entry, signed for by the old key, names the new one; whoever opens the
//! ledger for writing then finishes what the entry says, so that a crash after any step is finished by the next open.
//! docs/FORMAT.md, "Rotation of keys".

use std::{ops::Range, time::Duration};

use quipu_format::{Actor, Body, Envelope, Kind, Scope, Signer, VerifierKey};
use serde_json::json;

use crate::{
    Draft, Error, ErrorKind, LedgerAt, LedgerReader, Result,
    checkpointer::Checkpointer,
    index::SharedIndex,
    intake::{By, Intake},
    keyfile::wipe,
    ledger::{Role, one, unanswered},
    manifest::Manifest,
    random,
    reader::{Direction, ReadState},
    request::Until,
    restore,
    share::{self, Join, Way},
    signer_file::{self, FILE, Found, NEXT},
    verifier_keys::{is_succession, sign_succession},
    wait,
};

/// Kind of the entry that names the new key.
pub(crate) const KIND: &str = "quipu.key";

/// Gives a ledger a new key of the same name; the old one is overwritten. The process that writes to it does it, or, where
/// there is none, this one. Returns the new verifier key when a checkpoint that it verifies is durable.
///
/// # Errors
/// `Locked` where a process writes to the ledger and did not take it for as long as `wait`. With `Unavailable` it may have
/// been done: the ledger's keys tell.
pub fn rotate_key<'a>(at: impl Into<LedgerAt<'a>>, wait: Duration) -> Result<VerifierKey> {
    let at = at.into();
    let folder = at.folder()?;
    restore::refuse_copy(&folder)?;
    let join = Join::new(at.path, folder, at.options(wait));
    match join.within(join.patience())? {
        Way::Own(ledger) => {
            let Role::Writer(writer) = ledger.role() else {
                return Err(unanswered());
            };
            let key = rotate(&writer.intake, &writer.checkpointer)?;
            ledger.close()?;
            Ok(key)
        }
        Way::Through(connection, _) => share::ask_to_rotate(connection),
    }
}

/// Rotates the key of a ledger that this process writes, beside its appends.
pub(crate) fn rotate(intake: &Intake, checkpointer: &Checkpointer) -> Result<VerifierKey> {
    let mut unknown = checkpointer.rotating();
    if *unknown {
        let message =
            "whether an earlier rotation of the ledger's key came into the log is unknown: open the ledger again";
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    let state = &intake.reader.state;
    clear(&intake.reader, checkpointer)?;
    let (next, draft) = prepare(state)?;
    let appended = intake
        .queue(vec![draft], Until::Durable, By::Caller)
        .and_then(|answer| wait::block_on(answer).unwrap_or_else(|| Err(unanswered())))
        .and_then(one);
    match appended {
        // The new key has signed it.
        Ok(receipt) => match checkpointer.cover_blocking(receipt.seq) {
            Ok(_) => Ok(next),
            // The entry is in the log: the rotation is finished later, at the latest by the next open.
            Err(e) => Err(e.into_kind(ErrorKind::Unavailable)),
        },
        Err(e) => {
            // Where the entry may be in the log all the same, the next open needs the key.
            *unknown = e.kind() == ErrorKind::Unavailable;
            if !*unknown {
                wipe(&state.folder, NEXT)?;
            }
            Err(e)
        }
    }
}

/// Finishes what an error left of an earlier rotation, or destroys it, where no entry names its key.
fn clear(reader: &LedgerReader, checkpointer: &Checkpointer) -> Result<()> {
    let folder = &reader.state.folder;
    match folder.read_file(NEXT) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        there => drop(there?),
    }
    // A checkpoint that covers an entry which names it is signed by it, and finishes the rotation.
    if let Some(last) = reader.head().checked_sub(1) {
        let covered = checkpointer.cover_blocking(last);
        covered.map_err(|e| e.into_kind(ErrorKind::Unavailable))?;
    }
    signer_file::read(folder, FILE, reader.state.manifest())?;
    wipe(folder, NEXT)
}

/// Makes the new key, and the draft of the entry that names it. Once that is durable, nothing that includes it is signed
/// with the old key. No earlier rotation is unfinished.
pub(crate) fn prepare(state: &ReadState) -> Result<(VerifierKey, Draft)> {
    let old = signer_file::read(&state.folder, FILE, state.manifest())?;
    let new = Signer::new(old.verifier_key().name(), *random::secret()?)?;
    let next = new.verifier_key();
    signer_file::write(&state.folder, NEXT, &new, state.lock().as_deref())?;
    let body = Body::new(None, "{}")?;
    let mut draft = Draft::new(Scope::ledger(), Actor::new("host:quipu")?, Kind::new(KIND)?, body);
    draft.sys = Some(json!({"key": {
        "from": old.verifier_key().to_string(),
        "verifierKey": next.to_string(),
        "note": sign_succession(&old, &next),
    }}));
    Ok((next, draft))
}

/// Its position, if it is an entry that names the next key.
pub(crate) fn position(envelope: &Envelope) -> Option<u64> {
    (envelope.sys.is_some() && envelope.kind.as_str() == KIND).then_some(envelope.seq)
}

/// Refuses entries that name a key for which the ledger's did not sign.
pub(crate) fn admit<'a>(drafts: impl Iterator<Item = &'a Envelope>, state: &ReadState) -> Result<()> {
    for draft in drafts {
        successor(draft, Some(&state.manifest().verifier_key)).map_err(|why| Error::new(ErrorKind::Invalid, why))?;
    }
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

/// Finishes a rotation that was begun: the log is as it will stay. `signer` and the reader's keys are those that hold from
/// now on, even where a later step fails, after which it can be tried again. `covered`: entries that a checkpoint covers.
pub(crate) fn finish(reader: &LedgerReader, covered: u64, signer: &mut Signer) -> Result<()> {
    let (state, folder) = (&reader.state, &reader.state.folder);
    signer_file::sweep(folder)?;
    match Found::read(folder, NEXT)? {
        // A key that was not written whole is none: no entry names it yet.
        None => wipe(folder, NEXT)?,
        Some(next) => {
            if next.key != signer.verifier_key()
                && let Some(seq) = named(reader, covered, &signer.verifier_key(), &next.key)?
            {
                let keys = state.manifest().verifier_key.followed_by(next.key.clone(), seq);
                let keys =
                    keys.ok_or_else(|| Error::new(ErrorKind::Corrupt, "quipu.json names keys that cannot be"))?;
                let next = next.open(folder)?;
                let manifest = Manifest {
                    verifier_key: keys,
                    copy: false,
                };
                manifest.write(folder)?;
                state.manifests.follow(manifest);
                *signer = next;
            }
            // `quipu.json` names the key now: it gets its name, and the other is destroyed.
            signer_file::settle(folder, signer)?;
        }
    }
    signer_file::seal_as(folder, signer, state.lock().as_deref())
}

/// That the key is the one that an entry names: no other signs what includes the entry.
///
/// # Errors
/// `Tampered` where it is not: the new key was lost before it came into use.
pub(crate) fn check_named(reader: &LedgerReader, seq: u64, key: &VerifierKey) -> Result<()> {
    let named = match reader.envelope(seq)? {
        Some(envelope) => successor(&envelope, None).unwrap_or(None),
        None => None,
    };
    if named.as_ref() == Some(key) {
        return Ok(());
    }
    let message = format!(
        "entry {seq} names the key that signs from then on, and {NEXT} does not hold it: nothing is signed. Put {NEXT} back from \
         a copy, or go on under a new name with `quipu restore --fork`"
    );
    Err(Error::new(ErrorKind::Tampered, message))
}

/// Whether an entry in a range names a key.
pub(crate) fn is_named_in(reader: &LedgerReader, range: Range<u64>) -> Result<bool> {
    for seq in reader.positions(&Scope::ledger(), range, usize::MAX)? {
        if reader.envelope(seq)?.as_ref().and_then(position).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
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
