//! What a process of its own does: opening and reading the ledger, or appending until it is killed.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use quipu_log::{Direction, Ledger, OpenOptions};
use serde::{Deserialize, Serialize};

use super::{TEXT_BYTES, files};
use crate::{
    Result,
    ledger::Writer,
    payload::{Random, payload},
    settings::Settings,
};

/// First argument of such a process.
pub(crate) const FLAG: &str = "--child";

/// Pages that are read, each of another scope's oldest or newest events, and their length.
const PAGES: usize = 100;
const PAGE_EVENTS: usize = 50;

/// Threads that append until the end, each one entry at a time, and for how long.
const APPENDERS: usize = 16;
const APPENDING: Duration = Duration::from_secs(2);

/// What a process saw that opened the ledger for writing.
#[derive(Serialize, Deserialize)]
pub(super) struct Seen {
    /// Entries that were there.
    pub(super) head: u64,
    pub(super) open_ms: f64,
    /// The first pages, each of a scope that nothing was read of before.
    pub(super) pages_us: Vec<f64>,
    /// The same pages once more.
    pub(super) again_us: Vec<f64>,
    /// As many reads of the disk as a page has events, each of a line's length at a random place of the log.
    pub(super) disk_us: Vec<f64>,
    pub(super) append_ms: f64,
    /// After the append, and the most it ever was.
    pub(super) resident_mib: f64,
    pub(super) peak_mib: f64,
    pub(super) close_ms: f64,
}

/// Opens the ledger in a new process, reads the first pages of random scopes, appends and closes.
pub(super) fn open_and_read(ledger: &Path, settings: &Settings, seed: usize) -> Result<Seen> {
    let least = PAGE_EVENTS.min(settings.events / settings.scopes);
    let child = command("read", ledger)?
        .args([settings.scopes, least, seed].map(|number| number.to_string()))
        .stderr(Stdio::inherit())
        .output()?;
    if !child.status.success() {
        return Err(format!("the process that reads ended with {}", child.status).into());
    }
    Ok(serde_json::from_slice(&child.stdout)?)
}

/// Opens the ledger in a new process that appends, kills that with SIGKILL in the midst of it, and returns how many
/// entries had been acknowledged.
pub(super) fn append_and_kill(ledger: &Path, scopes: usize) -> Result<u64> {
    let mut child = command("append", ledger)?
        .arg(scopes.to_string())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("a pipe was asked for")?).lines();
    // The first line comes when the ledger is open; each says how many entries are acknowledged.
    let mut acknowledged: u64 = lines.next().ok_or("the process that appends did not begin")??.parse()?;
    thread::sleep(APPENDING);
    child.kill()?;
    let status = child.wait()?;
    if status.signal() != Some(9) {
        return Err(format!("the process that appends was to be killed and ended with {status}").into());
    }
    for line in lines {
        // The last may be torn.
        acknowledged = line?.parse().map_or(acknowledged, |number| acknowledged.max(number));
    }
    Ok(acknowledged)
}

fn command(what: &str, ledger: &Path) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args([FLAG, what]).arg(ledger);
    Ok(command)
}

/// The process itself.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [what, ledger, scopes, least, seed] if what == "read" => {
            let seen = read(Path::new(ledger), scopes.parse()?, least.parse()?, seed.parse()?)?;
            println!("{}", serde_json::to_string(&seen)?);
            Ok(())
        }
        [what, ledger, scopes] if what == "append" => append(Path::new(ledger), scopes.parse()?),
        _ => Err(format!("{FLAG} is for the group large itself").into()),
    }
}

fn read(path: &Path, scopes: usize, least: usize, seed: u64) -> Result<Seen> {
    let begin = Instant::now();
    let ledger = Ledger::open(path, OpenOptions::default())?;
    let open_ms = ms(begin);
    let reader = ledger.reader();
    let head = reader.head();
    let mut random = Random::new(seed);
    let first: Vec<_> = (0..PAGES).map(|_| Writer::new(random.below(scopes))).collect();
    let pages = || -> Result<Vec<f64>> {
        let both = [Direction::Forward, Direction::Backward];
        let page = |(writer, direction): (&Writer, &Direction)| {
            let begin = Instant::now();
            let page = reader.page(writer.scope(), 0..head, *direction, PAGE_EVENTS)?;
            let us = ms(begin) * 1e3;
            if page.events.len() < least {
                let (scope, events) = (writer.scope(), page.events.len());
                return Err(format!("the first page of {scope} has {events} events, not {least}").into());
            }
            Ok(us)
        };
        first.iter().zip(both.iter().cycle()).map(page).collect()
    };
    let (pages_us, again_us) = (pages()?, pages()?);
    let log = files::RandomReads::new(&path.join("log"))?;
    let disk_us = (0..PAGES)
        .map(|_| {
            let places = log.places(&mut random, PAGE_EVENTS);
            let begin = Instant::now();
            log.read(&places)?;
            Ok(ms(begin) * 1e3)
        })
        .collect::<Result<_>>()?;
    let draft = Writer::new(random.below(scopes)).draft(&payload(seed, TEXT_BYTES))?;
    let begin = Instant::now();
    ledger.append_blocking(draft)?;
    let append_ms = ms(begin);
    let (resident_mib, peak_mib) = (memory_mib("VmRSS:")?, memory_mib("VmHWM:")?);
    let begin = Instant::now();
    ledger.close()?;
    Ok(Seen {
        head,
        open_ms,
        pages_us,
        again_us,
        disk_us,
        append_ms,
        resident_mib,
        peak_mib,
        close_ms: ms(begin),
    })
}

fn append(path: &Path, scopes: usize) -> Result<()> {
    let ledger = Ledger::open(path, OpenOptions::default())?;
    let acknowledged = AtomicU64::new(ledger.reader().head());
    thread::scope(|threads| {
        let appender = |i: usize| {
            let (ledger, acknowledged) = (&ledger, &acknowledged);
            move || {
                let mut random = Random::new(acknowledged.load(Ordering::Relaxed) << 8 | i as u64);
                let mut append = || -> Result<()> {
                    let draft = Writer::new(random.below(scopes)).draft(&payload(i as u64, TEXT_BYTES))?;
                    let receipt = ledger.append_blocking(draft)?;
                    acknowledged.fetch_max(receipt.seq + 1, Ordering::Relaxed);
                    Ok(())
                };
                loop {
                    if let Err(error) = append() {
                        eprintln!("quipu-bench: {error}");
                        process::exit(1);
                    }
                }
            }
        };
        for i in 0..APPENDERS {
            threads.spawn(appender(i));
        }
        loop {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", acknowledged.load(Ordering::Relaxed))?;
            out.flush()?;
            drop(out);
            thread::sleep(Duration::from_millis(20));
        }
    })
}

fn ms(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

/// A line of this process's status, which is in KiB.
fn memory_mib(name: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib: f64 = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .ok_or("the system does not say what memory a process uses")?
        .parse()?;
    Ok(kib / 1024.0)
}
