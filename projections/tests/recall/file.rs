use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
};

use quipu_log::{Ledger, OpenOptions};
use quipu_projections::{Projections, View};
use rusqlite::Connection;

use crate::{
    fixture::{Fixture, dump, file, ids, resting_on, say, words},
    fold::copy_folder,
};

fn filled() -> Fixture {
    let memory = Fixture::new();
    for i in 0..40 {
        memory.say("a:1", &format!("note {i} of pdf invoices"));
    }
    memory.catch_up();
    memory
}

#[test]
fn the_files_are_the_owners_alone() {
    let memory = filled();
    let folder = memory.file().parent().unwrap().to_owned();
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{:?}",
            entry.file_name()
        );
        names.push(entry.file_name().into_string().unwrap());
    }
    assert!(names.contains(&"recall.sqlite-wal".to_owned()), "{names:?}");
}

#[test]
fn deleted_while_in_use_it_is_made_again() {
    let memory = filled();
    let (rows, before) = (memory.dump(), memory.search(&["a:1"], &words("pdf 7")));
    fs::remove_dir_all(memory.file().parent().unwrap()).unwrap();
    assert_eq!(memory.projections.as_of().unwrap(), 0);
    memory.catch_up();
    assert_eq!(memory.dump(), rows);
    assert_eq!(memory.search(&["a:1"], &words("pdf 7")), before);

    // The file alone, with those that SQLite keeps beside it left there.
    fs::remove_file(memory.file()).unwrap();
    let other = Projections::open(memory.ledger.reader()).unwrap();
    other.catch_up(u64::MAX).unwrap();
    assert_eq!(dump(&other), rows);
    assert_eq!(memory.search(&["a:1"], &words("pdf 7")), before);
    assert_eq!(memory.dump(), rows);
}

#[test]
fn a_damaged_file_is_made_again() {
    for at in [0, 20, 5_000, 12_000] {
        let memory = filled();
        let (rows, before) = (memory.dump(), memory.search(&["a:1"], &words("pdf 7")));
        let path = memory.file();
        drop(memory.projections);
        let bytes = fs::metadata(&path).unwrap().len();
        let mut damaged = fs::OpenOptions::new().write(true).open(&path).unwrap();
        damaged.seek(SeekFrom::Start(at)).unwrap();
        damaged
            .write_all(&vec![0xA5; usize::try_from(bytes - at).unwrap()])
            .unwrap();
        drop(damaged);

        let projections = Projections::open(memory.ledger.reader()).unwrap();
        let head = memory.ledger.reader().head();
        projections.catch_up(head).unwrap();
        let answer = projections.search(&View::Everything { head }, &words("pdf 7")).unwrap();
        let found: Vec<_> = answer.hits.iter().map(|hit| hit.event.envelope.id).collect();
        assert_eq!(found, ids(&before), "damaged from byte {at}");
        assert_eq!(dump(&projections), rows);
    }
}

#[test]
fn a_file_of_another_version_or_shape_is_made_again() {
    for change in [
        "PRAGMA user_version = 999",
        "PRAGMA application_id = 1",
        "DROP TABLE posting",
        "DELETE FROM meta",
        "UPDATE meta SET as_of = -1",
        "DROP TABLE doc; CREATE TABLE doc (x)",
        "PRAGMA user_version = 0; CREATE TABLE \"a \"\"strange\"\" one\" (x)",
    ] {
        let memory = filled();
        let rows = memory.dump();
        drop(memory.projections);
        Connection::open(file(&memory.folder.path().join("ledger")))
            .unwrap()
            .execute_batch(change)
            .unwrap();
        let projections = Projections::open(memory.ledger.reader()).unwrap();
        memory.ledger.append_blocking(say("a:1", "one more pdf")).unwrap();
        projections.catch_up(u64::MAX).unwrap();
        let head = memory.ledger.reader().head();
        let hits = projections
            .search(&View::Everything { head }, &words("pdf"))
            .unwrap()
            .hits;
        assert_eq!(hits.len(), 10, "{change}");
        projections.rebuild().unwrap();
        assert!(dump(&projections).lines().count() > rows.lines().count(), "{change}");
    }
}

#[test]
fn another_ledgers_projection_is_not_believed() {
    let (ours, theirs) = (filled(), Fixture::new());
    for i in 0..60 {
        theirs.say("a:1", &format!("secret {i} of theirs"));
    }
    theirs.catch_up();
    let rows = ours.dump();
    drop((ours.projections, theirs.projections));
    let path = file(&ours.folder.path().join("ledger"));
    fs::copy(file(&theirs.folder.path().join("ledger")), &path).unwrap();

    let projections = Projections::open(ours.ledger.reader()).unwrap();
    let everything = View::Everything { head: u64::MAX };
    assert_eq!(projections.as_of().unwrap(), 0);
    assert!(projections.search(&everything, &words("note")).unwrap().hits.is_empty());
    projections.catch_up(u64::MAX).unwrap();
    assert_eq!(dump(&projections), rows);
    assert!(
        projections
            .search(&everything, &words("secret"))
            .unwrap()
            .hits
            .is_empty()
    );
}

