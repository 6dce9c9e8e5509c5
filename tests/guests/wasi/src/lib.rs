//! Asks all that WASI has for what it must not get, and says what it got. Its input is what it prints.

use std::{
    collections::hash_map::RandomState,
    env,
    fs::{self, File},
    hash::BuildHasher,
    io::Read,
    net::{TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant, SystemTime},
};

use quipu_guest::{Draft, Memory, Result, RunInfo};
use serde_json::json;

quipu_guest::agent!(handle);

fn handle(run: RunInfo, _: Memory, input: String) -> Result<String> {
    println!("{input}");
    eprintln!("told to the standard error");
    if input == "exit" {
        std::process::exit(0);
    }
    if input == "flood" {
        for _ in 0..10_000 {
            println!("a line of a flood, which is longer than it would have to be");
        }
    }
    Draft::new("memory.write").text("from WASI").append()?;
    let (began, clock) = (SystemTime::now(), Instant::now());
    let same = SystemTime::now() == began;
    thread::sleep(Duration::from_secs(3_600));
    let mut stdin = Vec::new();
    let read = std::io::stdin().read_to_end(&mut stdin).map_err(|error| error.to_string());
    Ok(json!({
        "now": run.now,
        "ms": began.duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_millis() as u64).unwrap_or(0),
        "clockStands": same,
        "slept": clock.elapsed().as_secs(),
        "variables": env::vars().count(),
        "arguments": env::args().count(),
        "stdin": read,
        "open": File::open("/etc/passwd").is_err(),
        "create": File::create("file").is_err(),
        "list": fs::read_dir("/").is_err(),
        "connect": TcpStream::connect("127.0.0.1:80").is_err(),
        "listen": TcpListener::bind("127.0.0.1:0").is_err(),
        "datagram": UdpSocket::bind("127.0.0.1:0").is_err(),
        "resolve": std::net::ToSocketAddrs::to_socket_addrs("localhost:80").is_err(),
        "random": [RandomState::new().hash_one(1), RandomState::new().hash_one(2)],
    })
    .to_string())
}
