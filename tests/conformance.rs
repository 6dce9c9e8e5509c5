//! The conformance kit, tests/conformance, against our own host, and what of it only reads against the second host.

mod driver;

use std::{collections::BTreeMap, fs};

use driver::{Ran, governed::Governed, guest, root, run, second_host::node};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    interface: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    says: String,
    /// It makes no call but those of interface `read`.
    #[serde(default)]
    reads: bool,
    #[serde(default)]
    events: Vec<Value>,
    /// Which of the events are erased before the runs.
    #[serde(default)]
    erase: Vec<usize>,
    /// How many entries more an operator lets scopes get before the runs.
    #[serde(default)]
    room: BTreeMap<String, usize>,
    /// It is about the secret guard, which a host need not have.
    #[serde(default)]
    guard: bool,
    #[serde(default)]
    grant: Grant,
    runs: Vec<Run>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Grant {
    read: Vec<String>,
    append: Vec<String>,
    kinds: Vec<String>,
    supersede_others: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    guest: String,
    input: Value,
    #[serde(default = "ok")]
    outcome: String,
    lines: Option<Vec<String>>,
    json: Option<Value>,
    drafts: Option<Vec<Value>>,
}

fn ok() -> String {
    "ok".into()
}

fn manifest() -> Manifest {
    let text = fs::read_to_string(root().join("tests/conformance/manifest.json")).unwrap();
    let manifest: Manifest = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest.interface, "quipu:memory@0.1.0");
    assert!(manifest.cases.len() > 20);
    manifest
}

/// What stands for what only a ledger knows: `{id:N}` and `{seq:N}` for an event of the case, `$name` for what must be the same
/// wherever it stands, `*` for anything but null.
#[derive(Default)]
struct Names {
    events: Vec<(String, String)>,
    bound: BTreeMap<String, String>,
}

impl Names {
    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (nth, (id, seq)) in self.events.iter().enumerate() {
            text = text
                .replace(&format!("{{id:{nth}}}"), id)
                .replace(&format!("{{seq:{nth}}}"), seq);
        }
        text
    }

    fn is(&mut self, expected: &str, found: &str) -> bool {
        let Some(name) = expected.strip_prefix('$') else {
            return expected == "*" || self.fill(expected) == found;
        };
        self.bound.entry(name.to_owned()).or_insert_with(|| found.to_owned()) == found
    }

    fn is_line(&mut self, expected: &str, found: &str) -> bool {
        let (expected, found): (Vec<_>, Vec<_>) =
            (expected.split(' ').collect(), found.trim_end().split(' ').collect());
        expected.len() == found.len()
            && expected
                .iter()
                .zip(found)
                .all(|(expected, found)| self.is(expected, found))
    }

    /// Members that are not named may be anything; a list has as many items.
    fn is_json(&mut self, expected: &Value, found: &Value) -> bool {
        match (expected, found) {
            (Value::Object(expected), Value::Object(_)) => expected
                .iter()
                .all(|(name, expected)| self.is_json(expected, &found[name])),
            (Value::Array(expected), Value::Array(found)) => {
                expected.len() == found.len()
                    && expected
                        .iter()
                        .zip(found)
                        .all(|(expected, found)| self.is_json(expected, found))
            }
            (Value::String(_), Value::Null) => false,
            (Value::String(expected), Value::String(found)) => self.is(expected, found),
            (Value::String(expected), found) => self.is(expected, &found.to_string()),
            (expected, found) => expected == found,
        }
    }
}

struct Bench<'a> {
    case: &'a Case,
    it: Governed,
    names: Names,
}

impl<'a> Bench<'a> {
    fn new(case: &'a Case) -> Self {
        let it = Governed::new();
        let mut names = Names::default();
        for event in &case.events {
            let mut draft = event.clone();
            let actor = draft.as_object_mut().unwrap().remove("actor").unwrap();
            let file = it.ledger.file("draft", names.fill(&draft.to_string()) + "\n");
            let mut append = it
                .ledger
                .command(["append", "--actor", actor.as_str().unwrap(), "--jsonl"]);
            let receipt = run(append.arg(file)).good().json();
            names
                .events
                .push((receipt["id"].as_str().unwrap().to_owned(), receipt["seq"].to_string()));
        }
        for nth in &case.erase {
            let reason = ["redact", "--alone", "--reason", "asked for", &names.events[*nth].0];
            it.kim(&reason).good();
        }
        for (scope, room) in &case.room {
            let held = case.events.iter().filter(|event| event["scope"] == scope.as_str());
            let entries = (held.count() + room).to_string();
            it.kim(&["quota", "set", scope, "--entries", &entries]).good();
        }
        Self { case, it, names }
    }

