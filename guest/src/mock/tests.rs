use super::*;
use crate::{Budget, Draft, ErrorKind, Query, Result, Source, append_all, bindings::recall};

/// Well-formed, and nothing has it.
const UNKNOWN: &str = "evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D";

fn nothing(_: RunInfo, _: Memory, _: String) -> Result<String> {
    Ok(String::new())
}

/// Runs a closure as an agent that cannot fail.
fn agent<T>(mock: &mut Mock, what: impl FnOnce(&RunInfo, &Memory) -> T) -> T {
    let mut done = None;
    let handle = |run: RunInfo, memory: Memory, _: String| -> Result<String> {
        done = Some(what(&run, &memory));
        Ok(String::new())
    };
    mock.run(handle, "").unwrap();
    done.unwrap()
}

#[test]
fn a_run_sees_what_was_there_and_what_it_appends() {
    let mut mock = Mock::new("home").reads("other");
    let first = mock.event("message", "user:a", r#"{"text":"one"}"#);
    let ids = agent(&mut mock, |run, memory| {
        assert_eq!((run.actor.as_str(), memory.readers().count()), ("agent:test", 2));
        let own = Draft::new("memo").text("two").evidence([&first]).append().unwrap();
        let ids: Vec<_> = memory.home().events().map(|event| event.unwrap().id).collect();
        assert_eq!(ids, [first.clone(), own.id.clone()]);
        let back: Vec<_> = memory
            .home()
            .events_back()
            .page_size(1)
            .map(|event| event.unwrap().id)
            .collect();
        assert_eq!(back, [own.id, first.clone()]);
        ids
    });
    assert_eq!(mock.appended().len(), 1);
    assert_eq!(mock.appended()[0].evidence, ids[..1]);
    mock.run(nothing, "").unwrap();
    assert!(mock.appended().is_empty(), "the last run appended nothing");
    assert_eq!(mock.events("home").count(), 2);
}

#[test]
fn what_a_host_refuses_is_refused_with_the_same_kind() {
    let mut mock = Mock::new("home").kinds(["memo", "quipu.run"]).appends("team");
    let of_others = mock.event("message", "user:a", "{}");
    let kinds = agent(&mut mock, |_, memory| {
        let refusals = [
            Draft::new("message").append(),
            Draft::new("memo").scope("elsewhere").append(),
            Draft::new("memo").evidence([UNKNOWN]).append(),
            Draft::new("memo").supersedes([&of_others]).append(),
        ];
        Draft::new("memo").key("k").text("a").append().unwrap();
        let repeat = Draft::new("memo").key("k").text("a").append().unwrap();
        assert_eq!(repeat.seq, 1, "it is there once");
        Draft::new("memo").scope("team").append().unwrap();
        let other = Draft::new("memo").key("k").text("b").append();
        let get = memory.home().get(UNKNOWN).map_err(crate::Error::from).map(|_| ());
        let refusals = refusals.into_iter().chain([other]).map(|refused| refused.map(|_| ()));
        let refusals = refusals.chain([get]);
        refusals.map(|refused| refused.unwrap_err().kind()).collect::<Vec<_>>()
    });
    use ErrorKind::{Conflict, Denied, NotFound};
    assert_eq!(kinds, [Denied, Denied, NotFound, Denied, Conflict, NotFound]);
}

/// The kind of a refusal.
fn kind<T, E: Into<crate::Error>>(refused: Result<T, E>) -> ErrorKind {
    refused.map(|_| ()).map_err(Into::into).unwrap_err().kind()
}

#[test]
fn what_is_no_name_of_an_event_is_invalid_and_an_unknown_one_not_found() {
    let mut mock = Mock::new("home");
    agent(&mut mock, |_, memory| {
        let lower = UNKNOWN.to_lowercase();
        for (id, expected) in [
            (UNKNOWN, ErrorKind::NotFound),
            ("evt_1", ErrorKind::Invalid),
            ("", ErrorKind::Invalid),
            (&lower, ErrorKind::Invalid),
            ("evt_01J9ZQ4V8T4W3E2R1M0N5B6C7U", ErrorKind::Invalid),
            ("evt_81J9ZQ4V8T4W3E2R1M0N5B6C7D", ErrorKind::Invalid),
        ] {
            assert_eq!(kind(memory.home().get(id)), expected, "{id}");
            assert_eq!(kind(memory.why(id)), expected, "{id}");
            assert_eq!(kind(memory.impact(id)), expected, "{id}");
            assert_eq!(kind(Draft::new("memo").evidence([id]).append()), expected, "{id}");
            assert_eq!(kind(Draft::new("memo").supersedes([id]).append()), expected, "{id}");
        }
    });
}

#[test]
fn a_limit_above_a_thousand_is_a_thousand_and_none_is_invalid() {
    let mut mock = Mock::new("home");
    for _ in 0..1_001 {
        mock.event("memory.write", "agent:test", r#"{"text":"one"}"#);
    }
    agent(&mut mock, |_, memory| {
        let page = memory.home().read(None, u32::MAX).unwrap();
        assert_eq!((page.events.len(), page.next), (1_000, Some(1_000)));
        assert_eq!(memory.home().read_back(None, 5_000).unwrap().events.len(), 1_000);
        assert_eq!(memory.search(Query::new("").limit(5_000)).unwrap().hits.len(), 1_000);
        let nothing = || Query::new("").limit(0);
        let none = recall::search(&[], Query::new("").as_raw());
        let kinds = [
            kind(memory.home().read(None, 0)),
            kind(memory.home().read_back(None, 0)),
            kind(memory.search(nothing())),
            kind(memory.facts(nothing())),
            kind(memory.compose(nothing(), Budget::Tokens(9))),
            kind(memory.compose(Query::new(""), Budget::Tokens(0))),
            kind(memory.compose(Query::new(""), Budget::Characters(0))),
            kind(none),
            kind(recall::facts(&[], Query::new("").as_raw())),
            kind(recall::why(&[], UNKNOWN)),
            kind(memory.search(Query::new("").since("yesterday"))),
            kind(append_all([])),
            kind(Draft::new("memo").key("").append()),
            kind(Draft::new("memo").key("quipu:a").append()),
        ];
        assert_eq!(kinds, [ErrorKind::Invalid; 14]);
        assert_eq!(kind(memory.search(Query::new("a".repeat(4_097)))), ErrorKind::TooLarge);
    });
}

#[test]
fn a_key_means_the_home_scope_by_name_or_by_none_and_nothing_that_was_erased() {
    let mut mock = Mock::new("home").appends("team");
    let draft = || Draft::new("memo").text("a").key("k");
    let id = agent(&mut mock, |_, _| {
        let first = draft().append().unwrap();
        assert_eq!(draft().scope("home").append().unwrap().id, first.id);
        assert_ne!(draft().scope("team").append().unwrap().id, first.id);
        first.id
    });
    mock.erase(&id);
    agent(&mut mock, |_, _| {
        assert_eq!(kind(draft().append()), ErrorKind::Redacted)
    });
}

#[test]
fn kinds_are_the_documented_ones_where_nothing_is_said() {
    let mut mock = Mock::new("home");
    agent(&mut mock, |_, _| {
        for good in KINDS {
            Draft::new(good).append().unwrap();
        }
        for bad in ["memory.preference", "quipu.run", ""] {
            assert_eq!(kind(Draft::new(bad).append()), ErrorKind::Denied, "{bad}");
        }
    });
}

#[test]
fn recall_takes_all_tags_and_each_statement() {
    let mut mock = Mock::new("home");
    let both = mock.event("memory.write", "agent:test", r#"{"text":"both","tags":["a","b"]}"#);
    mock.event("memory.preference", "agent:test", r#"{"text":"one","tags":["a"]}"#);
    mock.event("memory.summary", "agent:test", r#"{"text":"summary","tags":["a"]}"#);
    mock.event("memory.retract", "agent:test", r#"{"text":"retract"}"#);
    let extra = serde_json::json!({"original": {"actor": "user:a", "ts": "2020-01-01T00:00:00.000Z"}});
    let imported = Event {
        source: Some(Source::new("import").with_extra(&extra).unwrap()),
        ..mock.events("home").next().unwrap().clone()
    };
    let imported = mock.put(Event {
        id: String::new(),
        kind: "message".into(),
        ..imported
    });
    agent(&mut mock, |_, memory| {
        let found = |query: Query| -> Vec<_> {
            let hits = memory.search(query).unwrap().hits.into_iter();
            hits.map(|hit| hit.event.id).collect()
        };
        assert_eq!(found(Query::new("").tags(["a", "b"]).kinds(["memory.write"])), [both]);
        assert_eq!(
            found(Query::new("").actors(["user:a"])),
            std::slice::from_ref(&imported)
        );
        assert_eq!(found(Query::new("").until("2021-01-01T00:00:00.000Z")), [imported]);
        let facts = memory.facts(Query::new("")).unwrap();
        let mut texts: Vec<_> = facts.facts.into_iter().map(|fact| fact.text).collect();
        texts.sort();
        assert_eq!((texts, facts.as_of), (vec!["both".into(), "one".into()], 5));
        let last = memory.search(Query::new("").as_of(4)).unwrap();
        assert_eq!((last.hits.len(), last.as_of), (4, 4), "before this position");
        assert_eq!(last.hits[3].event.kind, "memory.summary");
    });
}

#[test]
fn a_batch_is_appended_whole_or_not_at_all() {
    let mut mock = Mock::new("home");
    agent(&mut mock, |_, _| {
        let drafts = [Draft::new("memo"), Draft::new("memo").evidence([UNKNOWN])];
        assert_eq!(append_all(drafts).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(append_all([Draft::new("memo"), Draft::new("memo")]).unwrap().len(), 2);
    });
    assert_eq!(mock.appended().len(), 2);
}

#[test]
fn recall_leaves_out_what_is_superseded_and_erased() {
    let mut mock = Mock::new("home");
    let pdf = mock.event(
        "memory.write",
        "agent:test",
        r#"{"text":"invoices as PDF","confidence":0.9}"#,
    );
    let gone = mock.event("memory.write", "agent:test", r#"{"text":"invoices by fax"}"#);
    mock.erase(&gone);
    agent(&mut mock, |_, memory| {
        let csv = Draft::new("memory.write")
            .text("invoices as CSV")
            .supersedes([&pdf])
            .append()
            .unwrap();
        let hits = memory.search(Query::new("invoices")).unwrap().hits;
        assert_eq!(hits.iter().map(|hit| &hit.event.id).collect::<Vec<_>>(), [&csv.id]);
        let earlier = memory.search(Query::new("invoices").as_of(1)).unwrap().hits;
        assert_eq!(earlier[0].event.id, pdf);
        let facts = memory.facts(Query::new("")).unwrap().facts;
        assert_eq!(
            facts.iter().map(|fact| fact.text.as_str()).collect::<Vec<_>>(),
            ["invoices as CSV"]
        );
        let why = memory.why(&csv.id).unwrap();
        assert_eq!(
            why.events.iter().map(|event| &event.id).collect::<Vec<_>>(),
            [&csv.id, &pdf]
        );
        assert_eq!(memory.impact(&pdf).unwrap().events.len(), 2);
        let context = memory.compose(Query::new("invoices"), Budget::Characters(10)).unwrap();
        assert_eq!((context.text.as_str(), context.events.len()), ("", 0), "nothing fits");
        let context = memory.compose(Query::new("invoices"), Budget::Tokens(100)).unwrap();
        assert!(context.text.starts_with("invoices as CSV [evt_"));
    });
}

#[test]
fn an_agent_that_panics_ends_its_run() {
    let mut mock = Mock::new("home");
    let panics = |_: RunInfo, _: Memory, _: String| -> Result<String> { panic!("as it must") };
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| mock.run(panics, "")));
    assert!(caught.is_err());
    mock.run(nothing, "").unwrap();
}
