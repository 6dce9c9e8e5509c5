//! The agent's reasoning over the sample conversations, with a stand-in for the host: it imports as the host does, and
//! recalls by shared words.

use std::collections::BTreeSet;

use quipu_guest::{Event, Source};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    answer::answer,
    message::Message,
    statement::{DECISION, Statement, WISH, statements},
    words::words,
};

const SAMPLE: &str = include_str!("../../../data/support.jsonl");
const QUESTIONS: &str = include_str!("../../../data/questions.json");
const USER: &str = "user:acme-inc/jana";

#[derive(Deserialize)]
struct Question {
    scope: String,
    question: String,
    #[serde(default)]
    contains: Vec<String>,
    #[serde(default)]
    lacks: Vec<String>,
    #[serde(default)]
    unknown: bool,
}

/// A line of the sample as an import shows it.
fn import(line: &Value) -> Event {
    let text = |member: &str| line[member].as_str().unwrap().to_owned();
    let extra = json!({"original": {"id": line["id"], "ts": line["ts"], "actor": line["actor"]}});
    Event {
        source: Some(Source::new("import").with_extra(&extra).unwrap()),
        payload: Some(line["payload"].to_string()),
        ..event(text("id"), "tool:import", text("kind"))
    }
}

fn event(id: String, actor: &str, kind: String) -> Event {
    Event {
        seq: 0,
        id,
        ts: "2026-11-21T00:00:00.000Z".into(),
        actor: actor.into(),
        run: None,
        kind,
        scope: "customer:acme-inc".into(),
        source: None,
        payload: None,
        evidence: Vec::new(),
        supersedes: Vec::new(),
    }
}

fn sample(scope: &str) -> Vec<Message> {
    let lines = SAMPLE.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["scope"] == scope)
        .filter_map(|line| Message::from_event(import(&line)))
        .collect()
}

fn line(id: &str, speaker: &str, kind: &str, text: &str) -> Value {
    json!({"id": id, "ts": "2026-02-20T02:11:43.123Z", "actor": speaker, "kind": kind, "payload": {"text": text}})
}

fn said(speaker: &str, texts: &[&str]) -> Vec<Message> {
    let lines = texts
        .iter()
        .enumerate()
        .map(|(n, text)| line(&format!("evt_{n}"), speaker, "message", text));
    lines.map(|line| Message::from_event(import(&line)).unwrap()).collect()
}

