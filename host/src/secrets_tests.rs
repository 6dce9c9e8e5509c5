use std::sync::Arc;

use quipu_format::{Actor, Content, Kind, Scope};
use quipu_log::{CreateOptions, ErrorKind, OpenOptions};

use super::*;

/// A token of GitHub's form that nobody ever had.
fn token() -> String {
    "ghp_".to_owned() + "k3Jw9QzT7bXe2RnV5mYc8LpH4sGd6FaU1tNi"
}

fn draft(actor: &str, text: &str) -> Draft {
    let payload = serde_json::json!({ "text": text }).to_string();
    let body = Body::new(None, &payload).unwrap();
    Draft::new(
        Scope::new("home").unwrap(),
        Actor::new(actor).unwrap(),
        Kind::new("memory.write").unwrap(),
        body,
    )
}

fn ledger(folder: &std::path::Path) -> Ledger {
    Ledger::create(&folder.join("ledger"), CreateOptions::new("example.com/test")).unwrap()
}

fn texts(ledger: &Ledger) -> Vec<String> {
    let reader = ledger.reader();
    let events = (0..reader.head()).map(|seq| reader.event(seq).unwrap().unwrap());
    events
        .filter_map(|event| match event.content {
            Content::Open(body) => Some(body.payload.get().to_owned()),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_refused_by_every_way_in_and_never_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    SecretGuard::attach(&ledger);
    let secret = format!("the token is {}, keep it", token());
    let head = ledger.reader().head();
    let long = "word ".repeat(20_000) + &secret;
    let refusals = [
        ledger.append(draft("agent:a", &secret)).await.unwrap_err(),
        ledger.append(draft("agent:a", &long)).await.unwrap_err(),
        ledger
            .append_all(vec![draft("agent:a", "fine"), draft("agent:a", &secret)])
            .await
            .unwrap_err(),
        ledger.append_blocking(draft("agent:a", &secret)).unwrap_err(),
        ledger.append_proved_blocking(draft("agent:a", &secret)).unwrap_err(),
        // As by another process: to a second handle that opens the ledger through the socket.
        {
            let path = folder.path().join("ledger");
            let other = tokio::task::spawn_blocking(move || Ledger::open_shared(&path, OpenOptions::default()));
            let other = other.await.unwrap().unwrap();
            tokio::task::spawn_blocking(move || other.append_blocking(draft("tool:b", &secret)))
                .await
                .unwrap()
                .unwrap_err()
        },
    ];
    for refusal in refusals {
        assert_eq!(refusal.kind(), ErrorKind::Secret, "{refusal}");
        let message = format!("{refusal} {refusal:?}");
        assert!(!message.contains(&token()[4..12]), "{message}");
        assert!(
            message.contains("rule github-pat, bytes ") && message.contains("(text)"),
            "{message}"
        );
    }
    assert_eq!(ledger.reader().head(), head);
    ledger
        .append(draft("agent:a", "the token is in the vault"))
        .await
        .unwrap();
}

#[test]
fn what_is_split_over_entries_of_one_actor_is_refused_and_of_two_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    SecretGuard::attach(&ledger);
    let (token, append) = (token(), |actor: &str, text: &str| {
        ledger.append_blocking(draft(actor, text))
    });
    let (one, other) = token.split_at(17);
    append("agent:a", &format!("first {one}")).unwrap();
    append("agent:b", &format!("{other} then")).unwrap();
    append("agent:a", "something else in between").unwrap();
    let refusal = append("agent:a", &format!("{other} then")).unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Secret);
    assert!(refusal.to_string().contains("begun in an earlier entry"), "{refusal}");
    // In three entries, each but a part.
    append("agent:c", &token[..14]).unwrap();
    append("agent:c", &token[14..28]).unwrap();
    assert_eq!(append("agent:c", &token[28..]).unwrap_err().kind(), ErrorKind::Secret);
    // In one batch.
    let batch = vec![draft("agent:d", one), draft("agent:d", other)];
    assert_eq!(ledger.append_all_blocking(batch).unwrap_err().kind(), ErrorKind::Secret);
}

