//! `cargo xtask guests`: every guest as a component in `target/guests`.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use wit_component::ComponentEncoder;

use crate::{Result, c_bindings, cargo, languages, wasm::Toolchain};

/// Manifest of the agent of the demo.
pub(crate) const AGENT: &str = "examples/agents/support/Cargo.toml";

/// Manifests of what is built, with the arguments that choose its targets.
const PACKAGES: [(&str, &str); 5] = [
    (AGENT, "--lib"),
    ("examples/agents/rust/Cargo.toml", "--lib"),
    ("examples/projections/decisions/Cargo.toml", "--lib"),
    ("examples/compactors/latest/Cargo.toml", "--lib"),
    ("tests/guests/Cargo.toml", "--examples"),
];

/// Where cargo builds them.
pub(crate) const BUILD: &str = "target/guests-build";

/// Builds all guests and returns their components by name. Does nothing for what has not changed.
pub(crate) fn build() -> Result<BTreeMap<String, PathBuf>> {
    c_bindings::write(
        &cargo::root().join("wit"),
        &cargo::root().join("examples/agents/c/bindings"),
    )?;
    build_all_or_rust(true)
}

/// Those in Rust alone, for whoever needs no other and should not wait for their tools.
pub(crate) fn build_rust() -> Result<()> {
    build_all_or_rust(false).map(drop)
}

fn build_all_or_rust(all: bool) -> Result<BTreeMap<String, PathBuf>> {
    let toolchain = Toolchain::find_or_install()?;
    let folder = cargo::root().join("target/guests");
    fs::create_dir_all(&folder)?;

    // The first build takes minutes, so cargo shows how far it is; later ones are silent.
    let first = !cargo::root().join(BUILD).exists();

    let mut components = BTreeMap::new();
    let mut encoded = 0;
    for (manifest, targets) in PACKAGES {
        let mut build = toolchain.cargo_build();
        build.args(["--release", "--manifest-path", manifest, targets, "--target-dir", BUILD]);
        if !first {
            build.arg("--quiet");
        }
        if env::var_os("CI").is_some() {
            build.arg("--locked");
        }
        for core in cargo::artifacts(build)? {
            // A library's name has underscores where its package's has hyphens.
            let name = core.name.replace('_', "-");
            let component = folder.join(&name).with_extension("wasm");
            if is_older(&component, &core.path)? {
                encode(&core.path, &component).map_err(|e| format!("guest {name}: {e}"))?;
                encoded += 1;
            }
            components.insert(name, component);
        }
    }
    if all {
        encoded += languages::build(&folder, &mut components)?;
        remove_others(&folder, &components)?;
    }
    let count = components.len();
    eprintln!(
        "guests: {count} in target/guests, {encoded} of them new ({})",
        toolchain.name()
    );
    Ok(components)
}

/// Whether the component is missing, or older than the module or than the encoder, which is part of this program.
fn is_older(component: &Path, core: &Path) -> Result<bool> {
    let modified = |path: &Path| -> Result<SystemTime> {
        Ok(fs::metadata(path)
            .and_then(|file| file.modified())
            .map_err(|e| format!("{}: {e}", path.display()))?)
    };
    let encoder = modified(&env::current_exe()?)?;
    Ok(match modified(component) {
        Ok(component) => component < modified(core)? || component < encoder,
        Err(_) => true,
    })
}

/// Makes a component of a core module with a component-type section.
fn encode(core: &Path, component: &Path) -> Result<()> {
    keep(&fs::read(core)?, component)
}

/// Writes a component, or what a core module with a component-type section becomes. The file appears whole: a test may be
/// reading the one before it.
pub(crate) fn keep(wasm: &[u8], component: &Path) -> Result<()> {
    const CORE: &[u8] = b"\0asm\x01\0\0\0";
    let new = component.with_extension("new");
    if wasm.starts_with(CORE) {
        // `{:#}` prints the causes too.
        let encode = || ComponentEncoder::default().validate(true).module(wasm)?.encode();
        fs::write(&new, encode().map_err(|e| format!("{e:#}"))?)?;
    } else {
        fs::write(&new, wasm)?;
    }
    fs::rename(new, component)?;
    Ok(())
}

/// Removes components whose guest is gone, so that no test goes on passing with one.
fn remove_others(folder: &Path, components: &BTreeMap<String, PathBuf>) -> Result<()> {
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if !components.values().any(|component| *component == path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
