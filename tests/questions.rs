//! The main job: an agent remembers the sample's conversations and answers from memory, with citations.

mod driver;

use std::{collections::BTreeSet, fs};

use driver::{Ledger, Ran, guest, root, run};
use serde_json::Value;

fn ask(ledger: &Ledger, scope: &str, question: &str) -> Ran {
    let args = ["--actor", "agent:support", "--home", scope, question];
    run(ledger.command(["run"]).arg(guest("support")).args(args)).good()
}

/// The event ids in a text, in the order of their first mention.
fn cited(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let ids = text
        .match_indices("evt_")
        .filter_map(|(at, _)| text.get(at..at + 30))
        .map(str::to_owned);
    ids.filter(|id| seen.insert(id.clone())).collect()
}

/// What the agent remembered; what the host recorded of its runs is left out.
fn memories(ledger: &Ledger) -> Vec<Value> {
    let mut events = ledger.log(&["--actor", "agent:support"]);
    events.retain(|event| !event["kind"].as_str().unwrap().starts_with("quipu."));
    events
}

#[test]
fn ten_questions_are_answered_from_memory_with_citations() {
    let ledger = Ledger::new();
    ledger.import(&root().join("examples/data/support.jsonl"), &[]).good();
    let questions = fs::read(root().join("examples/data/questions.json")).unwrap();
    let questions: Vec<Value> = serde_json::from_slice(&questions).unwrap();
    assert_eq!(questions.len(), 10);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let scopes: BTreeSet<_> = questions.iter().map(|question| text(&question["scope"])).collect();
    assert_eq!(scopes.len(), 3);

    let mut unknown = 0;
    let mut answers = Vec::new();
    for question in &questions {
        let scope = text(&question["scope"]);
        let answer = ask(&ledger, &scope, &text(&question["question"])).out;
        let parts = |name: &str| {
            question[name]
                .as_array()
                .into_iter()
                .flatten()
                .map(text)
                .collect::<Vec<_>>()
        };
        for part in parts("contains") {
            assert!(answer.contains(&part), "{question}\n{answer}");
        }
        let cited = cited(&answer);
        // An id may hold anything.
        let words = cited.iter().fold(answer.clone(), |words, id| words.replace(id, "evt"));
        for part in parts("lacks") {
            assert!(!words.contains(&part), "{question}\n{answer}");
        }
        if question["unknown"] == true {
            unknown += 1;
            assert!(!answer.trim().is_empty() && cited.is_empty(), "{question}\n{answer}");
        } else {
            assert!(!cited.is_empty(), "{question}\n{answer}");
            for id in &cited {
                let event = ledger.run(["show", id, "--json"]).good().json();
                assert_eq!(event["scope"], *scope, "{id} is of another scope");
            }
            leads_back_to_messages(&ledger, &cited[0]);
        }
        answers.push(answer);
    }
    assert_eq!(unknown, 2);

    let remembered = memories(&ledger);
    assert!(
        remembered.iter().any(|event| event["supersedes"].is_array()),
        "corrections are remembered as such"
    );
    for (question, answer) in questions.iter().zip(answers) {
        let again = ask(&ledger, &text(&question["scope"]), &text(&question["question"])).out;
        assert!(again == answer, "{question}\n{answer}\n{again}");
    }
    assert_eq!(memories(&ledger), remembered, "a second run adds no second copy");
    ledger.verify().good();
}

#[track_caller]
fn leads_back_to_messages(ledger: &Ledger, id: &str) {
    let trail = ledger.run(["why", id, "--json"]).good().json();
    let events = trail["events"].as_array().unwrap();
    assert_eq!(events[0]["id"], *id);
    assert_eq!(events[0]["actor"], "agent:support");
    let later: BTreeSet<_> = trail["links"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| link["later"].as_str())
        .collect();
    let roots: Vec<_> = events
        .iter()
        .filter(|event| !later.contains(&event["id"].as_str()))
        .collect();
    assert!(!roots.is_empty());
    for root in roots {
        assert_eq!(
            (&root["actor"], &root["kind"]),
            (&"tool:import".into(), &"message".into()),
            "{root}"
        );
    }
    let tree = ledger.run(["why", id]).good().out;
    for event in events {
        assert!(tree.contains(event["id"].as_str().unwrap()), "{tree}");
    }
    assert!(
        tree.lines()
            .skip(1)
            .all(|line| line.contains("├─ ") || line.contains("└─ ")),
        "{tree}"
    );
}