#[test]
fn a_handle_stands_for_a_secret_and_tells_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let guard = SecretGuard::attach(&ledger);
    let mut drafts = vec![
        draft("agent:a", &format!("the token is {} today", token())),
        draft(
            "agent:a",
            &format!(
                "and as \\u escapes: {}",
                token().bytes().map(|b| format!("\\u{b:04x}")).collect::<String>()
            ),
        ),
        draft("agent:a", "nothing here"),
    ];
    guard.handle(&mut drafts, |_| true, ledger.reader());
    ledger.append_all_blocking(drafts).unwrap();
    let texts = texts(&ledger);
    let handle = ledger.reader().secret_handle("github-pat", &token());
    assert!(
        texts.contains(&format!(r#"{{"text":"the token is {handle} today"}}"#)),
        "{texts:?}"
    );
    assert!(
        texts.contains(&format!(r#"{{"text":"and as \\u escapes: {handle}"}}"#)),
        "{texts:?}"
    );
    assert!(texts.iter().all(|text| !text.contains(&token()[..12])));
}

#[test]
fn records_of_runs_are_left_and_texts_of_persons_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let guard = SecretGuard::attach(&ledger);
    let mut record = draft("agent:a", &token());
    record.kind = Kind::new("quipu.run.end").unwrap();
    assert!(guard.screen(&[record.clone()]).is_ok());
    // What the host says in it stays, also beside a text that goes on with it.
    let seed = "8f3a".repeat(16);
    let said = json!({"input": format!("{} and api_key=", token()), "wasi": {"seed": seed}}).to_string();
    record.body = Body::new(None, &said).unwrap();
    let mut records = vec![record];
    guard.handle(&mut records, is_record, ledger.reader());
    let handled = records[0].body.payload.get();
    assert!(
        !handled.contains(&token()) && handled.contains("secret://") && handled.contains(&seed),
        "{handled}"
    );
    let mut act = draft("operator:kim", &token());
    act.kind = Kind::new("quipu.redact").unwrap();
    assert!(guard.screen(&[act]).is_err());
    assert!(
        guard
            .check_text("input", &token())
            .unwrap_err()
            .contains("bytes 0 to 40 of the input")
    );
}

#[test]
fn what_is_appended_again_is_not_held_against_itself() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let _guard = SecretGuard::attach(&ledger);
    let mut once = draft("agent:a", "api_key = q1w2e3r4");
    once.key = Some("once".into());
    let first = ledger.append_blocking(once.clone()).unwrap();
    assert_eq!(ledger.append_blocking(once).unwrap().seq, first.seq);
}

#[test]
fn what_is_refused_in_a_scope_tells_nothing_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let _guard = SecretGuard::attach(&ledger);
    let token = token();
    let (begun, rest) = token.split_at(20);
    ledger.append_blocking(draft("agent:a", begun)).unwrap();
    let mut other = draft("agent:a", rest);
    other.scope = Scope::new("another").unwrap();
    ledger.append_blocking(other).unwrap();
    assert!(ledger.append_blocking(draft("agent:a", rest)).is_err());
}

#[test]
fn the_next_ledger_of_the_same_options_has_its_own_guard() {
    let folder = tempfile::tempdir().unwrap();
    ledger(folder.path()).close().unwrap();
    let options = OpenOptions::default();
    let guarded = Ledger::open(&folder.path().join("ledger"), options.clone()).unwrap();
    let _guard: Arc<SecretGuard> = SecretGuard::attach(&guarded);
    assert!(guarded.append_blocking(draft("agent:a", &token())).is_err());
    guarded.close().unwrap();
    let other = Ledger::open(&folder.path().join("ledger"), options).unwrap();
    other.append_blocking(draft("agent:a", &token())).unwrap();
}
