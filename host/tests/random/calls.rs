//! Random calls, valid and not, of a guest over a ledger in memory: what it reports is held against the model, and the
//! ledger against what it was before.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use quipu_format::{Actor, Body, Kind, Limits, Scope};
use quipu_host::{Grant, Identical, Memory, Outcome, Replayer, Runtime, Verdict};
use quipu_log::{CreateOptions, Draft, Ledger};
use tempfile::TempDir;

use crate::{
    chance::{Chance, Until, told},
    model::{ACTOR, APPENDS, Content, Entry, Model, READS},
    program::{Author, Call},
};

/// Calls of one run: its input has to hold them.
const CALLS: usize = 2_000;
/// The same, of a run that is executed again.
const REPLAYED_CALLS: usize = 400;
/// Runs over one ledger, which grows meanwhile.
const RUNS: u64 = 60;
/// Appends that a run may make; some of its programs ask for more.
const QUOTA: u32 = 600;
/// Where a sync costs nothing.
const MEMORY: &str = "/dev/shm";

#[test]
fn a_random_program_of_calls_is_answered_as_the_model_answers() {
    let calls = search(0, Until::seeds(2), 3);
    assert_eq!(calls, 2 * 3 * CALLS as u64);
}

/// `cargo xtask fuzz calls`.
#[test]
#[ignore = "goes on for as long as it is told to"]
fn many() {
    search(told("QUIPU_FROM", 0), Until::told(), RUNS);
}

/// Runs of a random program each that are executed again: `QUIPU_RUNS` is how many.
#[test]
fn random_runs_are_the_same_when_they_are_executed_again() {
    let (runs, from) = (told("QUIPU_RUNS", 60), told("QUIPU_FROM", 0));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (begin, mut replayed) = (Instant::now(), 0);
    for seed in from.. {
        let some = (runs - replayed).min(RUNS);
        if some == 0 {
            break;
        }
        let mut house = House::new(seed);
        for run in 0..some {
            let made = runtime.block_on(house.run(REPLAYED_CALLS));
            made.unwrap_or_else(|why| panic!("seed {seed}, run {run}: {why}"));
        }
        runtime
            .block_on(house.replay_all(some))
            .unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        replayed += some;
        let seconds = begin.elapsed().as_secs_f64();
        eprintln!("seed {seed}: {replayed} runs of {REPLAYED_CALLS} calls in {seconds:.0} s, all the same again");
    }
}

/// Each seed is one ledger. Returns the number of calls.
fn search(from: u64, until: Until, runs: u64) -> u64 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (begin, mut calls) = (Instant::now(), 0);
    for seed in (from..).take_while(|seed| until.goes_on(seed - from)) {
        let mut house = House::new(seed);
        for run in 0..runs {
            let made = runtime.block_on(house.run(CALLS));
            calls += made.unwrap_or_else(|why| panic!("seed {seed}, run {run}: {why}"));
        }
        house.check(runs);
        let seconds = begin.elapsed().as_secs_f64();
        eprintln!("seed {seed}: {calls} calls in {seconds:.0} s, no divergence, no change of what was written");
    }
    calls
}

struct House {
    chance: Chance,
    model: Model,
    ledger: Ledger,
    runtime: Runtime,
    agent: quipu_host::Agent,
    /// The log as it was last seen.
    before: Vec<u8>,
    folder: TempDir,
}

impl House {
    fn new(seed: u64) -> Self {
        let memory = Path::new(MEMORY);
        let above = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let folder = tempfile::tempdir_in(above).unwrap();
        let ledger = Ledger::create(&folder.path().join("ledger"), CreateOptions::new("example.com/test")).unwrap();
        let mut limits = Limits::default();
        (limits.appends, limits.deadline_ms, limits.input_bytes) = (QUOTA, 600_000, 800 << 10);
        // A batch may have several drafts that are too large.
        limits.host_call_bytes = limits.memory_bytes;
        let runtime = Runtime::over(Memory::unguarded(ledger.clone()).unwrap(), limits).unwrap();
        let guest = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../target/guests")
            .join("caller")
            .with_extension("wasm");
        let guest = fs::read(&guest).unwrap_or_else(|error| panic!("guest caller ({error}): run `cargo xtask guests`"));
        Self {
            agent: runtime.load(&guest).unwrap(),
            chance: Chance::new(seed),
            model: Model::default(),
            ledger,
            runtime,
            before: Vec::new(),
            folder,
        }
    }

