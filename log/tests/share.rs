//! One ledger, several processes. Here they are several opened ledgers of one process, which the lock keeps apart just
//! the same, and peers that speak to the socket by hand; `tests/writers.rs` has processes that are killed.

// Long because one short test a behaviour of both ends, and of what a hostile peer may try.

mod ledgers;

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt, symlink},
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use ledgers::{TestLedger, draft, text_of};
use quipu_format::{Actor, Body, EventId, Kind, Scope, limits};
use quipu_log::{CreateOptions, Draft, ErrorKind, Ledger, OpenOptions, Receipt, verify};
use serde_json::{Value, json};

/// The version byte, and an empty question.
const VERSION: u8 = 5;
const NOTHING: &[u8] = br#"{"append":[]}"#;

fn shared(path: &Path) -> Ledger {
    Ledger::open_shared(path, OpenOptions::default()).unwrap()
}

fn within(wait: Duration) -> OpenOptions {
    let mut options = OpenOptions::default();
    options.wait = wait;
    options
}

/// A message as it goes over the socket.
fn message(json: &[u8]) -> Vec<u8> {
    let length = (json.len() as u32).to_be_bytes();
    [&[VERSION][..], &length, json].concat()
}

/// Somebody who speaks to the socket by hand.
struct Peer(UnixStream);

impl Peer {
    fn connect(test: &TestLedger) -> Self {
        let stream = UnixStream::connect(test.path().join("socket")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(stream)
    }

    /// One that has been told that it is served.
    fn ready(test: &TestLedger) -> Self {
        let mut peer = Self::connect(test);
        let said = peer.hear().unwrap();
        assert!(said["ready"]["head"].is_u64(), "{said}");
        peer
    }

    fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn hear(&mut self) -> io::Result<Value> {
        let mut header = [0; 5];
        self.0.read_exact(&mut header)?;
        assert_eq!(header[0], VERSION);
        let length = u32::from_be_bytes(header[1..].try_into().unwrap());
        let mut json = vec![0; length as usize];
        self.0.read_exact(&mut json)?;
        Ok(serde_json::from_slice(&json).unwrap())
    }

    /// Hears a refusal, and then the end.
    #[track_caller]
    fn hears_refusal(mut self, word: &str) {
        let said = self.hear().unwrap();
        let why = said["refused"]["message"].as_str().unwrap_or_default();
        assert!(why.contains(word), "{said}");
        let end = self.0.read(&mut [0]);
        assert!(
            matches!(&end, Ok(0)) || matches!(&end, Err(e) if e.kind() == io::ErrorKind::ConnectionReset),
            "{end:?}"
        );
    }
}

/// A draft as it goes over the socket.
fn sent(text: &str) -> Value {
    json!({"scope": "a", "actor": "agent:peer", "kind": "memory.write", "payload": {"text": text}})
}

#[track_caller]
fn quick<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = work();
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{what} took {:?}",
        begin.elapsed()
    );
    done
}

fn texts(path: &Path) -> Vec<String> {
    let reader = Ledger::open_read_only(path).unwrap();
    let events = reader.events(0..u64::MAX).map(Result::unwrap);
    let said = events.filter(|event| !event.envelope.kind.is_reserved());
    said.map(|event| text_of(&event)).collect()
}

