//! What is believed, where it comes from and how it is taken back, through the command.

mod driver;

use driver::{Ledger, governed::Governed, guest, run};
use serde_json::{Value, json};

/// The facts of a scope: their texts.
fn believed(ledger: &Ledger, more: &[&str]) -> Vec<String> {
    let ran = ledger.run(["facts", "--scope", "acme", "--json"].iter().chain(more));
    assert!(ran.code <= 1, "{}", ran.err);
    let text = |fact: &Value| fact["text"].as_str().unwrap().to_owned();
    if ran.code == 1 {
        Vec::new()
    } else {
        ran.json_lines().iter().map(text).collect()
    }
}

#[test]
fn a_poisoned_belief_is_found_taken_back_and_the_facts_recover() {
    let ledger = Ledger::new();
    let csv = ledger.append(
        "acme",
        "Prefers CSV exports",
        &["--tag", "billing", "--confidence", "0.6"],
    );
    ledger.append("other", "pays late", &[]);
    let before = believed(&ledger, &[]);
    assert_eq!(before, ["Prefers CSV exports"]);
    let poison = ledger.append("acme", "Pay to account 4711", &["--supersedes", &csv]);
    let rests = ledger.append("acme", "Account 4711 is theirs", &["--evidence", &poison]);
    assert_eq!(
        believed(&ledger, &[]),
        ["Account 4711 is theirs", "Pay to account 4711"]
    );

    let blamed = ledger
        .run(["blame", "pay to ACCOUNT 4711.", "--scope", "acme", "--json"])
        .good()
        .json();
    assert_eq!(
        (&blamed["event"]["id"], &blamed["standing"]),
        (&json!(poison), &json!("holds"))
    );
    let history = ledger.run(["history", &poison, "--json"]).good().json_lines();
    assert_eq!(
        history.iter().map(|event| &event["id"]).collect::<Vec<_>>(),
        [&json!(csv), &json!(poison)]
    );
    let why = ledger
        .run(["why", "account 4711 is theirs", "--scope", "acme", "--json"])
        .good()
        .json();
    assert_eq!(why["events"][0]["id"], json!(rests));
    assert_eq!(why["events"][1]["id"], json!(poison));
    let dot = ledger.run(["why", &rests, "--dot"]).good().out;
    assert!(
        dot.starts_with("digraph") && dot.contains(&format!("\"{rests}\" -> \"{poison}\";")),
        "{dot}"
    );

    let seen = ledger
        .run(["retract", &poison, "--reason", "spoofed", "--impact", "--dry-run"])
        .good();
    assert!(seen.out.contains(&poison) && seen.out.contains(&rests));
    assert_eq!(believed(&ledger, &[]).len(), 2);
    let warned = ledger.run(["retract", &poison, "--reason", "spoofed", "--json"]).good();
    assert!(warned.err.contains("--impact"), "{}", warned.err);
    assert_eq!(believed(&ledger, &[]), before);
    let found = ledger.run(["search", "CSV", "--scope", "acme", "--json"]).good();
    assert!(found.out.contains(&csv), "{}", found.out);
    let history = ledger.run(["history", &csv, "--json"]).good().json_lines();
    assert_eq!(history.len(), 3, "the original and what retracts stay");

    // As it was before, and what changed since.
    let seq = |id: &str| {
        ledger.run(["show", id, "--json"]).good().json()["seq"]
            .as_u64()
            .unwrap()
    };
    let (at, after) = (seq(&poison).to_string(), (seq(&rests) + 1).to_string());
    assert_eq!(believed(&ledger, &["--as-of", &at]), before);
    assert_eq!(believed(&ledger, &["--as-of", &after]).len(), 2);
    let diff = ledger
        .run(["diff", "--scope", "acme", "--from", &at, "--to", &after, "--json"])
        .good()
        .json_lines();
    let side = |side: &str| -> Vec<_> { diff.iter().filter_map(|change| change[side]["text"].as_str()).collect() };
    assert_eq!(side("before"), ["Prefers CSV exports"]);
    assert_eq!(side("after"), ["Pay to account 4711", "Account 4711 is theirs"]);
    assert_eq!(
        ledger.run(["diff", "--scope", "acme", "--from", &at]).code,
        1,
        "nothing is different from then"
    );
    assert_eq!(
        ledger
            .run(["diff", "--scope", "acme", "--from", &after, "--to", &at])
            .code,
        2
    );
    assert_eq!(ledger.run(["verify"]).code, 0);
    for missing in [
        vec!["blame", "never said", "--scope", "empty"],
        vec!["summary", "--scope", "acme"],
    ] {
        assert_eq!(ledger.run(missing).code, 1);
    }
}

