//! One ledger and one host for all hostile guests, one after the other: what must hold after each.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use quipu_format::{Actor, Body, Kind, Limits, RunId, Scope};
use quipu_host::{Agent, DEFAULT_KINDS, Grant, Memory, Outcome, RunReport, Runtime};
use quipu_log::{CreateOptions, Draft, Ledger, Receipt};
use serde_json::json;

use crate::{driver::guest, full};

/// What the scope that nobody is granted holds; it must never be told.
pub(crate) const CANARY: &str = "canary-of-a-scope-that-is-not-granted";
/// The scope whose one entry says `spin`; agents are not granted it.
pub(crate) const LOOPING: &str = "looping";
/// Of one guest, with room for what a host call copies and for what is derived meanwhile.
const MOST_BYTES: u64 = 384 << 20;
/// To compile any of them.
const MOST_COMPILING_BYTES: u64 = 1536 << 20;

pub(crate) struct House {
    pub(crate) ledger: Ledger,
    runtime: Runtime,
    /// The same, and it offers WASI.
    with_wasi: Runtime,
    pub(crate) limits: Limits,
    executor: tokio::runtime::Runtime,
    folder: PathBuf,
    honest: Agent,
    /// Entries that guests name: of others in a granted scope, and in one that is not.
    others: Receipt,
    hidden: Receipt,
    /// The log before the attack, and the runs that there were.
    before: Vec<u8>,
    head: u64,
    runs: Vec<RunId>,
}

/// The house, for one attack: the memory of this process is its own meanwhile.
pub(crate) fn take() -> MutexGuard<'static, House> {
    static HOUSE: OnceLock<Mutex<House>> = OnceLock::new();
    let house = HOUSE.get_or_init(|| Mutex::new(House::new()));
    let mut house = house.lock().unwrap_or_else(PoisonError::into_inner);
    house.before = log_bytes(&house.folder.join("log"));
    house.head = house.ledger.reader().head();
    house.runs.clear();
    house
}

