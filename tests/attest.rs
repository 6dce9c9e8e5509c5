//! Attestations by the ledger's key, checked as docs/FORMAT.md says with tools that are not ours.

mod driver;

use std::{fs, process::Command};

use driver::{Ledger, Ran, guest, has, root, run};

fn verifier_key(ledger: &Ledger) -> String {
    let stats = ledger.run(["stats", "--json"]).good().json();
    stats["verifierKey"].as_str().unwrap().to_owned()
}

fn attest(ledger: &Ledger) -> String {
    run(ledger.command(["audit", "--attest"]).arg(guest("echo"))).good().out
}

#[test]
fn the_ledgers_key_signs_what_was_found() {
    let ledger = Ledger::new();
    let signed = attest(&ledger);
    assert_eq!(signed, attest(&ledger), "it holds no time and no random number");
    let file = ledger.file("echo.attestation", &signed);
    let check = |guest_name: &str, key: &str| {
        let mut command = ledger.command(["audit", "--vkey", key, "--check-attestation"]);
        run(command.arg(&file).arg(guest(guest_name)))
    };
    check("echo", &verifier_key(&ledger)).good();
    check("forger", &verifier_key(&ledger))
        .exits(1)
        .tells(&["another component"]);
    check("echo", &verifier_key(&Ledger::new()))
        .exits(1)
        .tells(&["not signed by"]);
    // Without a ledger, somebody's key has to be named.
    let nowhere = Ledger::none_within(&std::env::temp_dir());
    run(nowhere.command(["audit", "--attest"]).arg(guest("echo")))
        .exits(2)
        .tells(&["ledger"]);
}

#[test]
fn a_key_under_a_passphrase_signs_with_the_passphrase_alone() {
    let ledger = Ledger::none_within(&std::env::temp_dir());
    let passphrase = ledger.file("passphrase", "correct horse battery staple");
    let mut init = ledger.command(["init", "--origin", "example.org/test", "--passphrase-file"]);
    run(init.arg(&passphrase)).good();
    run(ledger.command(["audit", "--attest"]).arg(guest("echo")))
        .exits(2)
        .tells(&["passphrase"]);
    let mut command = ledger.command(["audit", "--attest", "--passphrase-file"]);
    run(command.arg(&passphrase).arg(guest("echo"))).good();
}

/// Runs the page's own commands on an attestation.
fn as_the_page_says(ledger: &Ledger, attestation: &str) -> Ran {
    let page = fs::read_to_string(root().join("docs/FORMAT.md")).unwrap();
    let section = page.split("## Attestation\n").nth(1).unwrap();
    let script = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    ledger.file("agent.attestation", attestation);
    fs::copy(guest("echo"), ledger.beside("agent.wasm")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-e", "-c", script]).current_dir(ledger.beside(""));
    run(command.env("vkey", verifier_key(ledger)))
}

#[test]
fn a_stranger_checks_an_attestation_with_openssl() {
    let untested = "checking an attestation with other people's tools";
    let tools = [
        "openssl version",
        "jq --version",
        "xxd -v",
        "base64 --version",
        "sha256sum --version",
    ];
    for tool in tools {
        let (program, argument) = tool.split_once(' ').unwrap();
        let is_there = Command::new(program)
            .arg(argument)
            .output()
            .is_ok_and(|output| output.status.success());
        if !is_there && !has(program, untested) {
            return;
        }
    }
    let ledger = Ledger::new();
    let signed = attest(&ledger);
    let checked = as_the_page_says(&ledger, &signed).good();
    assert!(
        checked.out.contains("Signature Verified Successfully") && checked.out.contains("agent.wasm: OK"),
        "{}{}",
        checked.out,
        checked.err
    );
    // One letter of what was signed.
    let at = signed.find("\"payload\":\"").unwrap() + 40;
    let mut changed = signed.clone().into_bytes();
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    let checked = as_the_page_says(&ledger, &String::from_utf8(changed).unwrap());
    assert_ne!(checked.code, 0, "{}", checked.out);
    // The signature of another ledger.
    assert_ne!(as_the_page_says(&ledger, &attest(&Ledger::new())).code, 0);
}
