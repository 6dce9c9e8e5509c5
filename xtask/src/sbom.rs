//! `cargo xtask sbom [--out FILE]`: what a release consists of, as CycloneDX 1.6: every package that is linked into the
//! command (an optional one of ours too that only the tests take in), with version, licence, checksum and what depends on what. Made of `cargo metadata` and `Cargo.lock` alone, so the
//! same sources give the same bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use serde_json::{Value, json};

use crate::{Result, cargo};

/// The package that is released.
const ROOT: &str = "quipu";
/// What it is released for.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let out = match arguments {
        [] => None,
        [option, file] if option == "--out" => Some(file),
        _ => return Err("sbom takes no argument but --out FILE".into()),
    };
    let text = serde_json::to_string_pretty(&bill()?)? + "\n";
    match out {
        Some(file) => fs::write(file, text).map_err(|e| format!("{file}: {e}").into()),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

fn bill() -> Result<Value> {
    let mut metadata = cargo::cargo();
    metadata.args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        PLATFORM,
    ]);
    let metadata: Value = serde_json::from_str(&output(metadata)?)?;
    let checksums = checksums(&fs::read_to_string(cargo::root().join("Cargo.lock"))?);
    let list = |of: &Value, name: &str| of[name].as_array().cloned().unwrap_or_default();

    let packages: BTreeMap<String, Value> = list(&metadata, "packages")
        .into_iter()
        .map(|package| (text(&package["id"]), package))
        .collect();
    let needs: BTreeMap<String, Vec<String>> = list(&metadata["resolve"], "nodes")
        .into_iter()
        .map(|node| (text(&node["id"]), needed(&list(&node, "deps"))))
        .collect();
    let root = packages
        .iter()
        .find(|(_, package)| package["name"] == ROOT && package["source"].is_null())
        .map(|(id, _)| id.clone())
        .ok_or("the workspace has no package quipu")?;

    let mut reached = BTreeSet::new();
    let mut left = vec![root.clone()];
    while let Some(id) = left.pop() {
        if reached.insert(id.clone()) {
            left.extend(needs.get(&id).into_iter().flatten().cloned());
        }
    }
    let reference = |id: &String| packages.get(id).map(purl).unwrap_or_default();
    let components: Vec<_> = reached
        .iter()
        .filter(|id| **id != root)
        .filter_map(|id| Some(component(packages.get(id)?, &checksums)))
        .collect();
    let dependencies: Vec<_> = reached
        .iter()
        .map(|id| {
            let on: BTreeSet<_> = needs.get(id).into_iter().flatten().map(reference).collect();
            json!({ "ref": reference(id), "dependsOn": on })
        })
        .collect();
    let main = packages.get(&root).map(|package| component(package, &checksums));
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": main.map(|mut main| { main["type"] = "application".into(); main }) },
        "components": components,
        "dependencies": dependencies,
    }))
}

/// Ids of what a package is linked with: not what only tests or build scripts need.
fn needed(dependencies: &[Value]) -> Vec<String> {
    let is_compiled = |dependency: &&Value| {
        let kinds = dependency["dep_kinds"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
    };
    let needed = dependencies.iter().filter(is_compiled);
    needed.map(|dependency| text(&dependency["pkg"])).collect()
}

fn component(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Value {
    let (name, version) = (text(&package["name"]), text(&package["version"]));
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": name,
        "version": version,
        "purl": purl(package),
    });
    if let Some(licence) = package["license"].as_str() {
        // Before SPDX expressions, cargo had a slash for "or".
        let expression = licence.replace('/', " OR ").replace("  OR  ", " OR ");
        component["licenses"] = json!([{ "expression": expression }]);
    }
    if let Some(checksum) = checksums.get(&(name, version)) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

fn purl(package: &Value) -> String {
    format!("pkg:cargo/{}@{}", text(&package["name"]), text(&package["version"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// SHA-256 of each package from a registry, by name and version, as the lock file has it.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |package: &str, name: &str| {
        let line = package
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").skip(1);
    packages
        .filter_map(|package| {
            Some((
                (value(package, "name")?, value(package, "version")?),
                value(package, "checksum")?,
            ))
        })
        .collect()
}

fn output(mut command: Command) -> Result<String> {
    let done = command.output().map_err(|e| format!("cargo does not start: {e}"))?;
    match done.status.success() {
        true => Ok(String::from_utf8(done.stdout)?),
        false => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_names_what_is_compiled_in_and_nothing_that_only_tests_need() {
        let bill = bill().unwrap();
        let components = bill["components"].as_array().unwrap();
        let named = |name: &str| components.iter().find(|component| component["name"] == name);
        for name in ["quipu-log", "wasmtime", "cap-std", "ed25519-dalek"] {
            assert!(named(name).is_some(), "{name}");
        }
        for name in ["proptest", "wasm-mutate", "jsonschema", "wit-bindgen-c"] {
            assert!(named(name).is_none(), "{name} is for tests or build scripts");
        }
        let references: BTreeSet<_> = components
            .iter()
            .map(|component| component["bom-ref"].to_string())
            .collect();
        assert_eq!(references.len(), components.len(), "each is there once");
        for component in components {
            let is_ours = component["name"].as_str().unwrap().starts_with("quipu");
            assert!(component["licenses"][0]["expression"].is_string(), "{component}");
            assert_eq!(component["hashes"].is_array(), !is_ours, "{component}");
        }
        for dependency in bill["dependencies"].as_array().unwrap() {
            for on in dependency["dependsOn"].as_array().unwrap() {
                assert!(references.contains(&on.to_string()), "{on}");
            }
        }
        assert_eq!(bill, super::bill().unwrap(), "the same every time");
    }
}
