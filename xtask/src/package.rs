//! `cargo xtask package`: what a release gives a registry, held to build from itself alone. Packs every crate, unpacks them in a folder
//! where nothing else is, and checks them there against each other. No registry is asked.

use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::{
    Result,
    cargo::{self, run_captured},
    tools::run,
};

/// How long the packing may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Bytes of the largest crate that a registry takes.
const CRATE_BYTES: u64 = 10 << 20;

/// What cargo adds to a package, and a readme, which all crates share.
const ADDED: [&str; 5] = [
    ".cargo_vcs_info.json",
    "Cargo.lock",
    "Cargo.toml",
    "Cargo.toml.orig",
    "README.md",
];

/// A crate that is published.
struct Crate {
    name: String,
    /// `quipu-log-0.1.0`, as its package is called.
    packed: String,
    /// Its folder in the checkout.
    folder: PathBuf,
    /// Whether it has features that are on by default.
    has_defaults: bool,
}

/// Packs, unpacks, checks.
pub(crate) fn run_all() -> Result<()> {
    let crates = crates()?;
    pack()?;
    let alone = folder_elsewhere()?;
    unpack(&crates, &alone)?;
    manifest(&crates, &alone)?;
    check(&crates, &alone)?;
    println!(
        "package: {} crates build from what is packed of them, in {}",
        crates.len(),
        alone.display()
    );
    Ok(())
}

/// The crates that are published, each with what a registry asks for.
fn crates() -> Result<Vec<Crate>> {
    let mut metadata = cargo::cargo();
    metadata.args(["metadata", "--no-deps", "--format-version=1", "--offline"]);
    let told = cargo::output(metadata).ok_or("cargo metadata fails")?;
    let told: Value = serde_json::from_str(&told)?;
    let mut crates = Vec::new();
    for package in told["packages"].as_array().ok_or("cargo metadata names no packages")? {
        // None is any registry; an empty list is none.
        if package["publish"].as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        let said = |key: &str| package[key].as_str().unwrap_or_default();
        let name = said("name");
        for key in ["description", "license", "readme", "rust_version"] {
            if said(key).is_empty() {
                return Err(format!("the manifest of {name} has no {key}").into());
            }
        }
        let manifest = Path::new(said("manifest_path"));
        crates.push(Crate {
            name: name.to_owned(),
            packed: format!("{name}-{}", said("version")),
            folder: manifest.parent().ok_or("a manifest is in a folder")?.to_owned(),
            has_defaults: !package["features"]["default"].is_null(),
        });
    }
    Ok(crates)
}

/// `cargo package` for all of them.
fn pack() -> Result<()> {
    // All else is offline, to show that the packages need nothing but each other and what is locked.
    let mut fetch = cargo::cargo();
    fetch.args(["fetch", "--locked"]);
    cargo::run(fetch)?;
    let mut package = cargo::cargo();
    package.args([
        "package",
        "--workspace",
        "--exclude",
        "xtask",
        "--no-verify",
        "--offline",
        "--target-dir",
        "target",
    ]);
    if is_dirty() {
        println!("package: with changes that are not committed");
        package.arg("--allow-dirty");
    }
    // What it warns of is known: links to a documentation that is not there yet, tests that are left out.
    let done = run_captured(package, LIMIT)?;
    match done.success {
        true => Ok(()),
        false => Err(format!("cargo package fails\n{}", done.said).into()),
    }
}

fn is_dirty() -> bool {
    let mut git = Command::new("git");
    git.current_dir(cargo::root()).args(["status", "--porcelain"]);
    cargo::output(git).is_none_or(|changed| !changed.is_empty())
}

/// A folder of this checkout's that is not below it, so that no path leads from a package into the checkout by chance. It is the same
/// each time: what has not changed is not built again.
fn folder_elsewhere() -> Result<PathBuf> {
    let name = cargo::root().to_string_lossy().replace('/', "-");
    let folder = env::temp_dir().join(format!("quipu-packages{name}"));
    if !folder.exists() {
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
    }
    // Others may write in a temporary folder, and what is in this one is executed.
    if folder.symlink_metadata()?.uid() != fs::metadata("/proc/self")?.uid() {
        return Err(format!("{} is somebody else's: remove it, or set TMPDIR", folder.display()).into());
    }
    Ok(folder)
}

