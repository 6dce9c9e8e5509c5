use super::*;
use crate::{Budget, Draft, ErrorKind, Query, Result, append_all};

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
            Draft::new("memo").evidence(["evt_none"]).append(),
            Draft::new("memo").supersedes([&of_others]).append(),
        ];
        Draft::new("memo").key("k").text("a").append().unwrap();
        let repeat = Draft::new("memo").key("k").text("a").append().unwrap();
        assert_eq!(repeat.seq, 1, "it is there once");
        Draft::new("memo").scope("team").append().unwrap();
        let other = Draft::new("memo").key("k").text("b").append();
        let get = memory.home().get("evt_none").map_err(crate::Error::from).map(|_| ());
        let refusals = refusals.into_iter().chain([other]).map(|refused| refused.map(|_| ()));
        let refusals = refusals.chain([get]);
        refusals.map(|refused| refused.unwrap_err().kind()).collect::<Vec<_>>()
    });
    use ErrorKind::{Conflict, Denied, NotFound};
    assert_eq!(kinds, [Denied, Denied, NotFound, Denied, Conflict, NotFound]);
}

#[test]
fn a_batch_is_appended_whole_or_not_at_all() {
    let mut mock = Mock::new("home");
    agent(&mut mock, |_, _| {
        let drafts = [Draft::new("memo"), Draft::new("memo").evidence(["evt_none"])];
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
