//! What the tests need of the machine: file systems of their own, a C compiler. Where it is not there, a test is
//! skipped and says so.

use std::{
    env,
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use tempfile::TempDir;

use crate::driver::{has, root, run};

/// Says that the rest of a test is skipped, and why.
pub(crate) fn skip(why: &str, untested: &str) {
    eprintln!("skipped, {why}: {untested}");
}

/// Whether this test may mount file systems. If not it is run once more, to the same end, as the root of a user namespace
/// of its own, where the machine allows that; then, too, the answer is no.
pub(crate) fn may_mount(test: &str, untested: &str) -> bool {
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        return true;
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.arg("-rm");
        command
    };
    let allowed = unshare()
        .arg("true")
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if allowed {
        run(unshare()
            .arg(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"]))
        .good();
    } else {
        skip("this user may not mount, nor in a user namespace", untested);
    }
    false
}

/// A folder in memory where there is one: for tests that do not depend on the disk, and would wait for it.
pub(crate) fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if tempfile::tempfile_in(&memory).is_ok() {
        memory
    } else {
        env::temp_dir()
    }
}

/// A file system for one test, which goes when it is dropped.
pub(crate) struct Mount {
    at: TempDir,
    image: Option<PathBuf>,
    mounted: bool,
}

impl Mount {
    /// A file system in memory.
    pub(crate) fn tmpfs(mebibytes: u64) -> Result<Self, String> {
        Self::new(None, &["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "none"])
    }

    /// An ext4 on a loop device whose file is in that folder, and as large as it says whether there is room or not.
    pub(crate) fn ext4(mebibytes: u64, within: &Path) -> Result<Self, String> {
        Self::ext4_with(&[], mebibytes, within)
    }

    /// The same, made with these options of `mkfs.ext4`.
    pub(crate) fn ext4_with(options: &[&str], mebibytes: u64, within: &Path) -> Result<Self, String> {
        let image = within.join("disk");
        File::create(&image)
            .and_then(|file| file.set_len(mebibytes << 20))
            .map_err(|e| e.to_string())?;
        // No blocks are kept for root, whom these tests run as.
        succeed(
            Command::new("mkfs.ext4")
                .args(["-q", "-F", "-m", "0"])
                .args(options)
                .arg(&image),
        )?;
        let path = image.display().to_string();
        Self::new(Some(image), &["-o", "loop", &path])
    }

    fn new(image: Option<PathBuf>, how: &[&str]) -> Result<Self, String> {
        let at = tempfile::tempdir().map_err(|e| e.to_string())?;
        succeed(Command::new("mount").args(how).arg(at.path()))?;
        Ok(Self {
            at,
            image,
            mounted: true,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.at.path()
    }

    /// The file of the loop device.
    pub(crate) fn image(&self) -> &Path {
        self.image.as_ref().unwrap()
    }

    /// Gives a file system in memory another size.
    pub(crate) fn resize(&self, mebibytes: u64) {
        let size = format!("remount,size={mebibytes}m");
        succeed(Command::new("mount").args(["-o", &size]).arg(self.path())).unwrap();
    }

    pub(crate) fn unmount(&mut self) {
        succeed(Command::new("umount").arg(self.path())).unwrap();
        self.mounted = false;
    }

    /// Mounts the loop device again, which replays its journal.
    pub(crate) fn mount(&mut self) {
        let image = self.image.as_ref().unwrap();
        succeed(Command::new("mount").args(["-o", "loop"]).arg(image).arg(self.path())).unwrap();
        self.mounted = true;
    }

    /// Takes away what the loop device's file holds of a file on it, from a byte of that file on to its end, in whole blocks:
    /// the next write there needs new room below.
    pub(crate) fn punch(&self, file: &Path, from: u64) -> Result<(), String> {
        succeed(Command::new("sync").arg("-f").arg(file))?;
        let map = run(Command::new("filefrag").args(["-b1024", "-v"]).arg(file))
            .good()
            .out;
        for line in map.lines() {
            // `ext: logical..logical: physical..physical: length: flags`, in blocks of 1,024 bytes.
            let numbers: Vec<u64> = line
                .split([':', '.', ' '])
                .filter_map(|word| word.parse().ok())
                .collect();
            let [_, logical, _, physical, _, length, ..] = numbers[..] else {
                continue;
            };
            let skipped = from.div_ceil(4096) * 4;
            let skip = skipped.saturating_sub(logical).min(length);
            if skip < length {
                let (offset, length) = ((physical + skip) << 10, (length - skip) << 10);
                let mut punch = Command::new("fallocate");
                punch.args([
                    "--punch-hole",
                    "--offset",
                    &offset.to_string(),
                    "--length",
                    &length.to_string(),
                ]);
                succeed(punch.arg(self.image.as_ref().unwrap()))?;
            }
        }
        Ok(())
    }

    /// Repairs the file system while it is not mounted, and says whether there was anything to repair.
    pub(crate) fn repair(&self) -> bool {
        let mut check = Command::new("e2fsck");
        let ran = run(check.args(["-f", "-y"]).arg(self.image.as_ref().unwrap()));
        assert!((0..=2).contains(&ran.code), "e2fsck: {}{}", ran.out, ran.err);
        ran.code != 0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            // At once for new users, and for good when the last has gone.
            let _ = Command::new("umount").arg("-l").arg(self.path()).status();
        }
    }
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// Uses up what room there is below a folder, in a file of that name.
pub(crate) fn fill_up(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let file = File::create(&path).unwrap();
    // Large pieces first, for speed, then what is left.
    for bytes in [1 << 20, 4 << 10, 1] {
        while std::io::Write::write_all(&mut &file, &vec![0; bytes]).is_ok() {}
    }
    // Where the file system allocates late, that was a promise only.
    let _ = file.sync_all();
    path
}

/// Compiles a C file of this folder, once. None: there is no compiler, and a line says what is not tested.
pub(crate) fn compiled(source: &str, flags: &[&str], untested: &str) -> Option<PathBuf> {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    if !has("cc", untested) {
        return None;
    }
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().unwrap());
    let program = folder.path().join(source).with_extension("");
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-Werror", "-o"])
        .arg(&program)
        .arg(root().join("tests/faults").join(source))
        .args(flags);
    run(&mut cc).good();
    Some(program)
}
