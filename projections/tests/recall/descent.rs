use quipu_format::{EventId, Kind};
use quipu_projections::{Because, ErrorKind, limits::DESCENDANTS};
use serde_json::{Value, json};

use crate::fixture::{Fixture, payload, resting_on, run, say, superseding};

/// A run in `home`, as the host records it.
struct Recorded<'a> {
    memory: &'a Fixture,
    name: &'static str,
}

impl<'a> Recorded<'a> {
    fn begin(memory: &'a Fixture, name: &'static str, reads: &[&str]) -> Self {
        let this = Self { memory, name };
        let sys = json!({"run": {"head": memory.head(), "grant": {"home": "home", "read": reads}}});
        this.append("quipu.run", json!({"input": "x"}), Some(sys));
        this
    }

    fn append(&self, kind: &str, said: Value, sys: Option<Value>) -> EventId {
        let mut draft = payload("home", said);
        (draft.kind, draft.run, draft.sys) = (Kind::new(kind).unwrap(), Some(run(self.name)), sys);
        self.memory.append(draft).id
    }

    fn write(&self) -> EventId {
        self.append("memory.write", json!({"text": "by a run"}), None)
    }

    fn told(&self, told: Value) -> EventId {
        self.append("quipu.run.told", json!({ "told": told }), None)
    }

    fn end(&self, said: Value) -> EventId {
        self.append("quipu.run.end", said, Some(json!({"end": {"outcome": "ok"}})))
    }
}

fn descent(memory: &Fixture, events: &[EventId]) -> Vec<(EventId, Because)> {
    memory.catch_up();
    let found = memory.projections.descent(events, u64::MAX, &mut |_, _| {}).unwrap();
    found.iter().map(|entry| (entry.id, entry.because)).collect()
}

#[test]
fn what_names_an_event_descends_and_what_names_that() {
    let memory = Fixture::new();
    let root = memory.say("a", "root");
    let rests = memory.append(resting_on(say("b", "rests"), &[root])).id;
    let replaces = memory.append(superseding(say("a", "replaces"), rests)).id;
    memory.say("a", "apart");
    let far = memory.append(resting_on(say("a", "far"), &[replaces, root])).id;
    let all = [
        (rests, Because::Evidence),
        (replaces, Because::Supersedes),
        (far, Because::Evidence),
    ];
    assert_eq!(descent(&memory, &[root]), all);
    assert_eq!(descent(&memory, &[rests, root]), all[1..]);
    assert!(descent(&memory, &[far]).is_empty());
    let unknown = EventId(run("FA7").0);
    let refused = memory
        .projections
        .descent(&[unknown], u64::MAX, &mut |_, _| {})
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

#[test]
fn descendants_have_a_limit() {
    let memory = Fixture::new();
    let root = memory.say("a", "root");
    let rests = |_| {
        let mut draft = resting_on(say("a", "x"), &[root]);
        draft.kind = Kind::new("note").unwrap();
        draft
    };
    for batch in 0..DESCENDANTS / 1_000 {
        assert_eq!(
            memory.append_all((0..1_000).map(rests).collect()).len(),
            1_000,
            "{batch}"
        );
    }
    assert_eq!(descent(&memory, &[root]).len(), DESCENDANTS);
    memory.append(rests(0));
    memory.catch_up();
    let refused = memory
        .projections
        .descent(&[root], u64::MAX, &mut |_, _| {})
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(
        refused.to_string().contains("erase the whole scope instead"),
        "{refused}"
    );
}

#[test]
fn what_a_run_wrote_descends_from_what_it_read_and_was_shown() {
    let memory = Fixture::new();
    let ids: Vec<_> = (0..4).map(|i| memory.say("other", &format!("said {i}"))).collect();
    let read = Recorded::begin(&memory, "FA1", &["other"]);
    let by_reader = read.write();
    let end = read.end(json!({"output": "x", "read": {"other": [[0, 1], [3, 3]]}}));
    assert_eq!(
        descent(&memory, &[ids[1]]),
        [(by_reader, Because::Read), (end, Because::Read)]
    );
    assert!(descent(&memory, &[ids[2]]).is_empty());

    let shown = Recorded::begin(&memory, "FA2", &["other"]);
    let told = shown.told(json!([
        {"call": 1, "hits": {"hits": [[ids[2], 0.5]], "asOf": 9}},
        {"call": 2, "trail": {"events": [ids[0]], "complete": true, "asOf": 9}},
    ]));
    let by_shown = shown.write();
    let end = shown.end(json!({"output": "x", "read": {}}));
    let all = [
        (told, Because::Shown),
        (by_shown, Because::Shown),
        (end, Because::Shown),
    ];
    assert_eq!(descent(&memory, &[ids[2]]), all);
    assert_eq!(descent(&memory, &[ids[0]]).len(), 5);
    // On from what a run wrote.
    let rests = memory.append(resting_on(say("third", "rests"), &[by_shown])).id;
    assert_eq!(descent(&memory, &[ids[2]]).last(), Some(&(rests, Because::Evidence)));
}

#[test]
fn a_run_of_which_nothing_is_known_may_have_read_all_that_its_grant_allowed() {
    let memory = Fixture::new();
    let (granted, withheld) = (memory.say("other", "granted"), memory.say("third", "withheld"));
    let killed = Recorded::begin(&memory, "FA1", &["other"]);
    let first = killed.write();
    let past_head = memory.say("other", "past its head");
    assert_eq!(descent(&memory, &[granted]), [(first, Because::MayHaveRead)]);
    assert!(descent(&memory, &[withheld]).is_empty() && descent(&memory, &[past_head]).is_empty());

    // It looked again, and then it may have read that too. An end of an earlier release says nothing.
    let told = killed.told(json!([{"call": 1, "head": memory.head()}]));
    let second = killed.write();
    let end = killed.end(json!({"output": "x"}));
    let later = [
        (told, Because::MayHaveRead),
        (second, Because::MayHaveRead),
        (end, Because::MayHaveRead),
    ];
    assert_eq!(descent(&memory, &[past_head]), later);
    assert!(descent(&memory, &[withheld]).is_empty());
}

#[test]
fn impact_is_why_walked_forward() {
    let memory = Fixture::new();
    let root = memory.say("a", "root");
    let rests = memory.append(resting_on(say("a", "rests"), &[root])).id;
    let hidden = memory.append(resting_on(say("b", "elsewhere"), &[root])).id;
    memory.append(resting_on(say("a", "through what is hidden"), &[hidden]));
    memory.catch_up();
    let trail = memory
        .projections
        .impact(&memory.pinned(&["a"]), root)
        .unwrap()
        .unwrap();
    let ids: Vec<_> = trail.events.iter().map(|event| event.envelope.id).collect();
    assert_eq!(ids, [root, rests]);
    assert_eq!((trail.links[0].later, trail.links[0].earlier), (rests, root));
    assert!(
        memory
            .projections
            .impact(&memory.pinned(&["a"]), hidden)
            .unwrap()
            .is_none()
    );
}
