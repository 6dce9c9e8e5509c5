//! Bindings of the interface for C, made of wit/. A part of the build script and of xtask; the command has what it made.

use std::{fs, path::Path};

use wit_bindgen_core::{Files, wit_parser::Resolve};

/// Writes them into a folder, where they are not there already.
pub(crate) fn write(wit: &Path, folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for (name, content) in made(wit)?.iter() {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|there| there == content) {
            continue;
        }
        fs::write(&path, content).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

fn made(wit: &Path) -> Result<Files, String> {
    let mut resolve = Resolve::default();
    let plain = |error| format!("{error:#}");
    let (package, _) = resolve.push_path(wit).map_err(plain)?;
    let world = resolve.select_world(&[package], Some("agent")).map_err(plain)?;
    let mut files = Files::default();
    let mut generator = wit_bindgen_c::Opts::default().build();
    generator.generate(&mut resolve, world, &mut files).map_err(plain)?;
    Ok(files)
}