impl House {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile");
        let _ = fs::remove_dir_all(&folder);
        let options = CreateOptions::new("example.com/hostile").operator(&full::operator());
        let ledger = Ledger::create(&folder, options.unwrap()).unwrap();
        let mut limits = Limits::default();
        limits.memory_bytes = 16 << 20;
        limits.deadline_ms = 4_000;
        limits.appends = 300;
        limits.host_call_bytes = 4 << 20;
        limits.handles = 100;
        limits.told_bytes = 1 << 20;
        let runtime = Runtime::new(ledger.clone(), limits.clone()).unwrap();
        let with_wasi = Runtime::over(runtime.memory().clone(), limits.clone()).unwrap();
        let say = |scope: &str, text: &str| {
            let payload = json!({ "text": text }).to_string();
            let draft = Draft::new(
                Scope::new(scope).unwrap(),
                Actor::new("user:ann").unwrap(),
                Kind::new("memory.write").unwrap(),
                Body::new(None, &payload).unwrap(),
            );
            ledger.append_blocking(draft).unwrap()
        };
        let others = say("home", "the red door");
        say("read", "seven boxes");
        let hidden = say("hidden", CANARY);
        // What compactors and projections of ours do for ever when they are shown it.
        say(LOOPING, "spin");
        let honest = runtime.load(&fs::read(guest("echo")).unwrap()).unwrap();
        Self {
            executor: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap(),
            ledger,
            runtime,
            with_wasi: with_wasi.with_wasi().unwrap(),
            limits,
            folder,
            honest,
            others,
            hidden,
            before: Vec::new(),
            head: 0,
            runs: Vec::new(),
        }
    }

    /// What a guest of ours is told of the attack that it is to try.
    pub(crate) fn input(&self, attack: &str) -> String {
        let input =
            json!({"attack": attack, "others": self.others.id, "hidden": self.hidden.id, "hiddenSeq": self.hidden.seq});
        input.to_string()
    }

    pub(crate) fn load(&self, wasm: &[u8]) -> Result<Agent, String> {
        load(&self.runtime, wasm)
    }

    pub(crate) fn load_with_wasi(&self, wasm: &[u8]) -> Result<Agent, String> {
        load(&self.with_wasi, wasm)
    }

    pub(crate) fn run(&mut self, agent: &Agent, input: &str) -> RunReport {
        let report = self.bounded(|house| house.executor.block_on(house.runtime.run(agent, &grant(), input)));
        self.ran(report.unwrap())
    }

    pub(crate) fn run_with_wasi(&mut self, agent: &Agent, input: &str) -> RunReport {
        let mut grant = grant();
        grant.wasi = true;
        let report = self.bounded(|house| house.executor.block_on(house.with_wasi.run(agent, &grant, input)));
        self.ran(report.unwrap())
    }

    /// What the host does for one guest, within the memory that it may take for that.
    pub(crate) fn bounded<T>(&self, what: impl FnOnce(&Self) -> T) -> T {
        let memory = Peak::new();
        let done = what(self);
        memory.within(MOST_BYTES);
        done
    }

    pub(crate) fn memory(&self) -> Memory {
        self.runtime.memory().clone()
    }

    pub(crate) fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.executor.block_on(what)
    }

    /// A run that was none of an agent's.
    pub(crate) fn counts(&mut self, run: RunId) {
        self.runs.push(run);
    }

    fn ran(&mut self, report: RunReport) -> RunReport {
        self.runs.push(report.run);
        let said = format!("{:?}", report.outcome);
        assert!(!said.contains(CANARY), "it was told what it must not know: {said}");
        report
    }

    /// What must hold whatever a guest tried.
    pub(crate) fn is_unharmed(&mut self) {
        // The next one is answered.
        let honest = self.honest.clone();
        let next = self.run(&honest, "are you there?");
        assert!(
            matches!(next.outcome, Outcome::Ok(_)),
            "the next run: {:?}",
            next.outcome
        );
        assert_eq!(next.appended.len(), 1);
        // Every byte that was there is there.
        let now = log_bytes(&self.folder.join("log"));
        assert!(now.starts_with(&self.before), "bytes of the log have changed");
        self.entries_are_as_granted();
        let verified = quipu_log::verify(self.folder.as_path(), &mut |_| {}).unwrap();
        assert!(verified.fault.is_none(), "{:?}", verified.fault);
    }

    /// What came since: each entry of a run bears what the host stamps, in what is granted, and names what it could see.
    fn entries_are_as_granted(&self) {
        let reader = self.ledger.reader();
        reader.refresh().unwrap();
        let (mut begun, mut ended) = (0, 0);
        for event in reader.events(self.head..u64::MAX).map(Result::unwrap) {
            let envelope = &event.envelope;
            assert!(!event.payload().unwrap_or_default().contains(CANARY), "{envelope:?}");
            begun += usize::from(envelope.kind.as_str() == "quipu.run");
            ended += usize::from(envelope.kind.as_str() == "quipu.run.end");
            if envelope.kind.is_reserved() {
                assert!(
                    envelope.kind.as_str().starts_with("quipu.run") || envelope.scope.is_reserved(),
                    "{envelope:?}"
                );
                continue;
            }
            assert_eq!(envelope.actor.as_str(), "agent:test");
            assert!(envelope.run.is_some_and(|run| self.runs.contains(&run)), "{envelope:?}");
            assert!(["home", "more"].contains(&envelope.scope.as_str()), "{envelope:?}");
            assert!(DEFAULT_KINDS.contains(&envelope.kind.as_str()), "{envelope:?}");
            assert!(envelope.sys.is_none());
            for id in envelope.evidence.iter().chain(&envelope.supersedes) {
                let seq = reader.find(*id).unwrap().expect("it names an event");
                let named = reader.envelope(seq).unwrap().unwrap();
                assert!(seq < envelope.seq, "it names what came later");
                assert!(
                    !named.kind.is_reserved() && named.scope.as_str() != "hidden",
                    "{named:?}"
                );
                if envelope.supersedes.contains(id) {
                    assert_eq!(named.actor, envelope.actor, "it supersedes another actor's");
                }
            }
        }
        assert_eq!(
            (begun, ended),
            (self.runs.len(), self.runs.len()),
            "each run has a beginning and an end"
        );
    }
}

fn load(runtime: &Runtime, wasm: &[u8]) -> Result<Agent, String> {
    let memory = Peak::new();
    let agent = runtime.load(wasm).map_err(|error| format!("{error:#}"));
    memory.within(MOST_COMPILING_BYTES);
    agent
}

fn grant() -> Grant {
    let mut grant = Grant::new(Actor::new("agent:test").unwrap(), Scope::new("home").unwrap());
    grant.read.push(Scope::new("read").unwrap());
    grant.append.push(Scope::new("more").unwrap());
    grant
}

/// All lines of all segments; blank ones are what is filled ahead.
pub(crate) fn log_bytes(folder: &Path) -> Vec<u8> {
    let segments = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> = segments
        .filter(|path| path.extension().is_some_and(|ending| ending == "log"))
        .collect();
    segments.sort();
    let mut all = Vec::new();
    for segment in segments {
        let bytes = fs::read(segment).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 2);
        all.extend_from_slice(&bytes[..end.min(bytes.len())]);
    }
    all
}

/// How much memory this process takes at the most from here on, where the system says.
struct Peak {
    before: Option<u64>,
}

impl Peak {
    fn new() -> Self {
        // The highest so far is forgotten.
        let reset = fs::write("/proc/self/clear_refs", "5");
        Self {
            before: reset.ok().and_then(|()| resident("VmRSS:")),
        }
    }

    fn within(self, bytes: u64) {
        if let (Some(before), Some(peak)) = (self.before, resident("VmHWM:")) {
            let more = peak.saturating_sub(before);
            assert!(more <= bytes, "{} MiB more than before", more >> 20);
        }
    }
}

fn resident(line: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|text| text.strip_prefix(line))?;
    Some(kib.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}
