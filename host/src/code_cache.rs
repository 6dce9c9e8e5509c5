use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use hmac::{Hmac, KeyInit, Mac};
use quipu_format::limits;
use rustix::fs::OFlags;
use sha2::Sha256;

use crate::{
    Error, ErrorKind, Result,
    code::{Code, CodeOf},
};

/// Bytes of the key, and of what it gives.
const KEY_BYTES: usize = 32;

/// Bytes of one file: the largest code that a compiler may give, its head and what authenticates it.
const FILE_BYTES: u64 = limits::CODE_CACHE_BYTES;

/// Compiled code on the disk, so that a component is compiled once.
///
/// What is in the folder is run, so a file counts only if this host wrote it: each is authenticated with a key that lies
/// elsewhere, and folder and key must belong to this user, with no right to write for anybody else. A file that anybody
/// changed, swapped or brought from another machine is passed over, and the component is compiled again.
///
/// It belongs to a user of a machine, never to a ledger: a ledger goes from hand to hand, and its bytes are not code.
#[derive(Clone)]
pub struct CodeCache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
}

impl CodeCache {
    /// Keeps code in this folder, and the key in this file; both are made where they are missing. The key must not be in the
    /// folder.
    ///
    /// # Errors
    /// Where they cannot be made or read, are not of this user, or others may write to them.
    pub fn open(folder: &Path, key: &Path) -> Result<Self> {
        let refused = |path: &Path, error: io::Error| {
            let what = format!("{} cannot be used for compiled code: {error}", path.display());
            Error::new(ErrorKind::Engine, what)
        };
        make_folder(folder).map_err(|error| refused(folder, error))?;
        if key.starts_with(folder) {
            let error = io::Error::other("the key must not lie in the folder that it vouches for");
            return Err(refused(key, error));
        }
        Ok(Self {
            folder: folder.to_owned(),
            key: read_key(key).map_err(|error| refused(key, error))?,
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was kept.
    pub(crate) fn get(&self, of: CodeOf) -> Option<Code> {
        let path = self.path(of);
        let file = open_own(&path).ok()?;
        let mut bytes = Vec::new();
        (&file).take(FILE_BYTES).read_to_end(&mut bytes).ok()?;
        let vouched = bytes.split_last_chunk::<KEY_BYTES>().and_then(|(code, tag)| {
            let code = code.to_vec();
            self.mac(&code).verify(&(*tag).into()).ok()?;
            Code::vouched_for(code, of)
        });
        match vouched {
            Some(code) => {
                // The newest stay longest. That it cannot be said does no harm.
                let _ = file.set_modified(SystemTime::now());
                Some(code)
            }
            None => {
                tracing::warn!(file = %path.display(), "compiled code is not what this host wrote, and is thrown away");
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps code, and makes room for it. Where that fails, the component is compiled again next time.
    pub(crate) fn put(&self, of: CodeOf, code: &Code) {
        if let Err(error) = self.write(of, code) {
            tracing::warn!(%error, folder = %self.folder.display(), "compiled code is not kept");
        }
    }

    fn write(&self, of: CodeOf, code: &Code) -> io::Result<()> {
        let tag = self.mac(code.bytes()).finalize().into_bytes();
        let bytes = (code.bytes().len() + tag.len()) as u64;
        if bytes > FILE_BYTES / 2 {
            return Err(io::Error::other(format!("{bytes} bytes are too many")));
        }
        self.make_room(bytes)?;
        let new = fresh(&self.path(of))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let written = file.write_all(code.bytes()).and_then(|()| file.write_all(&tag));
        let done = written.and_then(|()| fs::rename(&new, self.path(of)));
        if done.is_err() {
            let _ = fs::remove_file(&new);
        }
        done
    }

    /// Removes what was used longest ago, until so many bytes more fit.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let about = entry.metadata()?;
            if about.is_file() {
                files.push((about.modified()?, about.len(), entry.path()));
            }
        }
        files.sort();
        let mut has: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, of_file, path) in files {
            if has + bytes <= limits::CODE_CACHE_BYTES {
                break;
            }
            fs::remove_file(path)?;
            has -= of_file;
        }
        Ok(())
    }

    fn path(&self, of: CodeOf) -> PathBuf {
        self.folder.join(of.name())
    }

    fn mac(&self, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(b"quipu compiled code 1\0");
        mac.update(code);
        mac
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if let Some(around) = folder.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(around)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let about = fs::symlink_metadata(folder)?;
    if !about.is_dir() {
        return Err(io::Error::other("it is no folder"));
    }
    is_own(&about)
}

/// The key; a new one where there is none.
fn read_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    if !path.try_exists()? {
        if let Some(around) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(around)?;
        }
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        // It appears whole, and the first of two processes that make one wins.
        let new = fresh(path)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let linked = file
            .write_all(&key)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::hard_link(&new, path));
        let _ = fs::remove_file(&new);
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let mut key = [0; KEY_BYTES];
    let mut file = open_own(path)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        return Err(io::Error::other("others may read it; its mode must be 0600"));
    }
    file.read_exact(&mut key)?;
    Ok(key)
}

/// A name beside a file's for one that takes its place: no other thread or process, or one that was killed, has it.
fn fresh(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(path.with_extension(u64::from_le_bytes(random).to_string()))
}

/// Opens a file of this user's, following no link.
fn open_own(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let about = file.metadata()?;
    match about.is_file() {
        true => is_own(&about).map(|()| file),
        false => Err(io::Error::other("it is no file")),
    }
}

fn is_own(about: &fs::Metadata) -> io::Result<()> {
    if about.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    match about.mode() & 0o022 {
        0 => Ok(()),
        _ => Err(io::Error::other("others may write to it")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use quipu_format::Hash;

    use super::*;
    use crate::engine;

    const WASM: &[u8] = b"\0asm\x0d\0\x01\0";

    struct Kept {
        folder: tempfile::TempDir,
        cache: CodeCache,
        of: CodeOf,
    }

    fn open(around: &Path) -> Result<CodeCache> {
        CodeCache::open(&around.join("code"), &around.join("key"))
    }

    /// A cache with one component's code.
    fn kept() -> Kept {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path()).unwrap();
        let engine = engine::on_demand().unwrap();
        let of = CodeOf::new(&engine, Hash::of(&[WASM]));
        assert!(cache.get(of).is_none());
        cache.put(of, &Code::compile(&engine, WASM).unwrap());
        assert!(cache.get(of).is_some());
        Kept { folder, cache, of }
    }

    #[test]
    fn what_was_kept_is_there_for_the_next_process() {
        let kept = kept();
        assert!(open(kept.folder.path()).unwrap().get(kept.of).is_some());
    }

    #[test]
    fn poisoned_code_is_passed_over() {
        // Each byte of the head, of the code and of what authenticates it matters; some of each are changed.
        for at in [0, 9, 45, 79, 200, -1_isize, -20, -40] {
            let kept = kept();
            let path = kept.cache.path(kept.of);
            let mut bytes = fs::read(&path).unwrap();
            let at = if at < 0 {
                bytes.len().strict_add_signed(at)
            } else {
                at.unsigned_abs()
            };
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(kept.cache.get(kept.of).is_none(), "byte {at}");
            assert!(!path.exists(), "it is thrown away");
        }
    }

    #[test]
    fn code_under_another_components_name_is_passed_over() {
        let kept = kept();
        let engine = engine::on_demand().unwrap();
        let other = CodeOf::new(&engine, Hash::of(&[b"other"]));
        fs::copy(kept.cache.path(kept.of), kept.cache.path(other)).unwrap();
        assert!(kept.cache.get(other).is_none());
    }

    #[test]
    fn code_that_another_host_wrote_is_passed_over() {
        let (ours, theirs) = (kept(), kept());
        fs::copy(theirs.cache.path(theirs.of), ours.cache.path(ours.of)).unwrap();
        assert!(ours.cache.get(ours.of).is_none());
    }

    #[test]
    fn what_others_may_write_is_not_trusted() {
        let kept = kept();
        let path = kept.cache.path(kept.of);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(kept.cache.get(kept.of).is_none());

        let around = kept.folder.path();
        fs::set_permissions(around.join("key"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(open(around).is_err_and(|error| error.to_string().contains("others may read it")));
        fs::set_permissions(around.join("key"), fs::Permissions::from_mode(0o600)).unwrap();
        open(around).unwrap();
        fs::set_permissions(around.join("code"), fs::Permissions::from_mode(0o770)).unwrap();
        assert!(open(around).is_err_and(|error| error.to_string().contains("others may write to it")));
    }

    #[test]
    fn no_link_is_followed() {
        let kept = kept();
        let path = kept.cache.path(kept.of);
        let elsewhere = kept.folder.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert!(kept.cache.get(kept.of).is_none());
        assert!(CodeCache::open(&path, &elsewhere).is_err(), "a folder that is a link");
    }

    #[test]
    fn the_key_must_not_lie_beside_the_code() {
        let folder = tempfile::tempdir().unwrap();
        let code = folder.path().join("code");
        assert!(CodeCache::open(&code, &code.join("key")).is_err());
    }

    #[test]
    fn past_its_limit_what_was_used_longest_ago_goes() {
        let kept = kept();
        let folder = kept.cache.folder();
        // Sparse: they take no room on the disk.
        for (name, age) in [("old", 3), ("older", 4), ("young", 1)] {
            let file = File::create(folder.join(name)).unwrap();
            file.set_len(limits::CODE_CACHE_BYTES / 2).unwrap();
            let age = std::time::Duration::from_secs(age * 3_600);
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        let engine = engine::on_demand().unwrap();
        kept.cache.put(kept.of, &Code::compile(&engine, WASM).unwrap());
        let names = ["older", "old", "young"].map(|name| folder.join(name).exists());
        assert_eq!(names, [false, false, true]);
        assert!(kept.cache.get(kept.of).is_some());
    }
}
