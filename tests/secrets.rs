//! Secrets stay out of the ledger, by whichever command they come, and are never repeated.

mod driver;

use driver::Ledger;

/// A token of GitHub's form that nobody ever had.
fn token() -> String {
    "ghp_".to_owned() + "k3Jw9QzT7bXe2RnV5mYc8LpH4sGd6FaU1tNi"
}

const APPEND: [&str; 5] = ["append", "--scope", "home", "--actor", "operator:kim"];

#[test]
fn an_append_with_a_secret_is_refused_handled_or_let_in_as_it_is_told() {
    let ledger = Ledger::new();
    let text = format!("the token is {}", token());
    let append = |more: &[&str]| driver::run(&mut ledger.command(APPEND.iter().chain(more)));
    let ran = append(&["--text", &text]);
    assert_ne!(ran.code, 0, "{}", ran.out);
    assert!(
        ran.err.contains("rule github-pat") && ran.err.contains("of the payload (text)"),
        "{}",
        ran.err
    );
    assert!(
        !ran.err.contains(&token()[..10]) && !ran.out.contains(&token()[..10]),
        "{}",
        ran.err
    );
    append(&["--text", &text, "--secrets", "handle"]).good();
    append(&["--text", &text, "--secrets", "off"]).good();
    append(&["--text", "the token is in the vault"]).good();
    let texts: Vec<_> = ledger
        .log(&["--scope", "home"])
        .iter()
        .map(|e| e["payload"]["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(texts.len(), 3);
    assert!(
        texts[0].starts_with("the token is secret://github-pat/"),
        "{}",
        texts[0]
    );
    assert_eq!(texts[1], text);
}

#[test]
fn an_import_with_a_secret_appends_nothing_and_names_the_line() {
    let ledger = Ledger::new();
    let line = |text: &str| {
        format!(
            "{}\n",
            serde_json::json!({"scope": "home", "kind": "message", "payload": {"text": text}})
        )
    };
    let (one, other) = (token()[..20].to_owned(), token()[20..].to_owned());
    let file = ledger.file(
        "events.jsonl",
        line("fine") + &line(&format!("mine: {}", token())) + &line(&one) + &line(&other),
    );
    let ran = ledger.import(&file, &[]);
    assert_ne!(ran.code, 0);
    assert!(
        ran.err.contains("nothing was appended") && ran.err.contains("line 2: ") && ran.err.contains("line 4: "),
        "{}",
        ran.err
    );
    assert!(
        !ran.err.contains("line 3: ") && !ran.err.contains(&token()[..10]),
        "{}",
        ran.err
    );
    assert!(ledger.log(&["--actor", "tool:import"]).is_empty());
    let whole = ledger.file("whole.jsonl", line("fine") + &line(&format!("mine: {}", token())));
    ledger.import(&whole, &["--secrets", "handle"]).good();
    let texts = ledger.log(&["--actor", "tool:import"]);
    assert!(
        texts[1]["payload"]["text"]
            .as_str()
            .unwrap()
            .starts_with("mine: secret://github-pat/"),
        "{texts:?}"
    );
}
