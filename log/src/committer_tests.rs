use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, Waker},
    thread,
};

use quipu_format::{Actor, Body, Kind, Scope, limits};
use tokio::runtime;

use crate::{CreateOptions, Draft, ErrorKind, Ledger, Receipt, Result, wait::block_on};

type Append<'a> = Pin<Box<dyn Future<Output = Result<Receipt>> + Send + 'a>>;

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

/// Waits until the committing thread does not watch any more: callers stage for themselves then.
fn until_idle(shared: &super::Shared) {
    while !shared.queue().idle {
        thread::yield_now();
    }
}

#[test]
fn past_the_bytes_that_may_be_queued_an_append_waits_for_room() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder);
    let shared = &ledger.committer().shared;
    let busy = shared.sequencer.lock().unwrap();
    let mut appends = append_too_much(&ledger);
    let queued = shared.queue().requests.len();
    let bytes: usize = shared.queue().requests.iter().map(|request| request.bytes).sum();
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

/// An append to a scope, polled once while nothing can be committed.
fn append<'a>(ledger: &'a Ledger, scope: &str, text: &str) -> Append<'a> {
    let mut append = unpolled(ledger, scope, text);
    assert!(poll(&mut append).is_pending());
    append
}

fn unpolled<'a>(ledger: &'a Ledger, scope: &str, text: &str) -> Append<'a> {
    let body = Body::new(None, &format!("{{\"text\":\"{text}\"}}")).unwrap();
    let (scope, actor, kind) = (Scope::new(scope), Actor::new("agent:a"), Kind::new("memory.write"));
    let draft = Draft::new(scope.unwrap(), actor.unwrap(), kind.unwrap(), body);
    Box::pin(ledger.append(draft))
}

#[test]
fn what_comes_while_the_sequencer_is_busy_is_made_ready_and_stays_if_its_caller_goes() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder);
    block_on(unpolled(&ledger, "a", "first")).unwrap();
    let shared = &ledger.committer().shared;
    until_idle(shared);
    let busy = shared.sequencer.lock().unwrap();
    // The committing thread is not waited for: it has one request that wakes it, and waits for the sequencer.
    let mut appends: Vec<_> = (0..5).map(|i| append(&ledger, "a", &i.to_string())).collect();
    let staged = shared.queue().staged;
    assert!(staged >= 4, "{staged} are staged");
    assert_eq!(shared.queue().waiting(), 5);
    // A new scope needs its keys on the disk first, and nobody overtakes.
    let behind = [append(&ledger, "b", "new"), append(&ledger, "a", "last")];
    assert_eq!(shared.queue().requests.len(), 2 + 5 - staged);
    drop(appends.remove(2));
    drop(busy);
    let receipts: Vec<_> = appends
        .into_iter()
        .chain(behind)
        .map(|append| block_on(append).unwrap().seq)
        .collect();
    assert_eq!(receipts, [2, 3, 5, 6, 7, 8]);
    assert_eq!(shared.room.available_permits(), limits::QUEUED_BYTES);
    let path = folder.path().join("ledger");
    ledger.close().unwrap();
    let verified = crate::verify(&path, &mut |_| {}).unwrap();
    assert!(verified.fault.is_none() && verified.entries == 9, "{verified:?}");
}

#[test]
fn what_was_made_ready_for_a_write_that_fails_or_behind_it_is_answered_and_kept_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder);
    block_on(unpolled(&ledger, "a", "first")).unwrap();
    let shared = &ledger.committer().shared;
    until_idle(shared);
    let mut busy = shared.sequencer.lock().unwrap();
    let lost = [append(&ledger, "a", "0"), append(&ledger, "a", "1")];
    busy.lose_disk().unwrap();
    let failed = busy.commit(shared.take_batch(0));
    // The write has failed, and nobody knows yet.
    let behind = append(&ledger, "a", "2");
    assert!(failed.answer().is_empty());
    drop(busy);
    for append in lost {
        let error = block_on(append).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("unknown"), "{error}");
    }
    for append in [behind, unpolled(&ledger, "a", "3")] {
        let error = block_on(append).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("nothing of this was appended"), "{error}");
    }
    assert_eq!(ledger.reader().head(), 2);
    ledger.close().unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger"), crate::OpenOptions::default()).unwrap();
    assert_eq!(ledger.reader().head(), 2);
    assert_eq!(block_on(unpolled(&ledger, "a", "again")).unwrap().seq, 2);
}

/// Appends one after the other; whether each was durable when it was first polled, which it is where its own thread
/// committed it, or where that was held up while the committing thread did.
async fn in_place(ledger: &Ledger, count: usize) -> Vec<bool> {
    let mut seen = Vec::new();
    for i in 0..count {
        let mut append = unpolled(ledger, "a", &i.to_string());
        let first = poll_fn(|context| Poll::Ready(append.as_mut().poll(context))).await;
        seen.push(first.is_ready());
        if first.is_pending() {
            append.await.unwrap();
        }
    }
    seen
}

/// Not so that its own thread committed them.
fn rarely(in_place: &[bool]) -> bool {
    in_place.iter().filter(|in_place| **in_place).count() <= in_place.len() / 2
}

#[test]
fn one_writer_on_tasks_commits_on_its_own_thread_where_that_may_block() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder);
    let several = runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let one = runtime::Builder::new_current_thread().build().unwrap();
    let run = |count| {
        let ledger = ledger.clone();
        block_on(several.spawn(async move { in_place(&ledger, count).await })).unwrap()
    };
    let seen = run(80);
    assert!(rarely(&seen[..3]), "it is not known yet: {seen:?}");
    assert!(seen.iter().filter(|in_place| **in_place).count() > 60, "{seen:?}");
    assert!(
        seen[10..].contains(&false),
        "nobody looks whether there are others: {seen:?}"
    );
    assert!(
        rarely(&one.block_on(in_place(&ledger, 10))),
        "the executor's only thread"
    );
    assert!(
        rarely(&several.block_on(in_place(&ledger, 10))),
        "a thread that is none of the executor's"
    );
    let local = tokio::task::LocalSet::new();
    assert!(
        rarely(&local.block_on(&several, in_place(&ledger, 10))),
        "a task that stays on its thread"
    );
    assert!(run(10).contains(&true));
}

#[test]
fn a_task_that_appends_several_things_at_once_is_not_taken_for_one_writer_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder);
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let (task, before) = (ledger.clone(), ledger.reader().head());
    let in_place = block_on(runtime.spawn(async move {
        assert!(in_place(&task, 10).await.contains(&true));
        let mut alone = 0;
        for _ in 0..20 {
            let mut appends: Vec<_> = (0..50).map(|i| unpolled(&task, "a", &i.to_string())).collect();
            let first = poll_fn(|context| {
                appends.retain_mut(|append| append.as_mut().poll(context).is_pending());
                Poll::Ready(50 - appends.len())
            });
            alone += first.await;
            for append in appends {
                append.await.unwrap();
            }
        }
        alone
    }));
    assert_eq!(ledger.reader().head(), before + 10 + 20 * 50);
    let in_place = in_place.unwrap();
    assert!(
        in_place < 100,
        "{in_place} of 1,000 appends have waited for a sync each"
    );
}