/// The log has the last word on who sees what.
#[test]
fn a_file_that_somebody_changed_shows_nobody_anothers_events() {
    let memory = filled();
    let secret = memory.say("b:2", "pdf secret");
    let shown = memory.append(resting_on(say("a:1", "drawn"), &[secret])).id;
    memory.catch_up();
    // As if scope b:2 had been scope a:1, and the secret its last event.
    let changes = "CREATE TEMP TABLE a AS SELECT id FROM scope WHERE name = 'a:1';
        UPDATE entry SET scope = (SELECT id FROM a);
        DELETE FROM doc WHERE seq = (SELECT max(seq) FROM doc);
        UPDATE doc SET scope = (SELECT id FROM a), nth = 40 WHERE seq = (SELECT max(seq) FROM doc);";
    Connection::open(memory.file()).unwrap().execute_batch(changes).unwrap();
    let (a, everything) = (memory.pinned(&["a:1"]), View::Everything { head: u64::MAX });
    assert_eq!(ids(&memory.find(&everything, &words("secret"))), [secret]);
    assert_eq!(memory.find(&a, &words("secret")), []);
    assert_eq!(
        memory
            .projections
            .why(&everything, shown)
            .unwrap()
            .unwrap()
            .events
            .len(),
        2
    );
    assert_eq!(memory.projections.why(&a, shown).unwrap().unwrap().events.len(), 1);
    assert!(memory.projections.why(&a, secret).unwrap().is_none());
}

/// A ledger that is restored from a backup and goes on otherwise.
#[test]
fn a_rolled_back_ledgers_projection_is_not_believed() {
    let memory = filled();
    let Fixture {
        folder,
        ledger,
        projections,
    } = memory;
    drop((projections, ledger));
    let (ours, backup) = (folder.path().join("ledger"), folder.path().join("backup"));
    copy_folder(&ours, &backup);

    let ledger = Ledger::open(&ours, OpenOptions::default()).unwrap();
    for _ in 0..10 {
        ledger.append_blocking(say("a:1", "what is undone")).unwrap();
    }
    let projections = Projections::open(ledger.reader()).unwrap();
    projections.catch_up(u64::MAX).unwrap();
    drop((projections, ledger));
    fs::copy(file(&ours), file(&backup)).unwrap();

    for more in 0..20 {
        // Shorter than what was folded, as long, and longer.
        let ledger = Ledger::open(&backup, OpenOptions::default()).unwrap();
        let projections = Projections::open(ledger.reader()).unwrap();
        let head = projections.catch_up(u64::MAX).unwrap();
        assert_eq!(head, ledger.reader().head());
        let hits = |text| {
            projections
                .search(&View::Everything { head }, &words(text))
                .unwrap()
                .hits
                .len()
        };
        assert_eq!((hits("undone"), hits("instead")), (0, more.min(10)));
        ledger.append_blocking(say("a:1", "what came instead")).unwrap();
    }
    let ledger = Ledger::open(&backup, OpenOptions::default()).unwrap();
    let projections = Projections::open(ledger.reader()).unwrap();
    projections.catch_up(u64::MAX).unwrap();
    let folded = dump(&projections);
    projections.rebuild().unwrap();
    assert_eq!(dump(&projections), folded);
}

#[test]
fn what_is_thrown_away_does_not_stay_on_the_disk() {
    let memory = Fixture::new();
    memory.say("a:1", "xyzzyplugh");
    memory.catch_up();
    let canary = |memory: &Fixture| {
        let folder = memory.file().parent().unwrap().to_owned();
        let files = fs::read_dir(folder)
            .unwrap()
            .map(|entry| fs::read(entry.unwrap().path()).unwrap());
        files
            .filter(|bytes| bytes.windows(10).any(|window| window == b"xyzzyplugh"))
            .count()
    };
    assert!(canary(&memory) > 0);
    // The same folder serves another ledger: a restored one, say.
    let other = Fixture::new();
    other.say("a:1", "harmless");
    let path = other.file();
    drop(other.projections);
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("recall.sqlite{suffix}");
        let _ = fs::remove_file(path.with_file_name(&name));
        if let Ok(bytes) = fs::read(memory.file().with_file_name(&name)) {
            fs::write(path.with_file_name(&name), bytes).unwrap();
        }
    }
    let projections = Projections::open(other.ledger.reader()).unwrap();
    let other = Fixture { projections, ..other };
    assert!(canary(&other) > 0);
    other.projections.rebuild().unwrap();
    assert_eq!(canary(&other), 0);
    assert_eq!(other.search(&["a:1"], &words("harmless")).len(), 1);
}
