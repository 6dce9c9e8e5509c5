// Long because it is a list: each function is an attack of the table.

//! Files that are hostile: where the command looks for a ledger, a component, a policy, a key, something to import.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    attack::{endured, plain, refused},
    components,
    driver::{Ledger, guest, quipu, run},
    machine,
};

fn run_file(ledger: &Ledger, file: &str) -> Command {
    let mut command = ledger.command(["run", file, "x", "--actor", "agent:test", "--home", "home"]);
    // What would read without end is ended by the system, with a message that is none of ours.
    command.stdin(Stdio::null());
    command
}

fn audit(file: &PathBuf) -> Command {
    let mut command = quipu();
    command.arg("audit").arg(file);
    command
}

fn bit_flips(bytes: &[u8], times: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..times).map(move |n| {
        let mut changed = bytes.to_vec();
        let at = n * 7919 % changed.len();
        changed[at] ^= 1 << (n % 8);
        changed
    })
}

pub(crate) fn a_component_without_an_end(ledger: &Ledger) {
    let begin = Instant::now();
    refused(&mut audit(&"/dev/zero".into()));
    refused(&mut run_file(ledger, "/dev/zero"));
    let link = ledger.beside("agent.wasm");
    symlink("/dev/zero", &link).unwrap();
    refused(&mut run_file(ledger, link.to_str().unwrap()));
    assert!(begin.elapsed() < Duration::from_secs(60));
}

pub(crate) fn an_input_without_an_end(ledger: &Ledger) {
    let mut command = ledger.command(["run"]);
    command
        .arg(guest("echo"))
        .args(["-", "--actor", "agent:test", "--home", "home"]);
    refused(command.stdin(File::open("/dev/zero").unwrap()));
}

pub(crate) fn a_compactor_without_an_end(ledger: &Ledger) {
    refused(
        ledger
            .command(["compact", "home", "--actor", "agent:test", "--component", "/dev/zero"])
            .stdin(Stdio::null()),
    );
}

pub(crate) fn a_projection_without_an_end(ledger: &Ledger) {
    refused(
        ledger
            .command(["project", "add", "x", "/dev/zero"])
            .stdin(Stdio::null()),
    );
}

pub(crate) fn a_component_that_is_a_folder(ledger: &Ledger) {
    let folder = ledger.beside("folder.wasm");
    fs::create_dir(&folder).unwrap();
    refused(&mut audit(&folder));
    refused(&mut run_file(ledger, folder.to_str().unwrap()));
}

pub(crate) fn a_component_of_half_a_gigabyte(ledger: &Ledger) {
    let file = ledger.file("large.wasm", b"\0asm\x0d\0\x01\0");
    OpenOptions::new()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(512 << 20)
        .unwrap();
    refused(&mut audit(&file));
    refused(&mut run_file(ledger, file.to_str().unwrap()));
}

pub(crate) fn a_component_with_flipped_bits(ledger: &Ledger) {
    let whole = components::of_wat("realloc_overlaps");
    for changed in bit_flips(&whole, 60) {
        let file = ledger.file("flipped.wasm", changed);
        endured(&mut audit(&file));
    }
}

pub(crate) fn a_name_of_a_file_that_steers_a_terminal(ledger: &Ledger) {
    let file = ledger.file("\u{1b}[2J\u{202e}\nagent.wasm", components::of_wat("realloc_overlaps"));
    for format in ["text", "json", "sarif", "html", "markdown"] {
        let ran = run(audit(&file).args(["--format", format])).good();
        plain(&ran.out);
    }
    let none = ledger.beside("\u{1b}[2J\u{202e}none.wasm");
    refused(&mut audit(&none));
    refused(&mut run_file(ledger, none.to_str().unwrap()));
}

pub(crate) fn a_ledger_that_is_something_else(ledger: &Ledger) {
    let file = ledger.file("file", "x");
    let empty = ledger.beside("empty");
    fs::create_dir(&empty).unwrap();
    let circle = ledger.beside("circle");
    symlink(&circle, &circle).unwrap();
    for path in [
        file,
        empty.clone(),
        circle,
        "/dev/null".into(),
        "/dev/zero".into(),
        "/proc/self".into(),
    ] {
        for command in ["log", "verify", "stats"] {
            refused(quipu().arg("--ledger").arg(&path).arg(command));
        }
    }
    assert_eq!(fs::read_dir(empty).unwrap().count(), 0, "something was made in it");
}

pub(crate) fn a_ledger_behind_a_link(ledger: &Ledger) {
    let link = ledger.beside("link");
    symlink(ledger.path(), &link).unwrap();
    run(quipu().arg("--ledger").arg(&link).arg("verify")).good();
}

