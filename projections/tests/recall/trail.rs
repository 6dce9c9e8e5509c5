use quipu_format::{EventId, Kind, limits};
use quipu_projections::{Handle, Link, Relation, Trail, View};
use serde_json::json;

use crate::fixture::{Fixture, payload, resting_on, run, say, scope, superseding};

fn why(memory: &Fixture, scopes: &[&str], id: EventId) -> Option<Trail> {
    memory.catch_up();
    memory.projections.why(&memory.pinned(scopes), id).unwrap()
}

fn ids(trail: &Trail) -> Vec<EventId> {
    trail.events.iter().map(|event| event.envelope.id).collect()
}

#[test]
fn a_trail_leads_to_the_roots_the_nearest_first() {
    let memory = Fixture::new();
    let said = memory.say("a:1", "send PDFs");
    let again = memory.say("a:1", "PDFs, please");
    let old = memory.append(resting_on(say("a:1", "wants paper"), &[said])).id;
    let new = memory
        .append(superseding(
            resting_on(say("a:1", "wants PDFs"), &[said, again, said]),
            old,
        ))
        .id;
    let answer = memory.append(resting_on(say("a:1", "PDF"), &[new])).id;
    memory.say("a:1", "unrelated");

    let trail = why(&memory, &["a:1"], answer).unwrap();
    assert_eq!(ids(&trail), [answer, new, said, again, old]);
    let link = |later, earlier, relation| Link {
        later,
        earlier,
        relation,
    };
    let links = [
        link(answer, new, Relation::Evidence),
        link(new, said, Relation::Evidence),
        link(new, again, Relation::Evidence),
        link(new, old, Relation::Supersedes),
        link(old, said, Relation::Evidence),
    ];
    assert_eq!(trail.links, links);
    assert!(trail.complete);
    assert_eq!(trail.as_of, memory.head());
    assert_eq!(ids(&why(&memory, &["a:1"], said).unwrap()), [said]);
}

#[test]
fn what_the_view_does_not_show_is_neither_shown_nor_walked_through() {
    let memory = Fixture::new();
    let root = memory.say("a:1", "root");
    let hidden = memory.append(resting_on(say("b:2", "hidden"), &[root])).id;
    let shown = memory
        .append(superseding(resting_on(say("a:1", "shown"), &[hidden]), hidden))
        .id;
    let trail = why(&memory, &["a:1"], shown).unwrap();
    assert_eq!((ids(&trail), trail.links.len(), trail.complete), (vec![shown], 0, true));
    assert_eq!(
        ids(&why(&memory, &["a:1", "b:2"], shown).unwrap()),
        [shown, hidden, root]
    );
    assert!(why(&memory, &["a:1"], hidden).is_none());
    assert!(why(&memory, &[], shown).is_none());
    let nobody = "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    assert!(why(&memory, &["a:1"], nobody).is_none());
}

#[test]
fn a_pinned_run_walks_from_its_own_entries() {
    let memory = Fixture::new();
    let before = memory.say("a:1", "before");
    let head = memory.head();
    let late = memory.say("a:1", "late");
    let mut own = resting_on(say("a:1", "own"), &[before, late]);
    own.run = Some(run("FAV"));
    let own = memory.append(own).id;
    memory.catch_up();
    let view = |name| {
        View::Handles(vec![Handle {
            scope: scope("a:1"),
            head,
            run: Some(run(name)),
        }])
    };
    assert_eq!(
        ids(&memory.projections.why(&view("FAV"), own).unwrap().unwrap()),
        [own, before]
    );
    assert!(memory.projections.why(&view("FAW"), own).unwrap().is_none());
}

#[test]
fn what_is_not_folded_yet_has_no_trail() {
    let memory = Fixture::new();
    memory.catch_up();
    let id = memory.say("a:1", "new");
    assert!(
        memory
            .projections
            .why(&View::Everything { head: u64::MAX }, id)
            .unwrap()
            .is_none()
    );
    memory.catch_up();
    assert!(
        memory
            .projections
            .why(&View::Everything { head: u64::MAX }, id)
            .unwrap()
            .is_some()
    );
}

#[test]
fn the_hosts_own_entries_are_part_of_a_trail() {
    let memory = Fixture::new();
    let mut start = say("a:1", "a run's input");
    start.kind = Kind::new("quipu.run").unwrap();
    let start = memory.append(start).id;
    let drawn = memory.append(resting_on(say("a:1", "drawn"), &[start])).id;
    assert_eq!(ids(&why(&memory, &["a:1"], drawn).unwrap()), [drawn, start]);
}

#[test]
fn a_trail_is_cut_at_a_thousand_events() {
    let memory = Fixture::new();
    let mut layer: Vec<_> = memory
        .append_all((0..1_000).map(|_| say("a:1", "root")).collect())
        .into_iter()
        .map(|r| r.id)
        .collect();
    while layer.len() > 1 {
        let next = layer
            .chunks(limits::LINKS)
            .map(|named| resting_on(say("a:1", "drawn"), named))
            .collect();
        layer = memory.append_all(next).into_iter().map(|r| r.id).collect();
    }
    let trail = why(&memory, &["a:1"], layer[0]).unwrap();
    assert_eq!((trail.events.len(), trail.complete), (limits::PAGE_EVENTS, false));
    // 1 + 4 + 995 of the roots: every event but the first is named once.
    assert_eq!(trail.links.len(), limits::PAGE_EVENTS - 1);
}

#[test]
fn a_trail_is_cut_at_four_mebibytes() {
    let memory = Fixture::new();
    let large = || payload("a:1", json!({ "text": "x".repeat(1_000_000) }));
    let mut last = memory.append(large()).id;
    for _ in 0..9 {
        last = memory.append(resting_on(large(), &[last])).id;
    }
    let trail = why(&memory, &["a:1"], last).unwrap();
    assert_eq!((trail.events.len(), trail.links.len(), trail.complete), (5, 4, false));
}
