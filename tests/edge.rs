//! The examples that embed quipu: what they show works, and a server loses nothing.

mod driver;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use driver::{Ledger, guest, root, run, wait_until};
use serde_json::Value;

/// An example of this package. `cargo test --test` alone does not build them; `cargo test --workspace` has, with the same features
/// as the workspace has them all together.
fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--locked", "--workspace", "--examples"]);
        let built = build.current_dir(root()).status().expect("cargo starts");
        assert!(built.success(), "the examples do not build");
    });
    let folder = Path::new(env!("CARGO_BIN_EXE_quipu")).parent().unwrap();
    folder.join("examples").join(name)
}

/// The server, at work.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(ledger: &Ledger, agent: &str) -> Self {
        let mut command = Command::new(example("edge"));
        command.arg(ledger.path()).arg(guest(agent)).arg("127.0.0.1:0");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("the server says {line:?}"));
        let address = address.trim().to_owned();
        Self { child, address }
    }

    /// Status and answer; none where the connection breaks.
    fn ask(&self, tenant: &str, message: &str) -> Option<(u16, Value)> {
        ask(&self.address, tenant, message)
    }

    fn terminate(mut self) -> i32 {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and body; none where the connection breaks before there is a status.
fn request(address: &str, tenant: &str, message: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let length = message.len();
    let head =
        format!("POST /{tenant} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    // The server may answer and close before all of it is read.
    let _ = stream.write_all((head + message).as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Some((status, body.to_owned()))
}

/// Status and answer; none where the connection breaks.
fn ask(address: &str, tenant: &str, message: &str) -> Option<(u16, Value)> {
    let (status, body) = request(address, tenant, message)?;
    Some((status, serde_json::from_str(&body).ok()?))
}

#[test]
fn the_whole_embedding_answers() {
    let ledger = Ledger::new();
    let mut embed = Command::new(example("embed"));
    embed.arg(ledger.path()).arg(guest("clerk")).arg("invoices as CSV");
    run(&mut embed).good();
    let ran = run(&mut embed).good();
    assert_eq!(ran.out, "invoices as CSV\n", "it remembers the first");
    ledger.verify().good();
    let lines = fs::read_to_string(root().join("examples/embed.rs")).unwrap();
    let body = lines.lines().skip_while(|line| !line.starts_with("#[tokio::main]"));
    assert!(body.count() <= 20, "an embedding takes about 20 lines");
}

/// It has a Store type, an engine and a WASI of its own, and is built outside of this workspace.
#[test]
fn an_application_that_knows_quipu_host_alone_adds_memory_to_its_wasmtime() {
    let folder = "target/strangers/embedding";
    let mut build = Command::new(env!("CARGO"));
    build.args([
        "build",
        "--quiet",
        "--locked",
        "--target-dir",
        folder,
        "--manifest-path",
    ]);
    build.arg("tests/strangers/embedding/Cargo.toml");
    let built = build.current_dir(root()).status().expect("cargo starts");
    assert!(built.success(), "it does not build");
    let ledger = Ledger::new();
    let mut stranger = Command::new(root().join(folder).join("debug/quipu-stranger-embedding"));
    stranger.arg(ledger.path()).arg(guest("clerk")).arg("invoices as CSV");
    assert_eq!(run(&mut stranger).good().out, "acme: \n");
    assert_eq!(run(&mut stranger).good().out, "acme: invoices as CSV\n");
    let ended = ledger.log(&["--kind", "quipu.run.end"]);
    assert_eq!(ended.len(), 2, "its runs are recorded like any other");
    let (scope, actor) = (&ended[0]["scope"], &ended[0]["actor"]);
    assert_eq!(
        (scope, actor),
        (&Value::from("tenant:acme"), &Value::from("agent:stranger"))
    );
    ledger.verify().good();
}

#[test]
fn tenants_do_not_meet_and_bad_requests_are_refused() {
    let ledger = Ledger::new();
    let server = Server::start(&ledger, "clerk");
    for (tenant, text) in [("acme", "invoices as CSV"), ("globex", "invoices as PDF")] {
        let (status, answer) = server.ask(tenant, text).unwrap();
        assert_eq!((status, &answer["answer"]), (200, &Value::from("")), "{answer}");
    }
    let (_, answer) = server.ask("acme", "invoices").unwrap();
    assert_eq!(answer["answer"], "invoices as CSV");
    let scopes: BTreeSet<String> = ledger
        .log(&[])
        .iter()
        .filter(|event| event["kind"] == "memory.write")
        .map(|event| event["scope"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(scopes, ["tenant:acme", "tenant:globex"].map(str::to_owned).into());

    let long = "x".repeat(2 << 20);
    for (tenant, message, expected) in [("a%0Ab", "x", 400), ("", "x", 404), ("acme", &long, 413)] {
        // The answer to what is too long is no JSON: the status alone counts.
        let answer = request(&server.address, tenant, message);
        assert_eq!(answer.map(|(status, _)| status), Some(expected), "{tenant}");
    }
    assert_eq!(server.ask("acme", "still here").unwrap().0, 200);
    assert_eq!(server.terminate(), 0);
    ledger.verify().good();
}

/// A client that begins a request and does not go on with it does not keep the server from ending.
#[test]
fn a_client_that_stops_talking_holds_up_no_end() {
    let ledger = Ledger::new();
    let server = Server::start(&ledger, "clerk");
    let mut stuck = TcpStream::connect(&server.address).unwrap();
    stuck
        .write_all(b"POST /acme HTTP/1.1\r\nhost: edge\r\ncontent-length: 10\r\n\r\n")
        .unwrap();
    thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    assert_eq!(server.terminate(), 0);
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

/// Clients that ask again and again, each text once; what was acknowledged.
fn load(address: &str, clients: usize, stop: &AtomicBool, next: &AtomicUsize, acknowledged: &Mutex<BTreeSet<String>>) {
    thread::scope(|scope| {
        for client in 0..clients {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    match ask(address, &format!("t{}", client % 4), &format!("note {n}")) {
                        Some((200, answer)) => {
                            let id = answer["appended"][0].as_str().unwrap().to_owned();
                            acknowledged.lock().unwrap().insert(id);
                        }
                        Some((503, _)) => break,
                        Some((status, answer)) => panic!("{status}: {answer}"),
                        None => break,
                    }
                }
            });
        }
    });
}

/// A server that is killed or terminated under load has lost nothing that a client was told; seconds by
/// `QUIPU_EDGE_SECONDS`.
#[test]
fn a_server_that_ends_under_load_loses_nothing() {
    let seconds = std::env::var("QUIPU_EDGE_SECONDS").map_or(2, |text| text.parse().expect("a number of seconds"));
    let half = Duration::from_secs(seconds) / 2;
    let ledger = Ledger::new();
    let (next, acknowledged) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    let mut server = Server::start(&ledger, "clerk");
    thread::scope(|scope| {
        let address = server.address.clone();
        let loading = scope.spawn(|| {
            let address = address;
            load(&address, 16, &AtomicBool::new(false), &next, &acknowledged);
        });
        thread::sleep(half);
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        loading.join().unwrap();
    });
    let killed_at = acknowledged.lock().unwrap().len();
    assert!(killed_at > 0, "nothing was acknowledged before the kill");

    // Runs of the first server that have no end: they were killed.
    let unended = |ledger: &Ledger| {
        let of = |kind: &str| ledger.log(&["--kind", kind]).len();
        of("quipu.run") - of("quipu.run.end")
    };
    let killed = unended(&ledger);
    assert!(killed <= 16, "{killed} runs were killed, of 16 clients");
    let server = Server::start(&ledger, "clerk");
    let stop = AtomicBool::new(false);
    let code = thread::scope(|scope| {
        let address = server.address.clone();
        let (stop, next, acknowledged) = (&stop, &next, &acknowledged);
        let loading = scope.spawn(move || load(&address, 16, stop, next, acknowledged));
        let begin = Instant::now();
        wait_until("the server answers again", || {
            acknowledged.lock().unwrap().len() > killed_at || begin.elapsed() > half
        });
        thread::sleep(half);
        // It is terminated while they ask.
        let code = server.terminate();
        loading.join().unwrap();
        code
    });
    assert_eq!(code, 0, "it ends in order");

    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() > killed_at);
    let events = ledger.log(&[]);
    let mut left = acknowledged.clone();
    for event in &events {
        left.remove(event["id"].as_str().unwrap());
    }
    assert!(left.is_empty(), "acknowledged, and not there: {left:?}");
    let texts: Vec<_> = events
        .iter()
        .filter(|event| event["kind"] == "memory.write")
        .map(|event| event["payload"]["text"].as_str().unwrap())
        .collect();
    let once: BTreeSet<_> = texts.iter().collect();
    assert_eq!(once.len(), texts.len(), "nothing was appended twice");
    // Every run of the server that was terminated has its end.
    let of = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
    let (begun, ended) = (of("quipu.run"), of("quipu.run.end"));
    assert!(
        (0..=16).contains(&(begun - ended)),
        "killed: {begun} begun, {ended} ended"
    );
    ledger.verify().good();
    println!(
        "{} acknowledged, {killed_at} of them before the kill",
        acknowledged.len()
    );
}
