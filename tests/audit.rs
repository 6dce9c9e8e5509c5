//! `quipu audit`, on components that toolchains made.

mod driver;

use std::{fs, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use driver::{guest, quipu, run};
use quipu_format::Signer;
use serde_json::Value;
use tempfile::tempdir;

/// What the test guests can do: the verdict's first line, and the exit code.
const APPENDS: &str = "Can read the scopes that it is handed and append. \
                       Cannot change, delete, hide or reorder anything. No clock, network, files, randomness.";

#[test]
fn the_first_line_says_what_an_agent_can_do_and_what_it_cannot() {
    let told = run(quipu().arg("audit").arg(guest("echo"))).good();
    assert_eq!(told.out.lines().next(), Some(APPENDS));
    assert_eq!(told.out.lines().nth(1), Some("echo.wasm: conforms to world agent"));
    assert!(told.err.is_empty(), "{}", told.err);
    for (name, first, world) in [
        (
            "observer",
            "Can read the scopes that it is handed and recall from them. Cannot append,",
            "observer",
        ),
        (
            "projector",
            "Can derive a state from the events that it is handed.",
            "projection",
        ),
        (
            "compactor",
            "Can read the scopes that it is handed and propose summaries.",
            "compactor",
        ),
    ] {
        let told = run(quipu().arg("audit").arg(guest(name))).good().out;
        assert!(told.starts_with(first), "{told}");
        assert!(told.contains(&format!("conforms to world {world}\n")), "{told}");
    }
}

/// A guest without a line here fails: what each can do was looked at.
#[test]
fn each_test_guest_gets_the_verdict_that_it_should() {
    let mut seen = 0;
    for entry in fs::read_dir(guest("echo").parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let ran = run(quipu().arg("audit").arg(&path).arg("--json"));
        let (code, said) = match name.as_str() {
            "admin" => (
                1,
                "Does not conform: it wants more than memory: unknown (quipu:memory/admin@0.1.0).",
            ),
            // It uses no function of `read`, though the handles are of its types.
            "smuggler" => (0, "Can append. Cannot change"),
            // A projection that would append.
            "meddler" => (
                1,
                "Does not conform: it does not fit world projection: that world does not offer `quipu:memory/",
            ),
            "observer" => (0, "Can read"),
            "projector" | "decisions" => (0, "Can derive"),
            "compactor" | "latest" => (0, "Can read the scopes that it is handed and propose"),
            _ => (0, "Can "),
        };
        let verdict = ran.exits(code).json();
        assert!(
            verdict["verdict"].as_str().unwrap().starts_with(said),
            "{name}: {}",
            verdict["verdict"]
        );
        assert_eq!(verdict["good"], code == 0, "{name}");
        seen += 1;
    }
    assert!(seen > 10);
}

#[test]
fn a_wider_component_is_told_and_exits_with_1() {
    let wider = run(quipu()
        .arg("audit")
        .arg(guest("echo"))
        .arg("--diff")
        .arg(guest("observer")))
    .exits(1);
    assert!(
        wider.out.contains("wider: quipu:memory/append#append (appends)"),
        "{}",
        wider.out
    );
    assert!(wider.out.contains("narrower: quipu:memory/recall"), "{}", wider.out);
    let same = run(quipu().arg("audit").arg(guest("echo")).arg("--diff").arg(guest("echo"))).good();
    assert!(same.out.contains("the same bytes"), "{}", same.out);
}

#[test]
fn a_policy_is_kept_or_broken() {
    let folder = tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    let held = |text: &str| {
        fs::write(&policy, text).unwrap();
        run(quipu().arg("audit").arg(guest("echo")).arg("--policy").arg(&policy))
    };
    held("worlds = [\"agent\"]\n").good();
    let broken = held("worlds = [\"observer\"]\n").exits(1);
    assert!(
        broken.out.contains("violation [policy] the policy wants another world"),
        "{}",
        broken.out
    );
    let misspelt = held("world = \"agent\"\n").exits(2);
    assert!(
        misspelt.err.contains("policy.toml") && misspelt.err.contains("world"),
        "{}",
        misspelt.err
    );
}

#[test]
fn what_cannot_be_read_exits_with_2() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("a.wasm");
    for bytes in [&b""[..], b"#!/bin/sh\n", b"\0asm\x0d\0\x01\0\xff\xff"] {
        fs::write(&file, bytes).unwrap();
        let ran = run(quipu().arg("audit").arg(&file)).exits(2);
        assert!(ran.out.is_empty() && ran.err.contains("a.wasm"), "{}", ran.err);
    }
    run(quipu().arg("audit").arg(folder.path().join("none.wasm"))).exits(2);
    run(quipu().arg("audit")).exits(2);
    // What would print the type alone would sign and check nothing.
    for more in [
        ["--check-attestation", "f", "--vkey", "k"].as_slice(),
        &["--attest", "--key", "f"],
    ] {
        run(quipu().arg("audit").arg(guest("echo")).arg("--wit").args(more)).exits(2);
    }
}

