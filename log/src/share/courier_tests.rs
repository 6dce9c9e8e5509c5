//! Who waits for what, where the process that writes answers as these tests say.

use std::{os::unix::net::UnixStream, path::Path, sync::Arc, thread, time::Duration};

use quipu_format::{Actor, Body, EventId, Hash, Kind, Scope, Timestamp};
use ulid::Ulid;

use super::{
    Client, Join,
    connection::Connection,
    protocol::{self, Answer, Question, Refusal},
};
use crate::{
    CreateOptions, Draft, Ledger, OpenOptions, Receipt, Result, disk::Folder, intake::By, request, request::Receipts,
    screen::Screens,
};

/// A client, and the writer's end of its connection.
fn client(path: &Path) -> (Client, Connection) {
    let ledger = Ledger::create(path, CreateOptions::new("example.com/asked")).unwrap();
    ledger.close().unwrap();
    let reader = Ledger::open_read_only(path).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let join = Join::new(path, Folder::open(path).unwrap(), OpenOptions::default());
    let client = Client::start(reader, join, Connection::new(Arc::new(ours)), 1, Screens::default()).unwrap();
    (client, Connection::new(Arc::new(theirs)))
}

fn draft() -> Vec<Draft> {
    let body = Body::new(None, r#"{"text":"x"}"#).unwrap();
    let (scope, actor) = (Scope::new("a").unwrap(), Actor::new("agent:x").unwrap());
    vec![Draft::new(scope, actor, Kind::new("note").unwrap(), body)]
}

/// Hears a question: of how many appends, and whether a checkpoint is asked for.
fn question(writer: &mut Connection) -> (usize, Option<u64>) {
    let length = writer.next(Some(Duration::from_secs(10))).unwrap().unwrap();
    match protocol::parse(&writer.rest(length).unwrap()).unwrap() {
        Question::Append(requests) => (requests.len(), None),
        Question::Prove(requests, size) => (requests.len(), Some(size)),
        Question::Rotate => panic!("nobody asked for that"),
    }
}

fn appended(seqs: &[u64]) -> Answer {
    let receipt = |&seq: &u64| -> std::result::Result<_, Refusal> {
        Ok(vec![Receipt {
            seq,
            id: EventId(Ulid(seq.into())),
            ts: Timestamp::from_ms(1),
            hash: Hash::of_nothing(),
            repeated: false,
        }])
    };
    Answer::Appended {
        head: 1,
        each: seqs.iter().map(receipt).collect(),
    }
}

fn told(answer: &request::Answer) -> Option<Result<Receipts>> {
    for _ in 0..1_000 {
        if let Some(told) = answer.now() {
            return told;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("left waiting");
}

/// All that was sent together waited for the checkpoint that one of them had asked for.
#[test]
fn only_who_asked_for_a_checkpoint_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (client, mut writer) = client(folder.path());
    let first = client.queue(draft(), By::Committer).unwrap();
    assert_eq!(question(&mut writer), (1, None));
    // Both wait for the answer to the first, and are sent together.
    let plain = client.queue(draft(), By::Committer).unwrap();
    let proved = client.queue_covered(draft(), By::Committer).unwrap();
    writer.send(&appended(&[1])).unwrap();
    assert_eq!(told(&first).unwrap().unwrap()[0].seq, 1);
    assert_eq!(question(&mut writer), (2, Some(0)));
    writer.send(&appended(&[2, 3])).unwrap();
    assert_eq!(told(&plain).unwrap().unwrap()[0].seq, 2);
    thread::sleep(Duration::from_millis(50));
    assert!(proved.now().is_none(), "no checkpoint covers it yet");
    writer.send(&Answer::Covered).unwrap();
    assert_eq!(told(&proved).unwrap().unwrap()[0].seq, 3);
    // What is durable is so also where the writer goes before it has signed a checkpoint.
    let proved = client.queue_covered(draft(), By::Committer).unwrap();
    assert_eq!(question(&mut writer), (1, Some(0)));
    writer.send(&appended(&[4])).unwrap();
    drop(writer);
    assert_eq!(told(&proved).unwrap().unwrap()[0].seq, 4);
    client.close().unwrap();
}