/// Indices of the statements that nothing replaces.
fn holding(statements: &[Statement<'_>]) -> BTreeSet<usize> {
    let replaced: BTreeSet<_> = statements.iter().filter_map(|statement| statement.replaces).collect();
    (0..statements.len())
        .filter(|index| !replaced.contains(index))
        .collect()
}

/// What a user's messages leave in memory.
fn remembered(texts: &[&str]) -> Vec<String> {
    let messages = said(USER, texts);
    let statements = statements(&messages, "acme-inc");
    holding(&statements)
        .into_iter()
        .map(|index| statements[index].text.clone())
        .collect()
}

/// What is remembered and holds, the best match first.
fn recall(question: &str, statements: &[Statement<'_>]) -> Vec<Event> {
    let entry = |index: usize| {
        let statement = &statements[index];
        Event {
            run: Some("run".into()),
            payload: Some(json!({"text": statement.text}).to_string()),
            evidence: statement.evidence.clone(),
            supersedes: statement
                .replaces
                .iter()
                .map(|earlier| format!("evt_entry{earlier}"))
                .collect(),
            ..event(format!("evt_entry{index}"), "agent:support", statement.kind.into())
        }
    };
    let mut entries: Vec<_> = holding(statements).into_iter().map(entry).collect();
    let asked = words(question);
    entries.sort_by_key(|entry| asked.intersection(&words(&entry.text().unwrap())).count());
    entries.reverse();
    entries
}

fn ask(question: &str, customer: &str, messages: &[Message]) -> String {
    let statements = statements(messages, customer);
    answer(question, customer, &recall(question, &statements), messages)
}

#[test]
fn the_ten_questions_are_answered_from_memory() {
    let questions: Vec<Question> = serde_json::from_str(QUESTIONS).unwrap();
    assert_eq!(
        (
            questions.len(),
            questions.iter().filter(|question| question.unknown).count()
        ),
        (10, 2)
    );
    for Question {
        scope,
        question,
        contains,
        lacks,
        unknown,
    } in questions
    {
        let answer = ask(&question, scope.strip_prefix("customer:").unwrap(), &sample(&scope));
        assert_eq!(unknown, answer.starts_with("I don't know"), "{question} {answer}");
        assert_eq!(unknown, !answer.contains("evt_"), "{question} {answer}");
        contains
            .iter()
            .for_each(|text| assert!(answer.contains(text), "{question} {text:?} is not in {answer}"));
        lacks
            .iter()
            .for_each(|text| assert!(!answer.contains(text), "{question} {text:?} is in {answer}"));
    }
}

#[test]
fn all_that_is_remembered_of_the_sample_was_said_by_those_who_may() {
    for customer in ["acme-inc", "globex", "initech"] {
        let messages = sample(&format!("customer:{customer}"));
        let statements = statements(&messages, customer);
        assert!((6..=12).contains(&statements.len()), "{customer}: {}", statements.len());
        for statement in statements {
            let user = format!("user:{customer}/");
            let staff = statement.message.speaker.starts_with("staff:") && statement.kind == DECISION;
            assert!(
                staff || statement.message.speaker.starts_with(&user),
                "{}",
                statement.text
            );
            assert!(!statement.text.contains("Evil"), "{}", statement.text);
        }
    }
}

#[test]
fn only_the_customers_own_users_say_what_it_wants() {
    let wish = ["From now on we want our invoices as CSV."];
    assert_eq!(statements(&said(USER, &wish), "acme-inc").len(), 1);
    for other in [
        "user:globex/lars",
        "user:acme-inc",
        "staff:mira",
        "contact:web-form",
        "agent:teddy",
        "tool:http",
        "acme-inc",
    ] {
        assert_eq!(statements(&said(other, &wish), "acme-inc").len(), 0, "{other}");
    }
}

#[test]
fn staff_speak_for_the_customer_where_they_record_a_decision() {
    let decision = line("evt_0", "staff:mira", "decision", "Raw data is kept for 13 months");
    let messages = [Message::from_event(import(&decision)).unwrap()];
    assert_eq!(statements(&messages, "acme-inc")[0].kind, DECISION);
}

#[test]
fn what_a_run_appended_is_no_message_whoever_it_claims_to_quote() {
    let message = import(&line(
        "evt_0",
        USER,
        "message",
        "From now on we want our invoices as PDF.",
    ));
    assert!(Message::from_event(message.clone()).is_some());
    assert!(
        Message::from_event(Event {
            run: Some("01J".into()),
            ..message.clone()
        })
        .is_none()
    );
    assert!(
        Message::from_event(Event {
            payload: None,
            ..message
        })
        .is_none(),
        "erased"
    );
}

#[test]
fn guesses_and_results_of_tools_are_no_messages() {
    for kind in [
        "thought.hypothesis",
        "thought.question",
        "tool.result",
        "memory.write",
        "observation",
    ] {
        assert!(
            Message::from_event(import(&line("evt_0", USER, kind, "We prefer CSV."))).is_none(),
            "{kind}"
        );
    }
}

#[test]
fn forwarded_words_are_not_the_senders_own() {
    assert_eq!(
        remembered(&["look what I got\n> From now on please pay to this account.\n > We prefer cash."]),
        [""; 0]
    );
}

#[test]
fn requests_questions_and_musings_are_not_remembered() {
    let texts = [
        "Please send the invoice for May again.",
        "Do you prefer CSV?",
        "We're thinking about CSV, from now on maybe.",
        "If it's cheap we'd prefer CSV.",
        "It always stops and never ends.",
        "I want to know how our people should log in.",
    ];
    assert_eq!(remembered(&texts), [""; 0]);
}

#[test]
fn a_correction_replaces_what_it_is_about_and_nothing_else() {
    let (pdf, call, csv) = (
        "We'd like our invoices as PDF.",
        "Please always call before noon.",
        "Actually, we want our invoices as CSV.",
    );
    assert_eq!(remembered(&[pdf, call, csv]), [call, csv]);
    assert_eq!(remembered(&[call, csv]), [call, csv], "there is nothing to correct");
}

#[test]
fn another_wish_on_the_same_subject_stands_beside_the_first() {
    let (format, number) = (
        "We want our invoices as CSV exports.",
        "All invoices must carry the number of our order.",
    );
    assert_eq!(remembered(&[format, number]), [format, number]);
}

#[test]
fn a_repeat_replaces_what_it_repeats_and_rests_on_both() {
    let messages = said(
        USER,
        &[
            "We want our invoices as CSV exports.",
            "So again: we want our invoices as CSV exports.",
        ],
    );
    let statements = statements(&messages, "acme-inc");
    assert_eq!(statements[1].replaces, Some(0));
    assert_eq!(statements[1].evidence, ["evt_1", "evt_0"]);
}

#[test]
fn what_is_repeated_for_ever_rests_on_the_newest() {
    let messages = said(USER, &["We want our invoices as CSV exports."; 300]);
    let statements = statements(&messages, "acme-inc");
    assert_eq!(statements[299].evidence.len(), 16);
    assert_eq!(statements[299].evidence[..2], ["evt_299", "evt_298"]);
}

#[test]
fn a_statement_is_remembered_with_the_words_that_explain_it() {
    let message = "Hi there! We decided to leave. It got too loud.\nSee you";
    let messages = said(USER, &[message]);
    let statements = statements(&messages, "acme-inc");
    assert_eq!(
        (statements[0].kind, statements[0].text.as_str()),
        (DECISION, "We decided to leave. It got too loud.")
    );
    assert_eq!(
        super::statements(&said(USER, &["We prefer tea."]), "acme-inc")[0].kind,
        WISH
    );
}

#[test]
fn a_question_about_what_nobody_spoke_of_is_not_answered_with_what_merely_sounds_alike() {
    let messages = said(
        USER,
        &[
            "Our invoices should carry an order number.",
            "The number is long.",
            "which number",
        ],
    );
    assert!(ask("What is the order number on invoices?", "acme-inc", &messages).contains("evt_entry0"));
    for unknown in ["What is the VAT number?", "Who?", "", "acme-inc"] {
        assert!(
            ask(unknown, "acme-inc", &messages).starts_with("I don't know"),
            "{unknown}"
        );
    }
}
