//! Group `edge`: examples/edge.rs under load, each request a run, beside the same server whose agent makes no memory call.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::json;

use crate::{Result, figure::Figure, ledger, settings::Settings};

/// Notes what it is told and searches for it; told nothing, it does neither.
const GUEST: &str = "clerk.wasm";
/// Connections that ask without a pause.
const CONNECTIONS: u32 = 64;
/// Scopes that they ask about in turn.
const TENANTS: u32 = 16;
/// A search is over what a tenant was told: as many notes are there before.
const NOTES: usize = 100;

/// What a request says: a text of its own, or nothing.
const ASKS: [(&str, &str); 2] = [
    ("append+search", "\"invoices as CSV, note \" .. n"),
    ("no-memory-call", "\"\""),
];

pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>> {
    if Command::new("wrk").arg("--version").output().is_err() {
        return Err("the load comes from wrk, which is not installed: apt-get install wrk".into());
    }
    let script = settings.folder.join("ask.lua");
    let repetitions = settings.repetitions.unwrap_or(3);
    let mut rates = [const { Vec::new() }; ASKS.len()];
    let mut slowest = [const { Vec::new() }; ASKS.len()];
    for repetition in 1..=repetitions {
        for (i, (name, text)) in ASKS.iter().enumerate() {
            eprintln!("edge: {name}, {repetition} of {repetitions}");
            let (ledger, path) = ledger::create(&settings.folder)?;
            for tenant in 0..TENANTS {
                let writer = ledger::Writer::in_scope(&format!("tenant:t{tenant}"));
                let drafts = (0..NOTES).map(|n| writer.draft(&format!(r#"{{"text":"an earlier note {n}"}}"#)));
                ledger.append_all_blocking(drafts.collect::<Result<_>>()?)?;
            }
            ledger.close()?;
            fs::write(&script, ask(text))?;
            let server = Server::start(&path, &settings.guests.join(GUEST))?;
            let load = server.load(&script, settings.length.as_secs())?;
            drop(server);
            rates[i].push(load.per_second);
            slowest[i].push(load.p99_ms);
            fs::remove_dir_all(path)?;
        }
    }
    let conditions = json!({
        "connections": CONNECTIONS,
        "tenants": TENANTS,
        "seconds": settings.length.as_secs(),
        "notes_before": NOTES,
        "secret_guard": true,
    });
    let mut figures = Vec::new();
    for (i, (name, _)) in ASKS.iter().enumerate() {
        figures.push(Figure::new(
            format!("{name}/rate"),
            "requests/s",
            &rates[i],
            &conditions,
        ));
        figures.push(Figure::new(format!("{name}/p99"), "ms", &slowest[i], &conditions));
    }
    Ok(figures)
}

/// What wrk sends.
fn ask(text: &str) -> String {
    format!(
        "local n = 0\n\
         request = function()\n\
         n = n + 1\n\
         return wrk.format(\"POST\", \"/t\" .. (n % {TENANTS}), nil, {text})\n\
         end\n\
         done = function(summary, latency)\n\
         local e = summary.errors\n\
         print(\"p99-us \" .. latency:percentile(99))\n\
         print(\"errors \" .. (e.connect + e.read + e.write + e.status + e.timeout))\n\
         end\n"
    )
}

/// The server, which lies beside this program.
struct Server {
    child: Child,
    address: String,
}

struct Load {
    per_second: f64,
    p99_ms: f64,
}

impl Server {
    fn start(ledger: &Path, agent: &Path) -> Result<Self> {
        let program = env::current_exe()?.with_file_name("edge");
        let mut command = Command::new(&program);
        command.arg(ledger).arg(agent).arg("127.0.0.1:0").stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", program.display()))?;
        let mut line = String::new();
        let said = child.stdout.take().ok_or("the server has no output")?;
        BufReader::new(said).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ").map(String::from);
        let address = address.ok_or_else(|| format!("the server says {line:?}"))?;
        Ok(Self { child, address })
    }

    fn load(&self, script: &Path, seconds: u64) -> Result<Load> {
        let mut wrk = Command::new("wrk");
        wrk.args([
            "-t",
            "1",
            "-c",
            &CONNECTIONS.to_string(),
            "-d",
            &format!("{seconds}s"),
            "-s",
        ]);
        let done = wrk.arg(script).arg(format!("http://{}/", self.address)).output()?;
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let value = |name: &str| -> Result<f64> {
            let value = said.lines().find_map(|line| line.trim().strip_prefix(name));
            let value = value.ok_or_else(|| format!("wrk does not say {name:?}: {said}"))?;
            Ok(value.trim().parse()?)
        };
        if value("errors ")? > 0.0 {
            return Err(format!("requests failed: {said}").into());
        }
        Ok(Load {
            per_second: value("Requests/sec:")?,
            p99_ms: value("p99-us ")? / 1e3,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