    async fn run(&mut self, calls: usize) -> Result<u64, String> {
        self.others();
        let head = self.ledger.reader().head();
        let ids = self.ids(head);
        let mut author = Author {
            chance: &mut self.chance,
            ids: &ids,
            head,
        };
        let program = author.program(calls);
        let input = serde_json::to_string(&program).unwrap();
        let mut grant = Grant::new(Actor::new(ACTOR).unwrap(), Scope::new(READS[0]).unwrap());
        grant.read.push(Scope::new(READS[1]).unwrap());
        grant.append.push(Scope::new(APPENDS[1]).unwrap());
        let report = self
            .runtime
            .run(&self.agent, &grant, &input)
            .await
            .map_err(|e| e.to_string())?;
        let Outcome::Ok(output) = &report.outcome else {
            return Err(format!("the run ended badly: {:?}", report.outcome));
        };
        let lines: Vec<_> = output.lines().collect();
        if lines.len() != program.len() {
            return Err(format!("{} answers to {} calls", lines.len(), program.len()));
        }
        let mut run = self.model.run(report.head, QUOTA as usize);
        for (n, (call, line)) in program.iter().zip(lines).enumerate() {
            run.judge(call, line).map_err(|why| {
                let call = format!("{call:?}");
                format!(
                    "call {n}, {}: it answers {line:.200}, and {why:.400}",
                    call.chars().take(400).collect::<String>()
                )
            })?;
        }
        self.nothing_changed();
        Ok(program.len() as u64)
    }

    /// Executes every run again.
    async fn replay_all(&mut self, runs: u64) -> Result<(), String> {
        let replayer = Replayer::new(self.ledger.reader().clone()).map_err(|e| e.to_string())?;
        let mut replayed = 0;
        for run in replayer.runs() {
            let run = run.map_err(|e| e.to_string())?;
            let replay = replayer.replay(&run, None).await.map_err(|e| e.to_string())?;
            if replay.verdict != Verdict::Identical(Identical::ToItsEnd) {
                return Err(format!("run {replayed}: {replay:?}"));
            }
            replayed += 1;
        }
        self.nothing_changed();
        match replayed == runs {
            true => Ok(()),
            false => Err(format!("{replayed} runs of {runs} were replayed")),
        }
    }

    /// What others say meanwhile, in each scope.
    fn others(&mut self) {
        for scope in ["home", "b", "d"] {
            for _ in 0..1 + self.chance.below(4) {
                let payload = format!(r#"{{"text":"said by ann {}"}}"#, self.chance.below(6));
                let draft = Draft::new(
                    Scope::new(scope).unwrap(),
                    Actor::new("user:ann").unwrap(),
                    Kind::new("memory.write").unwrap(),
                    Body::new(None, &payload).unwrap(),
                );
                let receipt = self.ledger.append_blocking(draft).unwrap();
                let said = Content {
                    kind: "memory.write".into(),
                    payload,
                    source: None,
                    evidence: Vec::new(),
                    supersedes: Vec::new(),
                };
                let entry = Entry {
                    id: receipt.id.to_string(),
                    actor: "user:ann".into(),
                    scope: scope.into(),
                    said,
                    is_echo: false,
                };
                self.model.add(receipt.seq, entry);
            }
        }
    }

    /// Ids of entries anywhere in the ledger, the host's among them.
    fn ids(&mut self, head: u64) -> Vec<String> {
        let reader = self.ledger.reader();
        let seqs = (0..200).map(|_| self.chance.below(head as usize) as u64);
        seqs.filter_map(|seq| Some(reader.envelope(seq).unwrap()?.id.to_string()))
            .collect()
    }

    /// Each byte of the log that was there is there.
    fn nothing_changed(&mut self) {
        let now = log_bytes(&self.folder.path().join("ledger/log"));
        assert!(now.starts_with(&self.before), "bytes of the log have changed");
        self.before = now;
    }

    /// The whole ledger, once it is at rest.
    fn check(self, runs: u64) {
        let reader = self.ledger.reader();
        reader.refresh().unwrap();
        let mut ended = 0;
        for event in reader.events(0..u64::MAX).map(Result::unwrap) {
            let envelope = &event.envelope;
            if envelope.kind.is_reserved() {
                ended += u64::from(envelope.kind.as_str() == "quipu.run.end");
                continue;
            }
            let entry = self
                .model
                .entries
                .get(&envelope.seq)
                .expect("an entry that nobody appended");
            assert_eq!(envelope.actor.as_str(), entry.actor);
            assert_eq!(envelope.scope.as_str(), entry.scope);
            assert_eq!(event.payload(), Some(entry.said.payload.as_str()));
        }
        assert_eq!(ended, runs);
        let head = reader.head();
        drop((self.runtime, self.agent));
        self.ledger.close().unwrap();
        let verified = quipu_log::verify(self.folder.path().join("ledger").as_path(), &mut |_| {}).unwrap();
        assert!(verified.fault.is_none(), "{:?}", verified.fault);
        assert_eq!(verified.entries, head);
    }
}

/// All lines of all segments; blank ones are what is filled ahead.
fn log_bytes(folder: &Path) -> Vec<u8> {
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

#[test]
fn programs_are_of_all_calls() {
    let mut chance = Chance::new(1);
    let mut author = Author {
        chance: &mut chance,
        ids: &[],
        head: 100,
    };
    let program = author.program(CALLS);
    let has = |is: fn(&Call) -> bool| assert!(program.iter().any(is));
    has(|call| matches!(call, Call::Append(_)));
    has(|call| matches!(call, Call::AppendAll(_)));
    has(|call| matches!(call, Call::Why(..)));
    has(|call| matches!(call, Call::Compose(..)));
}
