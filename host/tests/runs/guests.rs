//! A ledger to run guests over.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use quipu_format::{Actor, Body, Event, Kind, RunId, Scope};
use quipu_host::{Grant, Limits, Outcome, Quota, QuotaChange, RunReport, Runtime, Signer};
use quipu_log::{CreateOptions, Draft, Ledger, OpenOptions, Receipt};
use serde_json::Value;
use tempfile::TempDir;

/// The component of that name, as `cargo xtask guests` builds it.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/guests")
        .join(name)
        .with_extension("wasm");
    fs::read(&file).unwrap_or_else(|error| panic!("guest {name} ({error}): run `cargo xtask guests`"))
}

pub(crate) fn scope(name: &str) -> Scope {
    Scope::new(name).unwrap()
}

pub(crate) fn actor(name: &str) -> Actor {
    Actor::new(name).unwrap()
}

/// For `agent:test`, at home in `home`.
pub(crate) fn grant() -> Grant {
    Grant::new(actor("agent:test"), scope("home"))
}

pub(crate) fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// A fresh ledger and a runtime over it.
pub(crate) struct House {
    pub(crate) ledger: Ledger,
    pub(crate) runtime: Runtime,
    folder: TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::within(Limits::default())
    }

    pub(crate) fn within(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::create(&folder.path().join("ledger"), CreateOptions::new("example.com/test")).unwrap();
        Self {
            runtime: Runtime::new(ledger.clone(), limits).unwrap(),
            ledger,
            folder,
        }
    }

    /// An operator lets a scope hold so many entries, and no more.
    pub(crate) async fn quota(&self, of: &str, entries: u32) {
        let kim = Signer::new("operator:kim", [9; 32]).unwrap();
        if self.ledger.reader().operators().unwrap().is_empty() {
            self.ledger.found_operator(&kim.verifier_key()).unwrap();
        }
        let quota = Quota {
            bytes: None,
            entries: Some(entries),
            of: of.parse().unwrap(),
        };
        let change = QuotaChange::Set(quota);
        let receipt = self
            .ledger
            .change_quota(&change, Some("the small plan"), &kim)
            .await
            .unwrap();
        let reason = self.ledger.reader().reason(receipt.seq).unwrap();
        assert_eq!(reason.as_deref(), Some("the small plan"));
    }

    /// Another house over a copy of this one's ledger, as it is on disk.
    pub(crate) fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy_files(self.folder.path(), folder.path());
        let ledger = Ledger::open(&folder.path().join("ledger"), OpenOptions::default()).unwrap();
        Self {
            runtime: Runtime::new(ledger.clone(), Limits::default()).unwrap(),
            ledger,
            folder,
        }
    }

    /// The folder that the ledger lies in, while it is open.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// An entry that came from no run.
    pub(crate) fn seed(&self, in_scope: &str, by: &str, payload: &str) -> Receipt {
        self.seed_all(in_scope, by, [payload.to_owned()]).remove(0)
    }

    /// The same of something that is believed.
    pub(crate) fn seed_statement(&self, in_scope: &str, by: &str, payload: &str) -> Receipt {
        let (body, kind) = (Body::new(None, payload).unwrap(), Kind::new("memory.write").unwrap());
        let draft = Draft::new(scope(in_scope), actor(by), kind, body);
        self.ledger.append_blocking(draft).unwrap()
    }

    /// Messages, in one commit.
    pub(crate) fn seed_all(
        &self,
        in_scope: &str,
        by: &str,
        payloads: impl IntoIterator<Item = String>,
    ) -> Vec<Receipt> {
        let drafts = payloads.into_iter().map(|payload| {
            let body = Body::new(None, &payload).unwrap();
            Draft::new(scope(in_scope), actor(by), Kind::new("message").unwrap(), body)
        });
        self.ledger.append_all_blocking(drafts.collect()).unwrap()
    }

    pub(crate) async fn run(&self, name: &str, grant: &Grant, input: &str) -> RunReport {
        let agent = self.runtime.load(&guest(name)).unwrap();
        self.runtime.run(&agent, grant, input).await.unwrap()
    }

    /// Runs `spin` until the runtime is shut down, which ends it; the runtime is of no use afterwards.
    pub(crate) async fn run_halted(&self, input: &str) -> RunReport {
        let spin = self.runtime.load(&guest("spin")).unwrap();
        let grant = grant();
        let shut_down = async {
            self.until_begun().await;
            self.runtime.shutdown(Duration::from_millis(20)).await
        };
        let (report, ended) = tokio::join!(self.runtime.run(&spin, &grant, input), shut_down);
        assert_eq!(ended, 1);
        report.unwrap()
    }

    /// Until there is an entry besides the ledger's first.
    pub(crate) async fn until_begun(&self) {
        while self.ledger.reader().head() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// All entries.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.ledger.reader().events(0..u64::MAX).map(Result::unwrap).collect()
    }

    /// The entries of one run, the host's own among them.
    pub(crate) fn events_of(&self, run: RunId) -> Vec<Event> {
        self.events()
            .into_iter()
            .filter(|event| event.envelope.run == Some(run))
            .collect()
    }

    /// What the run's `quipu.run.told` entries say, in order.
    pub(crate) fn told(&self, run: RunId) -> Vec<Value> {
        let told = self
            .events_of(run)
            .into_iter()
            .filter(|event| event.envelope.kind.as_str() == "quipu.run.told");
        told.flat_map(|event| match payload(&event)["told"].take() {
            Value::Array(told) => told,
            other => panic!("not a list: {other}"),
        })
        .collect()
    }

    /// The run's last entry.
    pub(crate) fn end(&self, run: RunId) -> Option<Event> {
        self.events_of(run)
            .into_iter()
            .find(|event| event.envelope.kind.as_str() == "quipu.run.end")
    }
}

fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let copy = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            fs::create_dir(&copy).unwrap();
            copy_files(&entry.path(), &copy);
        } else if kind.is_file() {
            match fs::copy(entry.path(), copy) {
                // A file that has been given its name meanwhile: the ledger is open, and signs a checkpoint when it is idle.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => {
                    copied.unwrap();
                }
            }
        }
    }
}

pub(crate) fn payload(event: &Event) -> Value {
    serde_json::from_str(event.payload().unwrap()).unwrap()
}

pub(crate) fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.envelope.kind.as_str()).collect()
}

/// The answer of a run that went well, as JSON.
#[track_caller]
pub(crate) fn answer(report: &RunReport) -> Value {
    match &report.outcome {
        Outcome::Ok(answer) => serde_json::from_str(answer).unwrap_or_else(|_| Value::from(answer.as_str())),
        other => panic!("the run ended badly: {other:?}"),
    }
}

/// What became of a call, in a guest's report of many.
#[track_caller]
pub(crate) fn call<'a>(report: &'a Value, name: &str) -> &'a Value {
    let calls = report.as_array().unwrap();
    calls
        .iter()
        .find(|call| call["call"] == name)
        .unwrap_or_else(|| panic!("no call {name:?} in {report:#}"))
}

/// The kind of the refusal of that call.
#[track_caller]
pub(crate) fn refused<'a>(report: &'a Value, name: &str) -> &'a str {
    let call = call(report, name);
    call["refused"]
        .as_str()
        .unwrap_or_else(|| panic!("not refused: {call:#}"))
}
