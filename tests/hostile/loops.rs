//! Components that are no agents, and never end.

use std::{
    fs,
    time::{Duration, Instant},
};

use quipu_format::{Actor, Scope, ScopePattern};
use quipu_host::{
    Compactor, CompactorComponent, Error, Outcome, ProjectionAnswer, ProjectionComponent, Projector, add_projection,
    projections_of,
};
use quipu_projections::Projections;

use crate::{
    components,
    driver::guest,
    house::{House, LOOPING},
};

/// What a machine that is busy takes longer than the deadline, at most.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn a_compactor_that_never_ends(house: &mut House) {
    let component = CompactorComponent::new(&fs::read(guest("compactor")).unwrap()).unwrap();
    let compactor = Compactor::new(house.memory(), house.limits.clone()).unwrap();
    let (scope, actor) = (Scope::new(LOOPING).unwrap(), Actor::new("agent:test").unwrap());
    let begin = Instant::now();
    let ran = house.bounded(|house| house.wait(compactor.run(&component, &scope, &actor, true)));
    let ran = ran.unwrap();
    assert_eq!(ran.outcome, Outcome::TimedOut);
    assert!(ran.receipts.is_empty());
    assert!(begin.elapsed() < deadline(house) + PATIENCE);
    house.counts(ran.run);
}

pub(crate) fn a_projection_that_never_ends_in_apply(house: &mut House) {
    let said = ask(house, "apply", 1).unwrap_err().to_string();
    assert!(said.contains("passed the deadline"), "{said}");
}

pub(crate) fn a_projection_that_never_ends_in_snapshot(house: &mut House) {
    let said = ask(house, "snapshot", 1).unwrap_err().to_string();
    assert!(said.contains("passed the deadline"), "{said}");
}

pub(crate) fn a_projection_that_never_ends_in_query(house: &mut House) {
    let said = ask(house, "query", 1).unwrap_err().to_string();
    assert!(said.contains("passed the deadline"), "{said}");
}

/// It is fed anew, as one that refuses its state is.
pub(crate) fn a_projection_that_never_ends_in_restore(house: &mut House) {
    let begin = Instant::now();
    assert_eq!(ask(house, "restore", 2).unwrap().output, Ok(String::new()));
    assert!(begin.elapsed() >= deadline(house), "it restored nothing");
}

fn deadline(house: &House) -> Duration {
    Duration::from_millis(house.limits.deadline_ms)
}

/// Asks a projection, so many times, that computes for ever in one of its functions and does nothing in the others.
fn ask(house: &House, looping: &str, times: usize) -> Result<ProjectionAnswer, Error> {
    let function = |name: &str, parameters: &str| {
        let body = if name == looping {
            "(loop $l (br $l)) unreachable"
        } else {
            "(i32.const 16)"
        };
        format!("(func (export \"quipu:memory/fold@0.1.0#{name}\") {parameters} (result i32) {body})")
    };
    let text = format!(
        "(module
            (memory (export \"memory\") 64)
            (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
            {} {} {} {})\n;;! world export fold;\n",
        function("apply", "(param i32 i32)"),
        function("snapshot", ""),
        function("restore", "(param i32 i32)"),
        function("query", "(param i32 i32)")
    );
    let component = ProjectionComponent::new(&components::of_text(looping, &text)).unwrap();
    let name: quipu_format::ProjectionName = format!("loops-in-{looping}").parse().unwrap();
    let scopes = vec![ScopePattern::from(&Scope::new(LOOPING).unwrap())];
    add_projection(&house.ledger, name.clone(), &component, scopes).unwrap();
    let reader = house.ledger.reader();
    reader.refresh().unwrap();
    let added = projections_of(reader).unwrap();
    let added = added.iter().find(|added| added.setting.name == name).unwrap();
    let projections = Projections::open(reader).unwrap();
    let projector = Projector::new(house.limits.clone()).unwrap();
    let begin = Instant::now();
    let mut answer = None;
    for _ in 0..times {
        answer = Some(house.bounded(|_| projector.ask(reader, &projections, added, "", &mut |_, _| {})));
    }
    assert!(begin.elapsed() < deadline(house) + PATIENCE);
    answer.unwrap()
}