    fn input(&self, run: &Run) -> String {
        match &run.input {
            Value::String(text) => self.names.fill(text),
            json => self.names.fill(&json.to_string()),
        }
    }

    fn check_answer(&mut self, run: &Run, outcome: &str, answer: &str) {
        let case = format!("{}: {} {}\n{outcome}: {answer}", self.case.name, run.guest, run.input);
        assert_eq!(outcome, run.outcome, "{case}");
        if let Some(expected) = &run.lines {
            let found: Vec<_> = answer.lines().collect();
            assert_eq!(expected.len(), found.len(), "{case}");
            for (expected, found) in expected.iter().zip(found) {
                assert!(
                    self.names.is_line(expected, found),
                    "{case}\n{found:?} is not {expected:?}"
                );
            }
        }
        if let Some(expected) = &run.json {
            let found = serde_json::from_str(answer).expect(&case);
            assert!(self.names.is_json(expected, &found), "{case}\nis not {expected}");
        }
    }

    /// On our host.
    fn ours(&mut self, run: &Run) {
        let before = self.drafts().len();
        let mut command = self
            .it
            .ledger
            .command(["run", "--actor", "agent:test", "--home", "home"]);
        let grant = &self.case.grant;
        for (option, names) in [
            ("--read", &grant.read),
            ("--append", &grant.append),
            ("--kind", &grant.kinds),
        ] {
            command.args(names.iter().flat_map(|name| [option, name]));
        }
        if grant.supersede_others {
            command.arg("--supersede-others");
        }
        let ran = driver::run(command.arg(guest(&run.guest)).arg("--").arg(self.input(run)));
        let outcome = match ran.code {
            0 => "ok",
            _ if ran.err.starts_with("the agent failed") => "failed",
            _ if ran.err.starts_with("the agent was ended") => "trapped",
            _ => panic!("{}: {}", self.case.name, ran.err),
        };
        self.check_answer(run, outcome, ran.out.trim_end_matches('\n'));
        if let Some(expected) = &run.drafts {
            let found: Vec<Value> = self.drafts().split_off(before);
            let case = format!("{}: {} {}\n{found:?}", self.case.name, run.guest, run.input);
            assert!(
                self.names.is_json(&json!(expected), &json!(found)),
                "{case}\nis not {expected:?}"
            );
        }
    }

    /// What runs appended, oldest first.
    fn drafts(&self) -> Vec<Value> {
        let mut all = self.it.ledger.log(&[]);
        all.retain(|event| event["run"].is_string() && !event["kind"].as_str().unwrap().starts_with("quipu."));
        all
    }

    /// On the second host. False: it is not there.
    fn theirs(&mut self, run: &Run) -> bool {
        let Some(mut command) = node(
            "read.mjs",
            "the part of the conformance kit that reads, on the second host",
        ) else {
            return false;
        };
        command
            .arg(self.it.ledger.path())
            .arg(guest(&run.guest))
            .arg(self.input(run));
        command.args(["--home", "home"]);
        command.args(self.case.grant.read.iter().flat_map(|scope| ["--read", scope]));
        let said = Ran::from(command.output().unwrap());
        assert!(said.err.is_empty(), "{}: {}", self.case.name, said.err);
        let said = said.good().json();
        let (outcome, text) = (said["outcome"].as_str().unwrap(), said["text"].as_str().unwrap());
        self.check_answer(run, outcome, text);
        true
    }
}

#[test]
fn our_host_conforms() {
    for case in &manifest().cases {
        assert!(!case.says.is_empty() && !case.runs.is_empty(), "{}", case.name);
        let mut bench = Bench::new(case);
        for run in &case.runs {
            bench.ours(run);
        }
    }
}

#[test]
fn the_second_host_conforms_where_it_reads() {
    let manifest = manifest();
    let mut cases = manifest.cases.iter().filter(|case| case.reads).peekable();
    assert!(cases.peek().is_some());
    for case in cases {
        let mut bench = Bench::new(case);
        for run in &case.runs {
            // Whoever may only read asks for nothing else.
            assert!(run.drafts.as_ref().is_none_or(Vec::is_empty), "{}", case.name);
            assert!(case.room.is_empty() && !case.guard, "{}", case.name);
            if !bench.theirs(run) {
                return;
            }
        }
    }
}
