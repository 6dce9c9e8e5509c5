//! Bindings of the interface for C: made of wit/, and kept in the repository, so that whoever builds an agent needs a compiler only.

use std::{env, fs};

use wit_bindgen_core::{Files, wit_parser::Resolve};

use crate::{Result, cargo};

const FOLDER: &str = "examples/agents/c/bindings";

/// Writes them where they are not what wit/ says; where nobody would commit that, it is an error.
pub(crate) fn renew() -> Result<()> {
    for (name, content) in generated()?.iter() {
        let path = cargo::root().join(FOLDER).join(name);
        if fs::read(&path).is_ok_and(|there| there == content) {
            continue;
        }
        if env::var_os("CI").is_some() {
            return Err(
                format!("{FOLDER}/{name} is not what wit/ says: run `cargo xtask guests`, and commit it").into(),
            );
        }
        eprintln!("guests: {FOLDER}/{name} is written anew");
        fs::create_dir_all(cargo::root().join(FOLDER))?;
        fs::write(path, content)?;
    }
    Ok(())
}

fn generated() -> Result<Files> {
    let mut resolve = Resolve::default();
    let plain = |error| format!("{error:#}");
    let (package, _) = resolve.push_path(cargo::root().join("wit")).map_err(plain)?;
    let world = resolve.select_world(&[package], Some("agent")).map_err(plain)?;
    let mut files = Files::default();
    let mut generator = wit_bindgen_c::Opts::default().build();
    generator.generate(&mut resolve, world, &mut files).map_err(plain)?;
    Ok(files)
}
