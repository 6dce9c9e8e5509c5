use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
    thread,
};

use quipu_format::{Actor, Body, Kind, Scope, limits};

use crate::{CreateOptions, Draft, ErrorKind, Ledger, Receipt, Result, wait::block_on};

type Append<'a> = Pin<Box<dyn Future<Output = Result<Receipt>> + 'a>>;

/// Appends that take more than may be queued, each polled once.
fn append_too_much(ledger: &Ledger) -> Vec<Append<'_>> {
    let body = Body::new(None, &format!("{{\"text\":\"{}\"}}", "x".repeat(1_000_000))).unwrap();
    let (scope, actor, kind) = (Scope::new("a"), Actor::new("agent:a"), Kind::new("memory.write"));
    let draft = Draft::new(scope.unwrap(), actor.unwrap(), kind.unwrap(), body);
    let mut appends: Vec<Append<'_>> = (0..60)
        .map(|_| -> Append<'_> { Box::pin(ledger.append(draft.clone())) })
        .collect();
    assert!(appends.iter_mut().all(|append| poll(append).is_pending()));
    appends
}

fn poll(append: &mut Append<'_>) -> Poll<Result<Receipt>> {
    append.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn ledger(folder: &tempfile::TempDir) -> Ledger {
    Ledger::create(&folder.path().join("ledger"), CreateOptions::new("example.com/test")).unwrap()
}

#[test]
fn past_the_bytes_that_may_be_queued_an_append_waits_for_room() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder);
    let shared = &ledger.committer().shared;
    let busy = shared.sequencer.lock().unwrap();
    let mut appends = append_too_much(&ledger);
    let queued = shared.queue().requests.len();
    let bytes: usize = shared.queue().requests.iter().map(|request| request.bytes()).sum();
    assert!(bytes <= limits::QUEUED_BYTES && bytes + bytes / queued > limits::QUEUED_BYTES);
    assert!(queued < 58, "{queued} of 60");
    // Whoever stops waiting for room has appended nothing and holds up nobody; what is queued stays.
    drop(appends.remove(queued + 1));
    drop(appends.remove(queued));
    drop(appends.remove(0));
    drop(busy);
    for append in appends {
        block_on(append).unwrap();
    }
    assert_eq!(ledger.reader().head(), 1 + 58);
    assert_eq!(shared.room.available_permits(), limits::QUEUED_BYTES);
}

#[test]
fn whoever_waits_for_room_when_the_ledger_is_closed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder);
    let shared = &ledger.committer().shared;
    let busy = shared.sequencer.lock().unwrap();
    let mut appends = append_too_much(&ledger);
    let queued = shared.queue().requests.len();
    thread::scope(|threads| {
        let closing = threads.spawn(|| ledger.clone().close());
        for append in appends.drain(queued..) {
            assert_eq!(block_on(append).unwrap_err().kind(), ErrorKind::Unavailable);
        }
        drop(busy);
        closing.join().unwrap().unwrap();
    });
    for append in appends {
        block_on(append).unwrap();
    }
}
