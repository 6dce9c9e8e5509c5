//! A ledger that was rolled back, or that has two histories, is found out by a witness; and a witness that answers anything
//! else than a signature harms nothing.

mod driver;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use driver::{Ledger, Ran, root, run};
use quipu_format::{Hash, Signer};

/// A key of cosignatures that nobody here can sign with.
const STRANGE: &str = "witness.example/strange+44087868+BAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";

/// The program aics-witness, which is not ours, serving some ledger's key.
struct Witness {
    child: Child,
    url: String,
    key: String,
    _folder: tempfile::TempDir,
}

impl Witness {
    /// None: it is not installed, and a line says what is not tested.
    fn of(ledger: &Ledger) -> Option<Self> {
        let python = root().join("target/strangers/python/bin/python");
        if !python.exists() {
            eprintln!("skipped, aics-witness is not installed; `cargo xtask test` does that: its cosignatures");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let aics = |args: &[&str]| {
            let mut command = Command::new(&python);
            command
                .args(["-m", "aics_witness"])
                .args(args)
                .current_dir(folder.path());
            command
        };
        let config = folder.path().join("witness.json").display().to_string();
        run(&mut aics(&[
            "init",
            "--config",
            &config,
            "--name",
            "witness.example/w1",
            "--listen",
            &address,
        ]))
        .good();
        let key = ledger.run(["stats", "--json"]).good().json()["verifierKey"]
            .as_str()
            .unwrap()
            .to_owned();
        let (origin, _) = key.split_once('+').unwrap();
        run(&mut aics(&[
            "add-log", "--config", &config, "--origin", origin, "--vkey", &key,
        ]))
        .good();
        let status = run(&mut aics(&["status", "--config", &config, "--json"])).good().json();
        let key = find_key(&status).expect("its key");
        let child = aics(&["serve", "--config", &config])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        driver::wait_until("the witness serves", || TcpStream::connect(&address).is_ok());
        Some(Self {
            child,
            url: format!("http://{address}"),
            key,
            _folder: folder,
        })
    }

    fn ask(&self, ledger: &Ledger) -> Ran {
        ledger.run(["witness", "--url", &self.url, "--witness", &self.key, "--json"])
    }

    fn verify(&self, ledger: &Ledger) -> Ran {
        ledger.run(["verify", "--quorum", "1", "--witness", &self.key, "--json"])
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The verifier key in what it says of itself, wherever it stands.
fn find_key(status: &serde_json::Value) -> Option<String> {
    match status {
        serde_json::Value::String(text) if text.starts_with("witness.example/w1+") => Some(text.clone()),
        serde_json::Value::Array(all) => all.iter().find_map(find_key),
        serde_json::Value::Object(all) => all.values().find_map(find_key),
        _ => None,
    }
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to)).good();
}

#[test]
fn a_witness_signs_what_goes_on_and_finds_out_rollback_and_fork() {
    let ledger = Ledger::new();
    let Some(witness) = Witness::of(&ledger) else { return };
    ledger.append("scope:a", "the first", &[]);
    witness.verify(&ledger).exits(1);
    assert_eq!(witness.ask(&ledger).good().json()["size"], 2);
    let verdict = witness.verify(&ledger).good().json();
    assert_eq!(verdict["cosigned"]["witnesses"][0]["name"], "witness.example/w1");
    ledger.run(["verify", "--quorum", "1", "--witness", STRANGE]).exits(1);
    // To demand nobody is no demand.
    ledger.run(["verify", "--quorum", "0", "--witness", STRANGE]).exits(2);

    let (older, path) = (ledger.beside("older"), ledger.path());
    copy_folder(&path, &older);
    ledger.append("scope:a", "the second", &[]);
    ledger.append("scope:b", "the third", &[]);
    assert_eq!(witness.ask(&ledger).good().json()["size"], 4);
    witness.verify(&ledger).good();

    // Rolled back, with all that was in the folder: the ledger verifies by itself, and the witness knows more.
    let newer = ledger.beside("newer");
    fs::rename(&path, &newer).unwrap();
    copy_folder(&older, &path);
    witness.verify(&ledger).good();
    witness
        .ask(&ledger)
        .exits(1)
        .tells(&["the witness has seen 4 entries", "rolled back"]);
    // The cosigned checkpoint that somebody kept tells it too.
    fs::copy(newer.join("cosigned"), path.join("cosigned")).unwrap();
    let verdict = witness.verify(&ledger).exits(1);
    assert!(verdict.out.contains("rolled back"), "{}", verdict.out);

    // Another history, as long and then longer than the one that was seen.
    fs::copy(older.join("cosigned"), path.join("cosigned")).unwrap();
    ledger.append("scope:a", "something else", &[]);
    ledger.append("scope:a", "and so on", &[]);
    witness.ask(&ledger).exits(1).tells(&["another history"]);
    ledger.append("scope:a", "and on", &[]);
    witness.ask(&ledger).exits(1).tells(&["another history"]);
    fs::copy(newer.join("cosigned"), path.join("cosigned")).unwrap();
    let verdict = witness.verify(&ledger).exits(1);
    assert!(verdict.out.contains("another history"), "{}", verdict.out);
}

/// Serves one answer to each of some requests, on a thread that ends with the test's process.
fn answering(answers: Vec<Vec<u8>>, slow: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                    length = bytes.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            thread::sleep(slow);
            let _ = (&stream).write_all(&answer);
        }
    });
    url
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[test]
fn what_is_no_signature_is_refused_and_changes_nothing() {
    let ledger = Ledger::new();
    ledger.append("scope:a", "the first", &[]);
    let signature = |bytes: &[u8]| format!("\u{2014} witness.example/strange {}\n", base64(bytes));
    let id = [0x44, 0x08, 0x78, 0x68];
    let forged = signature(&[&id[..], &[7; 72]].concat());
    let cases: [(Vec<Vec<u8>>, i32, &str); 10] = [
        (vec![answer("200 OK", forged.as_bytes())], 2, "is bad"),
        (vec![answer("200 OK", signature(&id).as_bytes())], 2, "too short"),
        (vec![answer("200 OK", b"")], 2, "no line of it is signed"),
        (vec![answer("200 OK", &[0xff; 100])], 2, "not"),
        (
            vec![answer("200 OK", &vec![b'a'; 1 << 20])],
            2,
            "16384 bytes, the limit of a witness's answer",
        ),
        (vec![answer("409 Conflict", b"many\n")], 2, "without a size"),
        (
            vec![answer("409 Conflict", b"9999\n")],
            1,
            "the witness has seen 9999 entries",
        ),
        (
            vec![answer("409 Conflict", b"1\n"), answer("409 Conflict", b"1\n")],
            1,
            "another history",
        ),
        (vec![answer("404 Not Found", b"")], 2, "does not know this ledger"),
        (vec![b"not HTTP\r\n\r\n".to_vec()], 2, "cannot be asked"),
    ];
    for (answers, code, told) in cases {
        let url = answering(answers, Duration::ZERO);
        ledger
            .run(["witness", "--url", &url, "--witness", STRANGE])
            .exits(code)
            .tells(&[told]);
        assert!(!ledger.path().join("cosigned").exists(), "{told}");
    }
    let begin = Instant::now();
    let url = answering(vec![answer("200 OK", b"")], Duration::from_secs(60));
    ledger
        .run(["witness", "--url", &url, "--witness", STRANGE, "--timeout", "1"])
        .exits(2)
        .tells(&["timeout"]);
    assert!(
        begin.elapsed() < Duration::from_secs(30),
        "a slow witness is not waited for"
    );
}