#[test]
fn a_second_process_appends_through_the_first_and_reads_what_it_wrote() {
    let test = TestLedger::create();
    let first = shared(test.path());
    let second = shared(test.path());
    for n in 0..20 {
        let ledger = [&first, &second][n % 2];
        let receipt = ledger.append_blocking(draft("a", &n.to_string())).unwrap();
        assert_eq!((receipt.seq, receipt.repeated), (n as u64 + 1, false));
        let event = ledger
            .reader()
            .event(receipt.seq)
            .unwrap()
            .expect("its own entry is shown at once");
        assert_eq!(
            (event.envelope.id, event.envelope.ts, event.hash),
            (receipt.id, receipt.ts, receipt.hash)
        );
        assert_eq!(ledger.reader().find(receipt.id).unwrap(), Some(receipt.seq));
        // What was handed over has a key, so that it can be repeated; what was not has none.
        assert_eq!(event.envelope.key.is_some(), n % 2 == 1);
    }
    assert_eq!(first.reader().head(), 21);
    second.close().unwrap();
    first.close().unwrap();
    assert_eq!(test.verify().fault, None);
    assert_eq!(texts(test.path()), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn what_others_append_is_shown_after_a_refresh() {
    let test = TestLedger::create();
    let first = shared(test.path());
    let second = shared(test.path());
    assert_eq!(second.reader().head(), first.reader().head());
    let executor = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..20 {
        let receipt = first.append_blocking(draft("a", "x")).unwrap();
        assert_eq!(executor.block_on(second.refresh()).unwrap(), receipt.seq + 1);
        assert!(second.reader().event(receipt.seq).unwrap().is_some());
    }
}

#[test]
fn drafts_arrive_as_they_were() {
    let test = TestLedger::create();
    let first = shared(test.path());
    let second = shared(test.path());
    let said = first.append_blocking(draft("a", "first")).unwrap();
    let deep = format!("{}{}", r#"{"a":"#.repeat(120), "1".to_owned() + &"}".repeat(120));
    let source = json!({"channel": "c", "conversationId": "ü", "extra": {"n": 1.50}, "original": {"ts": "x"}});
    let source = serde_json::from_value(source).unwrap();
    let mut full = Draft::new(
        Scope::new("b").unwrap(),
        Actor::new("host:test").unwrap(),
        Kind::new("quipu.test").unwrap(),
        Body::new(
            Some(source),
            &format!(" {{ \"text\" :\n\t\"\\u0000 \", \"deep\": {deep} }} "),
        )
        .unwrap(),
    );
    full.run = Some("01KHWD2DWK00000000000000Z7".parse().unwrap());
    full.evidence = vec![said.id];
    full.supersedes = vec![said.id];
    full.sys = Some(serde_json::from_str(&deep).unwrap());
    let receipts: Vec<_> = [&first, &second]
        .map(|ledger| ledger.append_blocking(full.clone()).unwrap())
        .to_vec();
    let events: Vec<_> = receipts
        .iter()
        .map(|receipt| first.reader().event(receipt.seq).unwrap().unwrap())
        .collect();
    assert_eq!(events[0].payload(), events[1].payload());
    assert_eq!(events[0].body().unwrap().source, events[1].body().unwrap().source);
    let rest = |at: usize| {
        let envelope = events[at].envelope.clone();
        (
            envelope.run,
            envelope.evidence,
            envelope.supersedes,
            envelope.sys,
            envelope.kind,
            envelope.actor,
        )
    };
    assert_eq!(rest(0), rest(1));
}

#[test]
fn refusals_are_those_of_the_writer() {
    let test = TestLedger::create();
    let first = shared(test.path());
    let second = shared(test.path());
    let mut keyed = draft("a", "kept");
    keyed.key = Some("k".into());
    let kept = first.append_blocking(keyed.clone()).unwrap();
    let again = second.append_blocking(keyed.clone()).unwrap();
    assert_eq!(again, Receipt { repeated: true, ..kept });

    let with = |change: &dyn Fn(&mut Draft)| {
        let mut draft = draft("a", "x");
        change(&mut draft);
        vec![draft]
    };
    let unknown: EventId = "evt_01KHWD2DWK00000000000000Z8".parse().unwrap();
    let bad = [
        vec![],
        vec![draft("a", "x"); limits::DRAFTS + 1],
        with(&|draft| draft.evidence = vec![unknown]),
        with(&|draft| draft.evidence = vec![unknown; limits::LINKS + 1]),
        with(&|draft| draft.key = Some(String::new())),
        with(&|draft| draft.key = Some("k".repeat(129))),
        with(&|draft| draft.key = Some("k".into())),
        with(&|draft| draft.sys = Some(json!({}))),
        vec![draft("a", &"x".repeat(900_000)); 20],
    ];
    for drafts in bad {
        let mine = first.append_all_blocking(drafts.clone()).unwrap_err();
        let theirs = second.append_all_blocking(drafts).unwrap_err();
        assert_eq!((mine.kind(), mine.to_string()), (theirs.kind(), theirs.to_string()));
    }
    let last = second
        .append_all_blocking(vec![draft("a", "1"), draft("b", "2")])
        .unwrap();
    assert_eq!((last[0].seq, last[1].seq), (2, 3), "nothing of those was appended");
}

#[test]
fn many_tasks_append_through_one_connection() {
    let test = TestLedger::create();
    let first = shared(test.path());
    let second = shared(test.path());
    let executor = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let tasks: Vec<_> = (0..32)
        .map(|task| {
            let ledger = second.clone();
            executor.spawn(async move {
                let mut seqs = Vec::new();
                for n in 0..20 {
                    let text = format!("{task} {n}");
                    let receipt = ledger.append(draft("a", &text)).await.unwrap();
                    let event = ledger.reader().event(receipt.seq).unwrap().unwrap();
                    assert_eq!(text_of(&event), text);
                    seqs.push(receipt.seq);
                }
                seqs
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(executor.block_on(task).unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (1..=640).collect::<Vec<_>>());
    second.close().unwrap();
    first.close().unwrap();
    assert_eq!(test.verify().fault, None);
}

#[test]
fn components_are_kept_from_any_process() {
    let test = TestLedger::create();
    let ledgers = [shared(test.path()), shared(test.path()), shared(test.path())];
    thread::scope(|scope| {
        for ledger in &ledgers {
            scope.spawn(move || {
                for n in 0..20_u8 {
                    let bytes = vec![n; 300_000];
                    let digest = ledger.put_component(&bytes).unwrap();
                    assert_eq!(ledger.reader().component(&digest).unwrap(), Some(bytes));
                }
            });
        }
    });
    assert_eq!(fs::read_dir(test.path().join("components")).unwrap().count(), 20);
}

/// Ledgers are closed one after the other, so that each has its turn to write, while all that are left append.
#[test]
fn the_next_takes_over_and_each_append_is_there_once() {
    const LEDGERS: usize = 6;
    let test = TestLedger::create();
    let ledgers: Vec<_> = (0..LEDGERS).map(|_| shared(test.path())).collect();
    let acknowledged = thread::scope(|scope| {
        let threads: Vec<_> = ledgers
            .into_iter()
            .enumerate()
            .map(|(who, ledger)| {
                scope.spawn(move || {
                    let count = 40 * (who + 1);
                    let receipts = (0..count).map(|n| {
                        let text = format!("{who} {n}");
                        let receipt = ledger.append_blocking(draft("a", &text)).unwrap();
                        assert!(!receipt.repeated);
                        let event = ledger
                            .reader()
                            .event(receipt.seq)
                            .unwrap()
                            .expect("it is shown at once");
                        assert_eq!(text_of(&event), text);
                        (receipt.seq, text)
                    });
                    let receipts: Vec<_> = receipts.collect();
                    quick("closing", || ledger.close()).unwrap();
                    receipts
                })
            })
            .collect();
        let mut all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        all.sort();
        all
    });
    assert_eq!(test.verify().fault, None);
    let said: Vec<_> = acknowledged.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts(test.path()), said);
}

/// The writer commits what was handed to it, and dies before it answers.
#[test]
fn what_was_committed_but_not_answered_is_not_appended_twice() {
    for committed in [true, false] {
        let test = TestLedger::create();
        let lock = File::options().write(true).open(test.path().join("lock")).unwrap();
        lock.try_lock().unwrap();
        let listener = UnixListener::bind(test.path().join("socket")).unwrap();
        let path = test.path().to_owned();
        let client = thread::spawn(move || {
            let ledger = shared(&path);
            let receipts = ledger
                .append_all_blocking(vec![draft("a", "one"), draft("a", "two")])
                .unwrap();
            ledger.close().unwrap();
            receipts
        });
        let mut peer = Peer(listener.accept().unwrap().0);
        peer.say(&message(br#"{"ready":{"head":1}}"#));
        let question = peer.hear().unwrap();
        drop(listener);
        drop(lock);
        let mut first = None;
        if committed {
            let mut drafts = vec![draft("a", "one"), draft("a", "two")];
            for (draft, sent) in drafts.iter_mut().zip(question["append"][0].as_array().unwrap()) {
                draft.key = Some(sent["key"].as_str().unwrap().to_owned());
            }
            let ledger = test.open();
            first = Some(ledger.append_all_blocking(drafts).unwrap());
            ledger.close().unwrap();
        }
        drop(peer);
        let receipts = client.join().unwrap();
        assert!(
            first.is_none_or(|first| first == receipts),
            "the first receipts, as if nothing had happened"
        );
        assert_eq!(texts(test.path()), ["one", "two"]);
        assert_eq!(test.verify().fault, None);
    }
}

#[test]
fn when_nobody_can_take_over_the_outcome_is_unknown_and_later_appends_try_again() {
    let test = TestLedger::create();
    let first = shared(test.path());
    let second = shared(test.path());
    first.close().unwrap();
    let (checkpoint, away) = (test.path().join("checkpoint"), test.path().join("away"));
    fs::rename(&checkpoint, &away).unwrap();
    let refused = second.append_blocking(draft("a", "x")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Tampered, "it was never sent: {refused}");
    fs::rename(&away, &checkpoint).unwrap();
    assert_eq!(second.append_blocking(draft("a", "x")).unwrap().seq, 1);
}

#[test]
fn a_closed_ledger_takes_no_more_and_the_lock_is_free() {
    let test = TestLedger::create();
    let first = shared(test.path());
    let second = shared(test.path());
    let other = second.clone();
    quick("closing a client", || second.close()).unwrap();
    assert_eq!(
        other.append_blocking(draft("a", "x")).unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    let third = shared(test.path());
    quick("closing the writer", || first.close()).unwrap();
    assert_eq!(third.append_blocking(draft("a", "x")).unwrap().seq, 1);
    drop((other, third));
    assert!(!test.path().join("socket").exists(), "its name goes with the writer");
    test.open().append_blocking(draft("a", "x")).unwrap();
}

#[test]
fn the_owner_alone_may_connect_and_what_a_killed_writer_left_is_replaced() {
    let test = TestLedger::create();
    let socket = test.path().join("socket");
    drop(UnixListener::bind(&socket).unwrap());
    let first = shared(test.path());
    let metadata = fs::symlink_metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let second = shared(test.path());
    assert_eq!(second.append_blocking(draft("a", "x")).unwrap().seq, 1);
    assert_eq!(first.reader().head(), 2);
}

#[test]
fn another_user_is_refused_though_it_may_open_the_socket() {
    let is_root = fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let has_python = Command::new("python3").arg("--version").output().is_ok();
    if !is_root || !has_python {
        eprintln!("skipped, this needs root and python3: that another user is refused");
        return;
    }
    let test = TestLedger::create();
    let _first = shared(test.path());
    let socket = test.path().join("socket");
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    open(&socket, 0o666);
    open(test.path().parent().unwrap(), 0o755);
    open(test.path(), 0o755);
    let script = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
sys.stdout.buffer.write(s.recv(4096))";
    let mut python = Command::new("python3");
    python
        .args(["-c", script])
        .arg(&socket)
        .uid(65_534)
        .gid(65_534)
        .current_dir("/");
    let said = python.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.contains("runs as another user") && !said.contains("ready"),
        "{said}"
    );
}

#[test]
fn a_ledger_may_lie_deeper_than_a_sockets_name_is_long() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = [folder.path(), Path::new(&"d".repeat(100)), Path::new(&"e".repeat(100))]
        .iter()
        .collect();
    Ledger::create(&path, CreateOptions::new("example.com/deep"))
        .unwrap()
        .close()
        .unwrap();
    let first = shared(&path);
    let second = shared(&path);
    assert_eq!(second.append_blocking(draft("a", "x")).unwrap().seq, 1);
    assert_eq!(first.reader().head(), 2);
}

#[test]
fn a_link_in_place_of_the_socket_is_not_followed() {
    let test = TestLedger::create();
    let elsewhere = TestLedger::create();
    let _other = shared(elsewhere.path());
    let lock = File::options().write(true).open(test.path().join("lock")).unwrap();
    lock.try_lock().unwrap();
    symlink(elsewhere.path().join("socket"), test.path().join("socket")).unwrap();
    let refused = Ledger::open_shared(test.path(), within(Duration::from_millis(100)))
        .err()
        .unwrap();
    assert_eq!(refused.kind(), ErrorKind::Locked);
    assert!(refused.to_string().contains("cannot connect to socket"), "{refused}");
    drop(lock);
    shared(test.path()).append_blocking(draft("a", "x")).unwrap();
    assert!(
        elsewhere.path().join("socket").exists(),
        "the link was replaced, and not what it led to"
    );
}

#[test]
fn a_writer_that_serves_nobody_is_named_when_the_wait_is_over() {
    let test = TestLedger::create();
    let lock = File::options().write(true).open(test.path().join("lock")).unwrap();
    lock.try_lock().unwrap();
    let begin = Instant::now();
    let refused = Ledger::open_shared(test.path(), within(Duration::from_millis(300)))
        .err()
        .unwrap();
    assert_eq!(refused.kind(), ErrorKind::Locked);
    assert!(
        refused.to_string().contains(&format!("pid {}", std::process::id())),
        "{refused}"
    );
    assert!((300..3_000).contains(&(begin.elapsed().as_millis() as u64)));
    // One that accepts and says nothing.
    let listener = UnixListener::bind(test.path().join("socket")).unwrap();
    let silent = thread::spawn(move || listener.accept().unwrap());
    let refused = quick("a silent writer", || {
        Ledger::open_shared(test.path(), within(Duration::ZERO))
    });
    assert_eq!(refused.err().unwrap().kind(), ErrorKind::Locked);
    silent.join().unwrap();
}

#[test]
fn a_writer_of_another_version_is_recognised() {
    let test = TestLedger::create();
    let lock = File::options().write(true).open(test.path().join("lock")).unwrap();
    lock.try_lock().unwrap();
    let listener = UnixListener::bind(test.path().join("socket")).unwrap();
    let newer = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(&[VERSION + 1, 0, 0, 0, 2, b'{', b'}']).unwrap();
        stream
    });
    let refused = Ledger::open_shared(test.path(), within(Duration::ZERO)).err().unwrap();
    let said = format!("speaks version {}", VERSION + 1);
    assert!(refused.to_string().contains(&said), "{refused}");
    newer.join().unwrap();
}

#[test]
fn a_checkpoint_is_made_for_a_peer_and_none_is_waited_for_that_may_never_come() {
    let test = TestLedger::create();
    let ledger = test.open();
    let mut peer = Peer::ready(&test);
    let question = json!({"prove": [[[sent("first")], [sent("second")]], 1]});
    peer.say(&message(question.to_string().as_bytes()));
    let said = peer.hear().unwrap();
    assert_eq!(said["appended"]["each"].as_array().unwrap().len(), 2, "{said}");
    assert_eq!(peer.hear().unwrap(), "covered");
    let size = Ledger::open_read_only(test.path())
        .unwrap()
        .checkpoint()
        .unwrap()
        .1
        .size;
    assert_eq!(size, ledger.reader().head());
    peer.say(&message(json!({"prove": [[], size + 1]}).to_string().as_bytes()));
    quick("a refusal", || peer.hears_refusal("was asked for"));
}

#[test]
fn a_peer_that_speaks_nonsense_is_told_and_dropped() {
    let test = TestLedger::create();
    let first = shared(test.path());
    let too_long = ((limits::MESSAGE_BYTES + 1) as u32).to_be_bytes();
    let repeated = |draft: &Value, count| json!({"append": [vec![draft; count], vec![draft; count]]}).to_string();
    let nonsense = [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "speaks version 71"),
        ([&[VERSION][..], &too_long].concat(), "takes at most"),
        ([VERSION, 0xff, 0xff, 0xff, 0xff].to_vec(), "takes at most"),
        (message(b"\xff\xfe\0"), "is none"),
        (message(b""), "is none"),
        (message(b"[]"), "is none"),
        (message(br#"{"append":[]} {}"#), "is none"),
        (message(br#"{"truncate":[]}"#), "is none"),
        (message("[".repeat(1 << 20).as_bytes()), "is none"),
        (message(repeated(&sent("x"), 501).as_bytes()), "at most 1000 fit"),
    ];
    for (bytes, word) in nonsense {
        let mut peer = Peer::ready(&test);
        peer.say(&bytes);
        quick(word, || peer.hears_refusal(word));
    }
    assert_eq!(
        first.append_blocking(draft("a", "x")).unwrap().seq,
        1,
        "nothing was appended"
    );
}

#[test]
fn a_draft_that_cannot_be_appended_fails_alone() {
    let test = TestLedger::create();
    let first = shared(test.path());
    let mut peer = Peer::ready(&test);
    let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    let with = |member: &str, value: &str| {
        let mut text = sent("x").to_string();
        text.insert_str(1, &format!("\"{member}\":{value},"));
        format!("[{text}]")
    };
    let bad = [
        with("sys", "{}"),
        with("sys", &deep),
        with("source", &deep),
        with("source", r#"{"channel":"c","channel":"d"}"#),
        with("seq", "7"),
        with("key", "\"\""),
        with("scope", "\"b\""),
        "[]".to_owned(),
        "{}".to_owned(),
        "7".to_owned(),
        sent("x").to_string(),
        r#"[{"scope":"a b","actor":"x","kind":"k","payload":{}}]"#.to_owned(),
        r#"[{"scope":"a","actor":"x","kind":"k","payload":7}]"#.to_owned(),
        format!(r#"[{{"scope":"a","actor":"x","kind":"k","payload":{deep}}}]"#),
        r#"[{"scope":"a","actor":"x","kind":"k","payload":{"a":1,"a":2}}]"#.to_owned(),
    ];
    let requests = format!("{},[{}]", bad.join(","), sent("good"));
    peer.say(&message(format!(r#"{{"append":[{requests}]}}"#).as_bytes()));
    let answer = peer.hear().unwrap();
    let each = answer["appended"]["each"].as_array().unwrap();
    assert_eq!(each.len(), bad.len() + 1);
    for (answer, bad) in each.iter().zip(&bad) {
        assert_eq!(answer["Err"]["kind"], "invalid", "{bad}: {answer}");
    }
    assert_eq!(each[bad.len()]["Ok"][0]["seq"], 1);
    assert_eq!(answer["appended"]["head"], 2);
    first.close().unwrap();
    assert_eq!(texts(test.path()).len(), 1);
    assert_eq!(test.verify().fault, None);
}

#[test]
fn a_peer_that_is_slow_or_goes_holds_nobody_up() {
    let test = TestLedger::create();
    let first = shared(test.path());
    let question = message(json!({"append": [[sent("in one go")]]}).to_string().as_bytes());
    // Half a header, half a message, and the announcement of all the room that there is for messages.
    let mut peers = Vec::new();
    let largest = (limits::MESSAGE_BYTES as u32).to_be_bytes();
    for bytes in [
        &question[..3],
        &question[..question.len() - 1],
        &[&[VERSION][..], &largest].concat(),
    ] {
        for _ in 0..5 {
            let mut peer = Peer::ready(&test);
            peer.say(bytes);
            peers.push(peer);
        }
    }
    quick("appending beside slow peers", || {
        first.append_blocking(draft("a", "mine"))
    })
    .unwrap();
    // What does not come whole in time is dropped, and then there is room for others.
    let begin = Instant::now();
    let second = shared(test.path());
    second.append_blocking(draft("a", "theirs")).unwrap();
    assert!(
        begin.elapsed() < Duration::from_millis(3 * limits::MESSAGE_MS),
        "{:?}",
        begin.elapsed()
    );
    thread::sleep(Duration::from_millis(limits::MESSAGE_MS + 1_500).saturating_sub(begin.elapsed()));
    let told = |peer: &mut Peer| {
        peer.0.set_nonblocking(true).unwrap();
        peer.hear().is_ok()
    };
    let largest = peers[10..].iter_mut().map(told).filter(|told| *told).count();
    assert_eq!(
        largest, 3,
        "those that there was room for; the other two have not had their time yet"
    );
    peers.remove(7).hears_refusal("talk to the other process");
    // In pieces, and in time.
    let mut peer = Peer::ready(&test);
    for piece in question.chunks(7) {
        peer.say(piece);
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(peer.hear().unwrap()["appended"]["each"][0]["Ok"][0]["repeated"], false);
    // Somebody who asks and goes.
    for _ in 0..20 {
        Peer::ready(&test).say(&question);
    }
    drop(peers);
    second.append_blocking(draft("a", "last")).unwrap();
    second.close().unwrap();
    quick("closing", || first.close()).unwrap();
    assert_eq!(test.verify().fault, None);
}

#[test]
fn a_peer_that_never_reads_does_not_hold_up_the_end() {
    let test = TestLedger::create();
    let first = shared(test.path());
    let many: Vec<_> = (0..1_000).map(|_| sent("x")).collect();
    let question = message(json!({ "append": [many] }).to_string().as_bytes());
    let deaf: Vec<_> = (0..3)
        .map(|_| {
            let mut peer = Peer::ready(&test);
            let question = question.clone();
            thread::spawn(move || {
                while peer.0.write_all(&question).is_ok() {}
                peer
            })
        })
        .collect();
    // Until their answers fill the sockets.
    let mut head = 0;
    while head != first.reader().head() {
        head = first.reader().head();
        thread::sleep(Duration::from_millis(500));
    }
    quick("appending beside deaf peers", || first.append_blocking(draft("a", "x"))).unwrap();
    quick("closing beside deaf peers", || first.close()).unwrap();
    deaf.into_iter().for_each(|peer| drop(peer.join().unwrap()));
    assert_eq!(test.verify().fault, None);
}

#[test]
fn two_hundred_connect_at_once_and_too_many_are_told() {
    let test = TestLedger::create();
    let first = shared(test.path());
    let seqs: Vec<_> = thread::scope(|scope| {
        let peers: Vec<_> = (0..200)
            .map(|n| {
                let test = &test;
                scope.spawn(move || {
                    let mut peer = Peer::ready(test);
                    peer.say(&message(
                        json!({"append": [[sent(&n.to_string())]]}).to_string().as_bytes(),
                    ));
                    peer.hear().unwrap()["appended"]["each"][0]["Ok"][0]["seq"]
                        .as_u64()
                        .unwrap()
                })
            })
            .collect();
        peers.into_iter().map(|peer| peer.join().unwrap()).collect()
    });
    assert_eq!(seqs.iter().max(), Some(&200));
    // The threads of those who have gone take a moment to end.
    thread::sleep(Duration::from_millis(300));
    let mut idle: Vec<_> = (0..limits::CONNECTIONS).map(|_| Peer::ready(&test)).collect();
    Peer::connect(&test).hears_refusal("serves 256 others already");
    let refused = Ledger::open_shared(test.path(), within(Duration::ZERO)).err().unwrap();
    assert!(refused.to_string().contains("serves 256 others already"), "{refused}");
    // One goes, and the next is served.
    drop(idle.pop());
    shared(test.path()).append_blocking(draft("a", "x")).unwrap();
    idle[0].say(&message(NOTHING));
    assert_eq!(idle[0].hear().unwrap()["appended"]["head"], 202);
    quick("closing", || first.close()).unwrap();
    assert_eq!(test.verify().fault, None);
}

#[test]
fn a_writer_that_closes_under_load_answers_or_hands_over() {
    let test = TestLedger::create();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|who| {
                let (path, done) = (test.path(), &done);
                scope.spawn(move || {
                    let mut appended = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        let ledger = shared(path);
                        for n in 0..10 {
                            let text = format!("{who} {} {n}", appended.len());
                            let receipt = ledger.append_blocking(draft("a", &text)).unwrap();
                            appended.push((receipt.seq, text));
                        }
                        quick("closing", || ledger.close()).unwrap();
                    }
                    appended
                })
            })
            .collect();
        thread::sleep(Duration::from_secs(3));
        done.store(true, Ordering::Relaxed);
        let mut all: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        all.sort();
        let said: Vec<_> = all.into_iter().map(|(_, text)| text).collect();
        assert!(said.len() > 100, "{}", said.len());
        assert_eq!(texts(test.path()), said);
    });
    assert_eq!(verify(test.path(), &mut |_| {}).unwrap().fault, None);
}