pub(crate) fn a_segment_that_is_a_device(ledger: &Ledger) {
    let other = copy(ledger, "device");
    let segment = other.join("log/00000000000000000000.log");
    fs::remove_file(&segment).unwrap();
    symlink("/dev/zero", &segment).unwrap();
    for command in ["log", "verify", "stats"] {
        refused(quipu().arg("--ledger").arg(&other).arg(command));
    }
}

pub(crate) fn a_checkpoint_of_a_gigabyte(ledger: &Ledger) {
    let other = copy(ledger, "checkpoint");
    let file = OpenOptions::new().write(true).open(other.join("checkpoint")).unwrap();
    file.set_len(1 << 30).unwrap();
    refused(quipu().arg("--ledger").arg(&other).arg("verify"));
    refused(
        quipu()
            .arg("--ledger")
            .arg(&other)
            .args(["append", "--scope", "a", "--actor", "a", "--text", "x"]),
    );
}

pub(crate) fn keys_of_garbage(ledger: &Ledger) {
    let whole = fs::read(ledger.path().join("keys")).unwrap();
    let cut = whole[..whole.len() / 2].to_vec();
    for (n, keys) in [Vec::new(), vec![0; 4_096], b"\xff\xfe".repeat(1_000), cut]
        .into_iter()
        .enumerate()
    {
        let other = copy(ledger, &format!("keys {n}"));
        fs::write(other.join("keys"), keys).unwrap();
        refused(
            quipu()
                .arg("--ledger")
                .arg(&other)
                .args(["append", "--scope", "home", "--actor", "a", "--text", "x"]),
        );
    }
}

pub(crate) fn a_log_with_flipped_bits(ledger: &Ledger) {
    let name = "log/00000000000000000000.log";
    let whole = fs::read(ledger.path().join(name)).unwrap();
    let end = whole.iter().rposition(|byte| *byte != b'\n').unwrap();
    for (n, changed) in bit_flips(&whole[..end], 24).enumerate() {
        let other = copy(ledger, &format!("flipped {n}"));
        fs::write(other.join(name), [&changed[..], b"\n"].concat()).unwrap();
        refused(quipu().arg("--ledger").arg(&other).arg("verify"));
        fs::remove_dir_all(other).unwrap();
    }
}

pub(crate) fn derived_state_that_is_poisoned(ledger: &Ledger) {
    run(ledger.command(["search", "red door"]).stdin(Stdio::null())).good();
    let folders = fs::read_dir(ledger.path()).unwrap().map(|entry| entry.unwrap().path());
    let is_derived = |path: &PathBuf| path.to_string_lossy().contains("projections");
    let mut poisoned = 0;
    for path in folders.filter(is_derived) {
        let files = match path.is_dir() {
            true => fs::read_dir(&path)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect(),
            false => vec![path],
        };
        for file in files.into_iter().filter(|file| file.is_file()) {
            fs::write(file, b"SQLite format 3\0 and nothing of the kind".repeat(300)).unwrap();
            poisoned += 1;
        }
    }
    assert!(poisoned > 0, "nothing was derived");
    // It is thrown away and derived again, or said to be bad; it is never believed.
    let ran = run(&mut ledger.command(["search", "red door"]));
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    assert!(
        ran.code != 0 || ran.out.contains("the red door"),
        "{}{}",
        ran.out,
        ran.err
    );
    run(&mut ledger.command(["rebuild"])).good();
    assert!(
        run(&mut ledger.command(["search", "red door"]))
            .good()
            .out
            .contains("the red door")
    );
}

