//! What is printed for programs, against schemas: our own of the JSON, which is in `audit/schemas/`, and the official one of
//! SARIF 2.1.0, which the package `serde-sarif` carries.

use std::{env, fs, path::Path, process::Command};

use jsonschema::Validator;
use quipu_audit::{Audit, Authority, Change, Policy, Report, Rule, World};
use serde_json::{Value, json};

fn ours() -> Value {
    serde_json::from_str(include_str!("../schemas/audit.schema.json")).unwrap()
}

/// The OASIS schema. Its package is named in Cargo.toml and never compiled.
fn official() -> Value {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = [
        "metadata",
        "--format-version",
        "1",
        "--manifest-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ];
    let told = Command::new(cargo).args(args).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let metadata: Value = serde_json::from_slice(&told.stdout).unwrap();
    let mut packages = metadata["packages"].as_array().unwrap().iter();
    let package = packages.find(|package| package["name"] == "serde-sarif").unwrap();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    let schema = fs::read_to_string(manifest.with_file_name("src/schema.json")).unwrap();
    // Its pattern of languages, which we do not print, has a bracket too many, which some engines take as it is.
    let mended = schema.replace("{2}]?$", r"{2}\\]?$");
    assert_ne!(mended, schema);
    serde_json::from_str(&mended).unwrap()
}

fn audit(text: &str) -> Audit {
    Audit::of(&wat::parse_str(text).unwrap()).unwrap()
}

/// Components that have, together, all that a report can tell of one.
fn audits() -> Vec<(String, Audit)> {
    let mut audits: Vec<_> = [
        "(component)",
        r#"(component
            (import "wasi:filesystem/types@0.2.6" (instance (export "stat" (func))))
            (import "exec" (func)) (import "inner" (component)) (import "code" (core module)))"#,
        r#"(component
            (core module (memory 1 3) (table 4 5 funcref) (func $f) (start $f))
            (component (import "a:b/c" (instance)) (core module (memory i64 1))))"#,
        r#"(component (core func (canon task.cancel)))"#,
    ]
    .iter()
    .enumerate()
    .map(|(n, text)| (format!("{n} \u{e4}.wasm"), audit(text)))
    .collect();
    // And those that toolchains made, where they are built.
    let guests = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests"));
    for entry in guests.into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            audits.push((name, Audit::of(&fs::read(&path).unwrap()).unwrap()));
        }
    }
    audits
}

/// Has `check` look at reports of every sort.
fn each_report(mut check: impl FnMut(Report<'_>)) {
    let policy = Policy::parse("worlds = [\"observer\"]\ndigests = []\nmax_bytes = 1\n").unwrap();
    let audits = audits();
    let (_, old) = &audits[0];
    for (name, audit) in &audits {
        let (breaches, change) = (policy.breaches(audit), Change::between(old, audit));
        for (breaches, change) in [(&[][..], None), (&breaches[..], Some(("old.wasm", &change)))] {
            check(Report {
                name,
                audit,
                breaches,
                change,
            });
        }
    }
}

#[track_caller]
fn holds(validator: &Validator, value: &Value) {
    let wrong: Vec<_> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{value:#}");
}

#[test]
fn the_json_is_as_its_schema_says() {
    let validator = jsonschema::validator_for(&ours()).unwrap();
    let mut seen = 0;
    each_report(|report| {
        holds(&validator, &report.json());
        seen += 1;
    });
    assert!(seen >= 8);
    // A schema that lets everything pass would say nothing.
    let report = audit("(component)");
    let report = Report {
        name: "a.wasm",
        audit: &report,
        breaches: &[],
        change: None,
    };
    for (pointer, wrong) in [
        ("/sha256", json!("0A")),
        ("/good", json!("yes")),
        ("/authorities", json!(["magic"])),
        ("/audit/worlds", json!(["world"])),
        ("/audit/findings/0/rule", json!("rule")),
        ("/audit/anatomy/bytes", json!(-1)),
        ("/comparedWith", json!({"name": "old.wasm"})),
    ] {
        let mut changed = report.json();
        *changed.pointer_mut(pointer).unwrap() = wrong;
        assert!(!validator.is_valid(&changed), "{pointer}");
    }
    let mut more = report.json();
    more["audit"]["more"] = json!(1);
    assert!(!validator.is_valid(&more));
}

#[test]
fn the_schema_knows_every_word() {
    let schema = ours();
    let words = |pointer: &str| schema.pointer(pointer).unwrap().as_array().unwrap().clone();
    let rules = words("/$defs/finding/properties/rule/enum");
    for rule in Rule::ALL {
        assert!(rules.contains(&json!(rule)), "{}", rule.id());
    }
    assert_eq!(words("/$defs/authority/enum"), Authority::ALL.map(|each| json!(each)));
    assert_eq!(words("/$defs/world/enum"), World::ALL.map(|each| json!(each)));
}

#[test]
fn sarif_is_as_the_official_schema_says() {
    let schema = official();
    assert!(
        schema["title"].as_str().unwrap().contains("(SARIF) Version 2.1.0"),
        "{}",
        schema["title"]
    );
    let validator = jsonschema::validator_for(&schema).unwrap();
    each_report(|report| holds(&validator, &report.sarif()));
    let mut sarif = None;
    each_report(|report| sarif = Some(report.sarif()));
    for (pointer, wrong) in [
        ("/version", json!("2.0.0")),
        ("/runs/0/tool/driver/name", json!(3)),
        ("/runs/0/results/0/level", json!("violation")),
        ("/runs/0/results/0/message", json!({})),
    ] {
        let mut changed = sarif.clone().unwrap();
        *changed.pointer_mut(pointer).unwrap() = wrong;
        assert!(!validator.is_valid(&changed), "{pointer}");
    }
}