/// A witness that signs here: its key, and its line for a checkpoint's text.
fn cosigned_by(name: &str, seed: u8, text: &str) -> (String, String) {
    let signer = Signer::new(name, [seed; 32]).unwrap();
    let public = signer.verifier_key().to_string();
    let public = BASE64_STANDARD.decode(public.splitn(3, '+').nth(2).unwrap()).unwrap();
    let key = [&[4], &public[1..]].concat();
    let digest = Hash::of(&[name.as_bytes(), b"\n", &key]);
    let hex: String = digest.0[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    // What a witness signs has the form of a note's text.
    let note = signer.sign(&format!("cosignature/v1\ntime 5\n{text}"));
    let signature = note.trim_end().rsplit(' ').next().unwrap();
    let signature = BASE64_STANDARD.decode(signature).unwrap();
    let data = [&digest.0[..4], &5_u64.to_be_bytes(), &signature[4..]].concat();
    (
        format!("{name}+{hex}+{}", base64(&key)),
        format!("\u{2014} {name} {}\n", base64(&data)),
    )
}

#[test]
fn a_quorum_counts_each_witness_once_and_none_that_did_not_sign() {
    let ledger = Ledger::new();
    ledger.append("scope:a", "the first", &[]);
    let note = fs::read_to_string(ledger.path().join("checkpoint")).unwrap();
    let text = &note[..note.find("\n\n").unwrap() + 1];
    let (one, one_signed) = cosigned_by("witness.example/one", 1, text);
    let (two, two_signed) = cosigned_by("witness.example/two", 2, text);
    // The same key under another name.
    let (again, again_signed) = cosigned_by("witness.example/again", 1, text);
    let (absent, _) = cosigned_by("witness.example/absent", 3, text);
    let keep = |lines: &str| fs::write(ledger.path().join("cosigned"), format!("{note}{lines}")).unwrap();
    let verify = |quorum: &str, witnesses: &[&str]| {
        let mut verify = ledger.command(["verify", "--quorum", quorum]);
        for key in witnesses {
            verify.args(["--witness", key]);
        }
        run(&mut verify)
    };
    keep(&format!("{one_signed}{two_signed}{again_signed}"));
    verify("2", &[&one, &two]).good();
    verify("2", &[&one, &absent, &two]).good();
    for too_few in [&[&*one][..], &[&one, &one], &[&one, &again], &[&one, &absent]] {
        let said = verify("2", too_few).exits(1).out;
        assert!(said.contains("1 of the witnesses named signed"), "{said}");
        verify("1", too_few).good();
    }
    // A signature of another checkpoint is bad, and not merely absent.
    let (_, other) = cosigned_by("witness.example/two", 2, &text.replacen("\n2\n", "\n3\n", 1));
    keep(&format!("{one_signed}{other}"));
    verify("1", &[&one]).good();
    let said = verify("1", &[&one, &two]).exits(1).out;
    assert!(said.contains("is bad"), "{said}");
}

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}