/// Every string that SARIF 2.1.0 wants, where it wants it (sections 3.13 to 3.49): a host that shows results refuses a log
/// without them.
#[test]
fn sarif_has_what_its_readers_need() {
    let ran = run(quipu().arg("audit").arg(guest("admin")).args(["--format", "sarif"])).exits(1);
    let sarif: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let known: Vec<_> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(run["tool"]["driver"]["name"], "quipu audit");
    assert!(
        rules
            .iter()
            .all(|rule| rule["shortDescription"]["text"].as_str().unwrap().ends_with('.'))
    );
    let results = run["results"].as_array().unwrap();
    assert!(
        results
            .iter()
            .any(|result| result["ruleId"] == "foreign-import" && result["level"] == "error")
    );
    for result in results {
        assert!(known.contains(&result["ruleId"].as_str().unwrap()));
        assert!(["error", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        assert_eq!(
            result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            "admin.wasm"
        );
    }
}

#[test]
fn the_page_needs_nothing_besides_itself_and_markdown_is_a_table() {
    let page = run(quipu().arg("audit").arg(guest("echo")).args(["--format", "html"]))
        .good()
        .out;
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for outside in ["<script", "<link", "<img", "http://", "https://", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains(APPENDS));
    let markdown = run(quipu().arg("audit").arg(guest("echo")).args(["--format", "markdown"]))
        .good()
        .out;
    assert!(
        markdown.starts_with("## `echo.wasm` conforms to world agent\n"),
        "{markdown}"
    );
    assert!(
        markdown.contains("| `quipu:memory/append@0.1.0` | appends |"),
        "{markdown}"
    );
}

#[test]
fn the_type_is_printed_in_wit() {
    let of = run(quipu().arg("audit").arg(guest("observer")).arg("--wit")).good().out;
    assert!(
        of.contains("import quipu:memory/read@0.1.0;") && !of.contains("append:"),
        "{of}"
    );
    let ours = run(quipu().args(["audit", "--wit"])).good().out;
    assert!(
        ours.contains("package quipu:memory@0.1.0;") && ours.contains("world agent {"),
        "{ours}"
    );
}

#[test]
fn an_attestation_holds_for_what_was_signed_and_for_nothing_else() {
    let folder = tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let kim = Signer::new("operator:kim", [9; 32]).unwrap();
    let lee = Signer::new("operator:lee", [8; 32]).unwrap();
    fs::write(file("kim.key"), kim.to_text().as_bytes()).unwrap();
    fs::write(file("policy.toml"), "worlds = [\"agent\"]\n").unwrap();
    let attest = |guest: PathBuf| {
        let mut command = quipu();
        command
            .arg("audit")
            .arg(guest)
            .arg("--attest")
            .arg("--key")
            .arg(file("kim.key"));
        command.arg("--policy").arg(file("policy.toml"));
        run(&mut command)
    };
    let signed = attest(guest("echo")).good().out;
    assert_eq!(
        signed,
        attest(guest("echo")).good().out,
        "it holds no time and no random number"
    );
    fs::write(file("signed"), &signed).unwrap();
    let check = |guest: PathBuf, policy: &str, key: &Signer, attestation: &str| {
        fs::write(file("held"), policy).unwrap();
        let mut command = quipu();
        command.arg("audit").arg(guest).arg("--policy").arg(file("held"));
        command.arg("--check-attestation").arg(file(attestation));
        run(command.arg("--vkey").arg(key.verifier_key().to_string()))
    };
    let policy = "worlds = [\"agent\"]\n";
    check(guest("echo"), policy, &kim, "signed").good();
    for (guest_name, policy, key, why) in [
        ("forger", policy, &kim, "another component"),
        ("echo", "max_bytes = 1000000\n", &kim, "another policy"),
        ("echo", policy, &lee, "not signed by operator:lee"),
    ] {
        let ran = check(guest(guest_name), policy, key, "signed").exits(1);
        assert!(ran.out.is_empty() && ran.err.contains(why), "{}", ran.err);
    }
    // Another verdict under the same signature.
    let mut envelope: Value = serde_json::from_str(&signed).unwrap();
    let payload = BASE64_STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let payload = String::from_utf8(payload)
        .unwrap()
        .replace("Cannot change", "Can change");
    envelope["payload"] = BASE64_STANDARD.encode(payload).into();
    for (name, text) in [
        ("changed", envelope.to_string()),
        ("none", "{}".into()),
        ("noise", "\u{1b}[2J".into()),
    ] {
        fs::write(file(name), text).unwrap();
        let ran = check(guest("echo"), policy, &kim, name).exits(1);
        assert!(!ran.err.contains('\u{1b}'), "{}", ran.err);
    }
    // What does not conform is attested as that, and exits with 1.
    let ran = attest(guest("admin")).exits(1);
    fs::write(file("admin"), &ran.out).unwrap();
    check(guest("admin"), policy, &kim, "admin").exits(1);
    let other = check(guest("echo"), policy, &kim, "admin").exits(1);
    assert!(other.err.contains("another component"), "{}", other.err);
}