fn unpack(crates: &[Crate], alone: &Path) -> Result<()> {
    let known = known_to_git();
    let before = alone.join("before");
    let now = alone.join("packages");
    // What a run left that was broken off.
    if before.exists() {
        fs::remove_dir_all(&before)?;
    }
    if now.exists() {
        fs::rename(&now, &before)?;
    }
    fs::create_dir(&now)?;
    for one in crates {
        let packed = cargo::root()
            .join("target/package")
            .join(&one.packed)
            .with_added_extension("crate");
        let bytes = fs::metadata(&packed)?.len();
        let mut tar = Command::new("tar");
        tar.arg("-xmzf").arg(&packed).arg("-C").arg(&now);
        run(tar)?;
        let mut list = Command::new("tar");
        list.arg("-tzf").arg(&packed);
        let files = cargo::output(list).ok_or("tar cannot list a package")?;
        for file in files.lines() {
            keep_time(&before.join(file), &now.join(file))?;
            let inside = file.strip_prefix(&format!("{}/", one.packed)).unwrap_or(file);
            let is_known = || {
                one.folder
                    .join(inside)
                    .canonicalize()
                    .is_ok_and(|path| known.contains(&path))
            };
            if !ADDED.contains(&inside) && !known.is_empty() && !is_known() {
                return Err(format!("{} packs {inside}, which git does not know", one.name).into());
            }
        }
        println!(
            "package: {}, {} files, {} KiB",
            one.packed,
            files.lines().count(),
            bytes.div_ceil(1024)
        );
        if bytes > CRATE_BYTES {
            return Err(format!("{} has {bytes} bytes; a registry takes {CRATE_BYTES}", one.packed).into());
        }
    }
    if before.exists() {
        fs::remove_dir_all(before)?;
    }
    Ok(())
}

/// All files that git knows; none where there is no git.
fn known_to_git() -> BTreeSet<PathBuf> {
    let mut git = Command::new("git");
    git.current_dir(cargo::root())
        .args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let files = cargo::output(git).unwrap_or_default();
    let known = files.lines().map(|file| cargo::root().join(file));
    known.filter_map(|path| path.canonicalize().ok()).collect()
}

/// Cargo builds again what is newer; a file that is as it was is not.
fn keep_time(before: &Path, now: &Path) -> Result<()> {
    let same = fs::read(before).is_ok_and(|content| fs::read(now).is_ok_and(|now| now == content));
    if same {
        File::options()
            .append(true)
            .open(now)?
            .set_modified(fs::metadata(before)?.modified()?)?;
    }
    Ok(())
}

/// A workspace of the packages, in which they stand for those of a registry.
fn manifest(crates: &[Crate], alone: &Path) -> Result<()> {
    let mut text = "[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n\n[patch.crates-io]\n".to_owned();
    for one in crates {
        text += &format!("{} = {{ path = \"{}\" }}\n", one.name, one.packed);
    }
    // As the product's, so that what was checked of its dependencies need not be again.
    text += &profiles(&fs::read_to_string(cargo::root().join("Cargo.toml"))?);
    fs::write(alone.join("packages/Cargo.toml"), text)?;
    fs::copy(cargo::root().join("Cargo.lock"), alone.join("packages/Cargo.lock"))?;
    Ok(())
}

/// The profiles of a manifest.
fn profiles(manifest: &str) -> String {
    let mut inside = false;
    let of_profile = |line: &&str| {
        if line.starts_with('[') {
            inside = line.starts_with("[profile.");
        }
        inside
    };
    manifest
        .lines()
        .filter(of_profile)
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// Checks them, with the features that people use.
fn check(crates: &[Crate], alone: &Path) -> Result<()> {
    let packages = alone.join("packages");
    let check = |what: &str, arguments: &[&str]| {
        println!("package: cargo check {what}");
        let mut check = cargo::cargo();
        check
            .current_dir(&packages)
            .args(["check", "--quiet", "--offline", "--target-dir"])
            .arg(cargo::root().join("target"))
            .args(arguments);
        cargo::run(check)
    };
    check("--workspace", &["--workspace"])?;
    check("--workspace --all-features", &["--workspace", "--all-features"])?;
    for one in crates.iter().filter(|one| one.has_defaults) {
        let what = format!("-p {} --no-default-features", one.name);
        check(&what, &["-p", &one.name, "--no-default-features"])?;
    }
    // Nothing may have come in that the checkout's lock file has not.
    let locked = |path: PathBuf| -> Result<BTreeSet<String>> {
        let text = fs::read_to_string(path)?;
        let packages = text.split("[[package]]").skip(1);
        Ok(packages.map(|package| package.lines().take(3).collect()).collect())
    };
    let ours = locked(cargo::root().join("Cargo.lock"))?;
    let others: Vec<_> = locked(packages.join("Cargo.lock"))?
        .difference(&ours)
        .cloned()
        .collect();
    match others.is_empty() {
        true => Ok(()),
        false => Err(format!("the packages take what Cargo.lock has not: {}", others.join(", ")).into()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn profiles_are_taken_out_of_a_manifest_whole() {
        let manifest = "[package]\nname = \"a\"\n[profile.dev]\nopt-level = 1\n[lints]\nworkspace = true\n[profile.dev.package.b]\nopt-level = 3\n";
        assert_eq!(
            super::profiles(manifest),
            "[profile.dev]\nopt-level = 1\n[profile.dev.package.b]\nopt-level = 3\n"
        );
    }
}
