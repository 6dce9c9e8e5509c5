use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{Error, ErrorKind, Result};

/// What a process keeps of the file system when it gives up all else, and TCP connections: folders and files by path.
///
/// It is a second wall. A guest reaches nothing but its imports; where the engine or the host has a fault, this is what it
/// would reach. On Linux it is Landlock, as far as the kernel has it; elsewhere it does nothing, and says so.
#[derive(Debug, Clone, Default)]
pub struct Confinement {
    list: Vec<PathBuf>,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
}

/// What a confinement holds, on the kernel that there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Confined {
    /// No file is opened besides those that were named. What was open stays open.
    pub files: bool,
    /// No TCP port is bound or connected to.
    pub network: bool,
    /// No process outside is sent a signal, and no abstract Unix socket outside is connected to.
    pub processes: bool,
}

impl Confinement {
    /// Nothing is kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the names of what is in a folder and below, and nothing of what those files hold.
    #[must_use]
    pub fn list(mut self, path: impl Into<PathBuf>) -> Self {
        self.list.push(path.into());
        self
    }

    /// Keeps a file, or a folder with all that is in it, for reading. What is not there is passed over.
    #[must_use]
    pub fn read(mut self, path: impl Into<PathBuf>) -> Self {
        self.read.push(path.into());
        self
    }

    /// Keeps a folder with all that is in it, for reading and writing. What is not there is passed over.
    #[must_use]
    pub fn write(mut self, path: impl Into<PathBuf>) -> Self {
        self.write.push(path.into());
        self
    }

    /// Confines this thread, and all threads and processes that it starts from now on; there is no way back. So it is called
    /// before others are started.
    ///
    /// # Errors
    /// Where the kernel has Landlock and refuses. That it has none, or an older one, is in the answer.
    pub fn confine(&self) -> Result<Confined> {
        self.enforce()
            .map_err(|error| Error::new(ErrorKind::Engine, format!("the process cannot be confined: {error}")))
    }

    #[cfg(target_os = "linux")]
    fn enforce(&self) -> std::result::Result<Confined, landlock::RulesetError> {
        use landlock::{
            ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
            Scope,
        };

        const NEWEST: ABI = ABI::V6;
        let ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()?
            .add_rules(rules(&self.list, AccessFs::ReadDir.into()))?
            .add_rules(rules(&self.read, AccessFs::from_read(NEWEST) & !AccessFs::Execute))?
            .add_rules(rules(&self.write, AccessFs::from_all(NEWEST) & !AccessFs::Execute))?;
        let status = ruleset.restrict_self()?;
        let has = match status.landlock {
            LandlockStatus::Available { effective_abi, .. } if status.ruleset != RulesetStatus::NotEnforced => {
                Some(effective_abi)
            }
            _ => None,
        };
        Ok(Confined {
            files: has >= Some(ABI::V1),
            network: has >= Some(ABI::V4),
            processes: has >= Some(ABI::V6),
        })
    }

    /// What [`confine`](Self::confine) would hold on this kernel. Nothing is given up.
    pub fn possible() -> Confined {
        // Confines the thread that asks, and that ends.
        let asked = std::thread::spawn(|| Self::new().confine());
        asked.join().ok().and_then(Result::ok).unwrap_or_default()
    }

    #[cfg(not(target_os = "linux"))]
    fn enforce(&self) -> std::result::Result<Confined, std::convert::Infallible> {
        Ok(Confined::default())
    }
}

#[cfg(target_os = "linux")]
fn rules(
    paths: &[PathBuf],
    access: landlock::BitFlags<landlock::AccessFs>,
) -> impl Iterator<Item = std::result::Result<landlock::PathBeneath<landlock::PathFd>, landlock::RulesetError>> {
    use landlock::{ABI, AccessFs, PathBeneath, PathFd};

    let there = paths.iter().filter_map(|path: &PathBuf| {
        let is_folder = Path::is_dir(path);
        Some((PathFd::new(path).ok()?, is_folder))
    });
    there.map(move |(file, is_folder)| {
        // Rights of folders mean nothing for a file, and the kernel refuses them.
        let access = match is_folder {
            true => access,
            false => access & AccessFs::from_file(ABI::V6),
        };
        Ok(PathBeneath::new(file, access))
    })
}

impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = [
            (self.files, "files"),
            (self.network, "network"),
            (self.processes, "processes"),
        ];
        let held: Vec<_> = held.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
        match held.as_slice() {
            [] => f.write_str("not confined: this kernel has no Landlock"),
            held => write!(f, "confined: {}", held.join(", ")),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, io, net::TcpListener, thread};

    use super::*;

    /// On a thread of its own: only that one is confined.
    fn confined<T: Send + 'static>(
        confinement: Confinement,
        then: impl FnOnce(Confined) -> T + Send + 'static,
    ) -> Option<T> {
        let done = thread::spawn(move || {
            let confined = confinement.confine().unwrap();
            (confined.files && confined.network).then(|| then(confined))
        });
        let done = done.join().unwrap();
        if done.is_none() {
            eprintln!("skipped: this kernel does not confine files and network");
        }
        done
    }

    fn is_denied<T>(result: &io::Result<T>) -> bool {
        matches!(result, Err(error) if error.kind() == io::ErrorKind::PermissionDenied)
    }

    #[test]
    fn who_is_confined_opens_what_was_named_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["ledger", "other", "listed"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("file"), "text").unwrap();
        }
        let kept = Confinement::new()
            .write(path("ledger"))
            .read(path("other").join("file"))
            .list(path("listed"))
            .read(path("missing"));
        let (ledger, other, listed, around) = (path("ledger"), path("other"), path("listed"), folder.path().to_owned());
        confined(kept, move |_| {
            fs::write(ledger.join("file"), "changed").unwrap();
            fs::write(ledger.join("new"), "text").unwrap();
            fs::rename(ledger.join("new"), ledger.join("newer")).unwrap();
            fs::remove_file(ledger.join("newer")).unwrap();
            fs::read(other.join("file")).unwrap();
            fs::read_dir(&listed).unwrap();

            assert!(is_denied(&fs::write(other.join("file"), "changed")));
            assert!(is_denied(&fs::read(listed.join("file"))));
            assert!(is_denied(&fs::read_dir(&around)));
            assert!(is_denied(&fs::write(around.join("file"), "text")));
            assert!(is_denied(&fs::read("/etc/passwd")));
            assert!(
                is_denied(&std::process::Command::new("/bin/true").status()),
                "no program is started"
            );
            assert!(is_denied(&TcpListener::bind("127.0.0.1:0")));
            // What it starts is confined too.
            let inner = thread::spawn(|| is_denied(&fs::read("/etc/passwd")));
            assert!(inner.join().unwrap());
        });
        // This thread is not.
        fs::read("/etc/passwd").unwrap();
    }
}