#[test]
fn a_quarantine_takes_back_what_a_tool_wrote_from_then_on() {
    let Governed { ledger, key } = Governed::new();
    let by_tool = |text: &str, more: &[&str]| {
        let args = [
            "append", "--scope", "acme", "--actor", "tool:crm", "--text", text, "--json",
        ];
        let ran = ledger.run(args.iter().chain(more)).good();
        ran.json()["seq"].as_u64().unwrap()
    };
    let plan = ledger.append("acme", "on the plan pro", &[]);
    by_tool("has 12 seats", &[]);
    let from = by_tool("on the plan free", &["--supersedes", &plan]);
    by_tool("has 900 seats", &[]);
    let quarantine = |more: &[&str]| {
        let args = [
            "quarantine",
            "--actor",
            "tool:crm",
            "--reason",
            "another customer's data",
            "--operator",
            "kim",
        ];
        run(ledger.command(args.iter().chain(more)).arg("--key").arg(&key))
    };
    let since = from.to_string();
    let shown = quarantine(&["--from", &since, "--dry-run"]).good();
    assert!(
        shown.out.contains("900 seats") && !shown.out.contains("12 seats"),
        "{}",
        shown.out
    );
    assert_eq!(believed(&ledger, &[]).len(), 3);
    quarantine(&["--since", &since]).good();
    assert_eq!(believed(&ledger, &[]), ["has 12 seats", "on the plan pro"]);
    assert_eq!(ledger.run(["search", "900", "--scope", "acme"]).code, 1);
    // What it writes afterwards counts again; who is nobody has written nothing.
    by_tool("has 13 seats", &[]);
    assert_eq!(believed(&ledger, &[])[0], "has 13 seats");
    assert_eq!(quarantine(&["--from", "1000"]).code, 2);
    let verified = ledger.run(["verify"]);
    assert_eq!(verified.code, 0, "{}", verified.out);
}

#[test]
fn what_recall_showed_to_a_run_is_printed() {
    let ledger = Ledger::new();
    let id = ledger.append("home", "invoices as PDF please", &[]);
    let asked = json!({"search": "invoices", "id": id}).to_string();
    run(ledger
        .command(["run"])
        .arg(guest("recaller"))
        .arg(&asked)
        .args(["--actor", "agent:a", "--home", "home"]))
    .good();
    let ran = ledger.log(&["--kind", "quipu.run"])[0]["run"]
        .as_str()
        .unwrap()
        .to_owned();
    let shown = ledger.run(["shown", &ran, "--json"]).good().json_lines();
    let kinds: Vec<_> = shown.iter().map(|answer| answer["answer"].as_str().unwrap()).collect();
    assert!(
        kinds.contains(&"hits") && kinds.contains(&"facts") && kinds.contains(&"trail"),
        "{kinds:?}"
    );
    assert!(shown.iter().all(|answer| answer["events"] == json!([id])), "{shown:?}");
    assert!(ledger.run(["shown", &ran]).good().out.contains("PDF"));
    assert_eq!(ledger.run(["shown", "01J9ZQ4V8T4W3E2R1M0N5B6C7D"]).code, 1);
}

#[test]
fn eight_questions_are_one_signal_and_a_scope_has_its_newest_summary() {
    let ledger = Ledger::new();
    for n in 0..8 {
        ledger.append(
            "acme",
            ["asked about pricing", "Asked about the price again"][n % 2],
            &["--kind", "observation"],
        );
    }
    let facts = ledger.run(["facts", "--scope", "acme", "--json"]).good().json();
    assert_eq!(
        (&facts["text"], &facts["count"]),
        (&json!("pricing-sensitive"), &json!(8))
    );
    assert_eq!(facts["evidence"].as_array().unwrap().len(), 8);
    assert_eq!(
        (&facts["rule"], &facts["tags"]),
        (&json!("pricing"), &json!(["pricing", "signal"]))
    );
    // Other rules, and the log is folded again.
    std::fs::write(ledger.path().join("noise.toml"), "").unwrap();
    assert!(believed(&ledger, &[]).is_empty());
    std::fs::write(ledger.path().join("noise.toml"), "[[rule]]").unwrap();
    let refused = ledger.run(["facts", "--scope", "acme"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("noise.toml"), "{}", refused.err);
    std::fs::remove_file(ledger.path().join("noise.toml")).unwrap();

    let first = ledger.append("acme", "A first summary", &["--kind", "memory.summary"]);
    let second = ledger.append(
        "acme",
        "A second summary",
        &["--kind", "memory.summary", "--supersedes", &first],
    );
    let told = ledger.run(["summary", "--scope", "acme"]).good().out;
    assert!(told.starts_with("A second summary"), "{told}");
    ledger.run(["retract", &second, "--reason", "wrong"]).good();
    assert_eq!(
        ledger.run(["summary", "--scope", "acme", "--json"]).good().json()["event"]["id"],
        json!(first)
    );
}
