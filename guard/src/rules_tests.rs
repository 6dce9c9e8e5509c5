use std::collections::BTreeSet;

use super::*;

fn all() -> secrets_scanner::Scanner {
    secrets_scanner::Scanner::from_bundled()
        .unwrap()
        .with_config(ScanConfig::proxy())
}

/// Holds the reading of the rules' text against the scanner's own, and what is found rule by rule against what it finds
/// all at once.
#[test]
fn the_scanner_alone_finds_nothing_that_its_rules_one_by_one_do_not() {
    let scanner = all();
    let theirs: BTreeSet<(&str, BTreeSet<&str>)> = scanner
        .engine()
        .keyworded_rules()
        .iter()
        .map(|rule| (rule.id.as_str(), rule.keywords.iter().map(String::as_str).collect()))
        .collect();
    let bundled = tables(BUNDLED_RULES).filter(|toml| member(toml, "keywords").next().is_some());
    let ours: BTreeSet<(&str, BTreeSet<&str>)> = bundled
        .map(|toml| (member(toml, "id").next().unwrap(), member(toml, "keywords").collect()))
        .collect();
    assert_eq!(ours, theirs);
    // What has no keyword looks at file names alone.
    assert!(
        scanner
            .engine()
            .unkeyworded_rules()
            .iter()
            .all(|rule| rule.regex.is_none())
    );

    let mut found = 0;
    for text in texts() {
        let mut work = Work::of_a_draft();
        let one_by_one = Rules.scan(&text, &mut work).unwrap();
        for finding in scanner.scan_bytes("", text.as_bytes()) {
            let range = finding.secret_start_offset..finding.secret_end_offset;
            let same = one_by_one.iter().any(|m| m.rule == finding.rule_id && m.range == range);
            assert!(same, "{} in {text:?}", finding.rule_id);
            found += 1;
        }
        // The scanner's list lets pass whatever holds one of these words.
        let loose = ["false", "true", "null"].iter().any(|word| text.contains(word));
        let theirs = one_by_one
            .iter()
            .filter(|one| !one.rule.starts_with("quipu-") && !loose);
        for one in theirs {
            let rule = RULES.rules.iter().find(|rule| rule.id == one.rule).unwrap();
            let known = scanner
                .scan_bytes("", text.as_bytes())
                .iter()
                .any(|f| f.rule_id == one.rule);
            assert!(known || rule.toml.contains("\npath = "), "{} in {text:?}", one.rule);
        }
    }
    assert!(found > 10, "{found}");
}

/// Texts with and without secrets, some of them on the scanner's list of what is none.
fn texts() -> Vec<String> {
    let token = |prefix: &str, len: usize| {
        let chars = b"k3Jw9QzT7bXe2RnV5mYc8LpH4sGd6FaU1tNiK0oZ";
        prefix.to_owned()
            + &(0..len)
                .map(|i| char::from(chars[(i * 7 + len) % chars.len()]))
                .collect::<String>()
    };
    let mut texts = vec![
        format!("export GITHUB_TOKEN={}", token("ghp_", 36)),
        format!("{{\"text\":\"my key is {}\"}}", token("sk_live_", 24)),
        format!(
            "slack: {} and {}",
            token("xoxb-123456789012-123456789012-", 24),
            token("glpat-", 20)
        ),
        format!("password = \"{}\"", token("", 20)),
        format!("api_key: {} # gitleaks:allow", token("", 32)),
        format!("token: {}false", token("", 20)),
        "aws AKIAIOSFODNN7EXAMPLE and AKIAQYLPMN5HFIQR7XYA".to_owned(),
        "-----BEGIN RSA PRIVATE KEY-----\n".to_owned() + &token("MII", 120) + "\n-----END RSA PRIVATE KEY-----",
        "the key to success is a secret; use your token of appreciation".to_owned(),
        "secret: ${MY_SECRET} key=abcdefghijklmnopqrstuvwxyz".to_owned(),
    ];
    // Every keyword of every rule, with something behind it that looks like a secret.
    let keywords: BTreeSet<&str> = tables(BUNDLED_RULES)
        .flat_map(|toml| member(toml, "keywords"))
        .collect();
    texts.extend(
        keywords
            .iter()
            .step_by(5)
            .map(|keyword| format!("{keyword}_token = '{}'", token("", 32))),
    );
    texts
}

#[test]
fn a_word_in_a_secret_makes_it_none_only_alone() {
    assert!(BUNDLED_RULES.contains(LOOSE));
    let found = |text: &str| !Rules.scan(text, &mut Work::of_a_draft()).unwrap().is_empty();
    for options in ["retryWrites=true", "retryWrites=false"] {
        let text = format!("mongodb://app:correcthorse@db.example/app?{options}");
        assert!(found(&text), "{text}");
    }
}

#[test]
fn every_rule_compiles() {
    for rule in &RULES.rules {
        assert!(rule.compiled().is_some(), "{}", rule.id);
    }
    assert_eq!(
        RULES.rules.iter().map(|rule| rule.id).collect::<BTreeSet<_>>().len(),
        RULES.rules.len()
    );
    assert!(RULES.keywords.is_some());
}

#[test]
fn a_text_without_keywords_is_no_candidate_of_any_rule() {
    let none = RULES.candidates("Kim moved to Lisbon in March, and would rather be called in the morning.");
    assert!(none.is_empty(), "{none:?}");
    let mut work = Work::of_a_draft();
    work.spend(quipu_format::limits::GUARD_WORK_BYTES).unwrap();
    assert_eq!(
        Rules.scan("She would rather be called in the morning.", &mut work),
        Ok(Vec::new())
    );
    assert_eq!(Rules.scan("her password is long", &mut work), Err(TooMuch));
}