pub(crate) fn a_kept_component_that_was_exchanged(ledger: &Ledger) {
    run(&mut run_file(ledger, guest("echo").to_str().unwrap())).good();
    let kept: Vec<_> = fs::read_dir(ledger.path().join("components"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let honest = fs::read(&kept[0]).unwrap();
    let mut permissions = fs::metadata(&kept[0]).unwrap().permissions();
    #[allow(clippy::permissions_set_readonly_false, reason = "it is a copy of a test")]
    permissions.set_readonly(false);
    fs::set_permissions(&kept[0], permissions).unwrap();
    fs::write(&kept[0], components::of_wat("loop_in_handle")).unwrap();
    let ran = ledger.verify();
    assert!(
        ran.code != 0 || (ran.out.clone() + &ran.err).contains("components/"),
        "nothing is said of it: {}{}",
        ran.out,
        ran.err
    );
    // Another run is of the component that is given, and not of what lies there.
    let next = run(&mut run_file(ledger, guest("echo").to_str().unwrap()));
    assert!(
        !next.err.contains("panicked") && !next.err.contains("deadline"),
        "{}",
        next.err
    );
    fs::write(&kept[0], honest).unwrap();
}

pub(crate) fn compiled_code_that_is_poisoned(ledger: &Ledger) {
    let own = ledger.beside("own");
    let run_guest = |name: &str| {
        let mut command = run_file(ledger, guest(name).to_str().unwrap());
        command.env("XDG_CACHE_HOME", own.join("cache"));
        run(command.env("XDG_STATE_HOME", own.join("state")))
    };
    let kept = || -> BTreeSet<PathBuf> {
        let files = fs::read_dir(own.join("cache/quipu/code")).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    };
    // It answers as it should, and not as whatever else lies there would.
    let answers = || run_guest("echo").good().json()["input"] == "x";
    assert!(answers());
    let file = kept().pop_first().unwrap();
    let whole = fs::read(&file).unwrap();
    run_guest("spin");
    let mut others = kept();
    others.remove(&file);
    let other = fs::read(others.pop_first().expect("code of the other component")).unwrap();
    let mut poisons: Vec<Vec<u8>> = bit_flips(&whole, 12).collect();
    poisons.extend([
        // Code that never ends, which this host wrote, under the name of another component.
        other,
        whole[..whole.len() / 2].to_vec(),
        [&whole[..], &whole[..]].concat(),
        fs::read("/proc/self/exe").unwrap(),
        Vec::new(),
    ]);
    for poison in poisons {
        fs::write(&file, poison).unwrap();
        assert!(answers());
        assert!(fs::read(&file).unwrap() == whole, "it was not compiled again");
    }
    // Where others may write, nothing is taken from it.
    fs::remove_file(&file).unwrap();
    symlink("/dev/zero", &file).unwrap();
    assert!(answers());
    fs::set_permissions(own.join("cache/quipu/code"), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(answers());
}

/// An agent that appends until it is refused, on a disk of some mebibytes.
pub(crate) fn an_append_flood_until_the_disk_is_full(_: &Ledger) {
    const UNTESTED: &str = "an append flood on a full disk";
    if !machine::may_mount("table::an_append_flood_until_the_disk_is_full", UNTESTED) {
        return;
    }
    let disk = match machine::Mount::tmpfs(4) {
        Ok(disk) => disk,
        Err(why) => return machine::skip(&why, UNTESTED),
    };
    let ledger = Ledger::within(disk.path());
    ledger.append("home", "the red door", &[]);
    // The component is kept, and the ledger has what it needs at its beginning.
    run(&mut run_file(&ledger, guest("echo").to_str().unwrap())).good();
    let before = crate::house::log_bytes(&ledger.path().join("log"));
    let ballast = machine::fill_up(disk.path(), "ballast");
    let mut flood = ledger.command(["run"]);
    flood.arg(guest("writer"));
    flood.args([
        r#"{"appends":9000,"payload_bytes":4000}"#,
        "--actor",
        "agent:test",
        "--home",
        "home",
    ]);
    let said = refused(&mut flood);
    assert!(
        said.contains("No space left") || said.contains("disk is full") || said.contains("unavailable"),
        "{said}"
    );
    let whole = |ledger: &Ledger| {
        let after = crate::house::log_bytes(&ledger.path().join("log"));
        assert!(after.starts_with(&before), "bytes of the log have changed");
        ledger.verify().good();
    };
    whole(&ledger);
    fs::remove_file(ballast).unwrap();
    disk.resize(16);
    // With room again the next run is answered, and what the flood said and was acknowledged is there.
    run(&mut run_file(&ledger, guest("echo").to_str().unwrap())).good();
    ledger.append("home", "the next one", &[]);
    whole(&ledger);
    assert!(ledger.log(&["--scope", "home"]).len() > 3);
}

pub(crate) fn policies_of_no_form(ledger: &Ledger) {
    let agent = guest("echo");
    let deep = format!("a = {}", "[".repeat(100_000));
    let wide = format!("interfaces = [{}]", "\"read\",".repeat(300_000));
    for policy in [
        &b"worlds = 7"[..],
        b"[[[[",
        b"\xff\xfe",
        b"worlds = [\"agent\"]\nworlds = [\"observer\"]",
        b"\"\\u001b[2J\" = 1",
        b"deny = [\"\x1b[2J\"]",
        deep.as_bytes(),
        wide.as_bytes(),
    ] {
        let file = ledger.file("policy.toml", policy);
        refused(quipu().arg("audit").arg(&agent).arg("--policy").arg(file));
    }
    refused(quipu().arg("audit").arg(&agent).args(["--policy", "/dev/zero"]));
}

pub(crate) fn imports_that_forge_stamps(ledger: &Ledger) {
    let line = r#"{"id":"evt_00000000000000000000000000","ts":"1999-12-31T23:59:59.999Z","seq":0,"actor":"operator:root","kind":"memory.write","scope":"home","payload":{"text":"forged"}}"#;
    let file = ledger.file("events.jsonl", line);
    endured(ledger.command(["import"]).arg(file));
    for event in ledger
        .log(&[])
        .iter()
        .filter(|event| event.to_string().contains("forged"))
    {
        assert_ne!(event["id"], "evt_00000000000000000000000000");
        assert!(event["ts"].as_str().unwrap() > "2020");
        assert_ne!(event["actor"], "operator:root");
    }
}

pub(crate) fn imports_of_no_form(ledger: &Ledger) {
    let before = ledger.log(&[]).len();
    let long = format!("{{\"payload\":{{\"text\":\"{}\"}}}}", "x".repeat(20 << 20));
    let deep = format!("{{\"payload\":{}", "[".repeat(1 << 20));
    for content in [
        &b"\0\0\0\0"[..],
        b"\xff\xfe\n",
        b"{",
        b"[]",
        b"null\n7\n",
        long.as_bytes(),
        deep.as_bytes(),
    ] {
        let file = ledger.file("events.jsonl", content);
        refused(ledger.command(["import"]).arg(file));
    }
    let folder = ledger.beside("nothing");
    fs::create_dir(&folder).unwrap();
    let ran = run(ledger.command(["import"]).arg(folder));
    assert!(!ran.err.contains("panicked"));
    assert_eq!(ledger.log(&[]).len(), before, "some of it was taken");
}

pub(crate) fn keys_of_operators_of_no_form(ledger: &Ledger) {
    let agent = guest("echo");
    for key in [&b""[..], b"PRIVATE+KEY+x+00+AAAA", b"\0\xff", &[b'A'; 100_000]] {
        let file = ledger.file("kim.key", key);
        refused(quipu().arg("audit").arg(&agent).arg("--attest").arg("--key").arg(file));
    }
    refused(
        quipu()
            .arg("audit")
            .arg(&agent)
            .args(["--attest", "--key", "/dev/zero"]),
    );
}

pub(crate) fn proofs_of_no_form(ledger: &Ledger) {
    let key = run(&mut ledger.command(["stats", "--json"])).good().json()["verifierKey"]
        .as_str()
        .unwrap()
        .to_owned();
    let deep = "[".repeat(1 << 20);
    let huge = "c2sp.org/tlog-proof@v1\n".repeat(100_000);
    for proof in [&b""[..], b"\xff\xfe", b"\x1b[2J", deep.as_bytes(), huge.as_bytes()] {
        let file = ledger.file("proof", proof);
        refused(quipu().arg("check").arg(&file).args(["--vkey", &key]));
    }
    refused(quipu().args(["check", "/dev/zero", "--vkey", &key]));
}

pub(crate) fn a_socket_of_somebody_else(ledger: &Ledger) {
    // Whoever can write the folder puts a listener that says nothing where the writing process would listen.
    let path = ledger.path().join("writer.sock");
    let _ = fs::remove_file(&path);
    let Ok(listener) = UnixListener::bind(&path) else {
        return;
    };
    let begin = Instant::now();
    let ran = run(ledger
        .command(["append", "--scope", "home", "--actor", "a", "--text", "x"])
        .stdin(Stdio::null()));
    assert!(
        !ran.err.contains("panicked") && begin.elapsed() < Duration::from_secs(60),
        "{}",
        ran.err
    );
    drop(listener);
    let _ = fs::remove_file(&path);
}

pub(crate) fn garbage_for_the_writer(ledger: &Ledger) {
    let mut writer = crate::driver::Appender::start(ledger);
    writer.send(r#"{"kind":"memo","payload":{"text":"one"}}"#).unwrap();
    writer.receipt().unwrap();
    let sockets = fs::read_dir(ledger.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut tried = 0;
    for socket in sockets {
        for garbage in [
            &b"\xff\xff\xff\xff"[..],
            b"GET / HTTP/1.1\r\n\r\n",
            &[0; 100_000],
            b"\x7f\xff\xff\xff\xff\xff\xff\xff",
        ] {
            if let Ok(mut stream) = UnixStream::connect(&socket) {
                let _ = stream.write_all(garbage);
                tried += 1;
            }
        }
    }
    assert!(tried > 0, "no socket was found");
    writer.send(r#"{"kind":"memo","payload":{"text":"two"}}"#).unwrap();
    assert!(writer.receipt().is_some(), "the writer answers no more");
    assert_eq!(writer.finish(), 0);
}

/// A copy of the ledger, to be harmed.
fn copy(ledger: &Ledger, name: &str) -> PathBuf {
    let to = ledger.beside(name);
    copy_folder(&ledger.path(), &to);
    to
}

fn copy_folder(from: &PathBuf, to: &PathBuf) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
