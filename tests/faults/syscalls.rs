//! System calls fail: each call that durability rests on, one at a time, gives EIO or is where the process is killed.
//! strace does it to the shipped command. The sweep takes every 7th instance; all with QUIPU_ALL_SYSCALLS.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use quipu_log::{ErrorKind, Ledger as Log};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    driver::{Ran, has, quipu, run},
    machine::{memory, skip},
    work::{Acknowledged, assert_kept, draft, number},
    worker,
};

const UNTESTED: &str = "what failing system calls do";
const CALLS: &str = "write,pwrite64,fdatasync,fsync,rename,renameat,renameat2,openat,openat2,unlinkat,ftruncate,fallocate,mkdirat,fchmod,flock";
const FAULTS: [&str; 2] = ["error=EIO", "signal=SIGKILL"];

/// A piece of work, and the ledger that it begins with.
struct Step {
    name: &'static str,
    command: fn(&Place) -> Command,
    /// The number of its first draft; and of drafts that are there when it has succeeded.
    first: u64,
    after: u64,
}

const STEPS: [Step; 6] = [
    Step {
        name: "init",
        command: |place| place.quipu(&["init"]),
        first: 0,
        after: 0,
    },
    Step {
        name: "append",
        command: |place| place.append_jsonl(0..1),
        first: 0,
        after: 1,
    },
    Step {
        name: "a dozen appends",
        command: |place| place.append_jsonl(40..52),
        first: 40,
        after: 13,
    },
    Step {
        name: "import",
        command: |place| place.quipu(&["import", &place.import_file()]),
        first: 100,
        after: 18,
    },
    Step {
        name: "recovery",
        command: |place| {
            place.tear();
            place.append_jsonl(60..61)
        },
        first: 60,
        after: 19,
    },
    Step {
        name: "rotation",
        command: |place| worker::command(&place.ledger, 70..82, false),
        first: 70,
        after: 31,
    },
];

#[test]
fn every_failing_system_call_is_survived() {
    if !has("strace", UNTESTED) {
        return;
    }
    let place = Place::new();
    let every = if number("QUIPU_ALL_SYSCALLS").is_some() { 1 } else { 7 };
    let (mut tried, mut missed, mut instances) = (0, 0, 0);
    let mut calls = BTreeMap::<String, u64>::new();
    let begin = Instant::now();
    for step in &STEPS {
        place.keep();
        let all = match place.instances(step) {
            Ok(all) => all,
            Err(why) => return skip(&why, UNTESTED),
        };
        assert!(all.len() > 8, "{}: only {all:?}", step.name);
        for instance in &all {
            for fault in FAULTS {
                instances += 1;
                if instances % every != 0 {
                    continue;
                }
                place.restore();
                let hit = place.fail(step, instance, fault);
                tried += 1;
                missed += u64::from(!hit);
                *calls.entry(instance.call.clone()).or_default() += 1;
            }
        }
        place.restore();
        let ran = run(&mut (step.command)(&place));
        assert_eq!(ran.code, 0, "{}: {}", step.name, ran.err);
        assert_eq!(assert_kept(&place.ledger, &Acknowledged::new(), step.name), step.after);
    }
    println!(
        "{tried} of {instances} faults, {missed} met no such call, {:.0?}: {calls:?}",
        begin.elapsed()
    );
    assert!(missed * 10 < tried, "{missed} of {tried} faults met no call");
}

/// One call of the work: number `nth` of its thread that is about `path`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Instance {
    call: String,
    /// What strace is to look for: the name as it is given, or the file that the descriptor is of. None: anything.
    path: Option<String>,
    nth: usize,
}

/// A ledger in a fixed place, which is put back to what it was before each fault.
struct Place {
    folder: TempDir,
    ledger: PathBuf,
    kept: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir_in(memory()).unwrap();
        let (ledger, kept) = (folder.path().join("ledger"), folder.path().join("kept"));
        Self { folder, ledger, kept }
    }

    fn quipu(&self, args: &[&str]) -> Command {
        let mut command = quipu();
        command.arg("--ledger").arg(&self.ledger).args(args);
        command
    }

    fn append_jsonl(&self, ns: std::ops::Range<u64>) -> Command {
        let drafts = self.folder.path().join("drafts");
        fs::write(&drafts, ns.map(|n| draft(n) + "\n").collect::<String>()).unwrap();
        self.quipu(&[
            "append",
            "--actor",
            "tool:test",
            "--jsonl",
            &drafts.display().to_string(),
        ])
    }

    fn import_file(&self) -> String {
        let file = self.folder.path().join("events.jsonl");
        let line = |n: u64| json!({"scope": format!("new:{n}"), "kind": "message", "payload": {"n": n, "text": "x"}});
        fs::write(&file, (100..105).map(|n| format!("{}\n", line(n))).collect::<String>()).unwrap();
        file.display().to_string()
    }

    /// Leaves what a crash may leave.
    fn tear(&self) {
        let log = self.ledger.join("log");
        let segment = log.join("00000000000000000000.log");
        let mut bytes = fs::read(&segment).unwrap();
        let end = bytes.iter().rposition(|&byte| byte != b'\n').unwrap() + 2;
        bytes.truncate(end);
        bytes.extend_from_slice(b"{\"v\":1,\"s");
        fs::write(&segment, bytes).unwrap();
        fs::write(log.join("next"), "\n\n\n").unwrap();
    }

    fn keep(&self) {
        copy(&self.ledger, &self.kept);
    }

    fn restore(&self) {
        copy(&self.kept, &self.ledger);
    }

    /// All calls of a step that are about the ledger, or about what is acknowledged.
    fn instances(&self, step: &Step) -> Result<BTreeSet<Instance>, String> {
        let trace = self.folder.path().join("trace");
        let ran = self.strace(&(step.command)(self), &["-y", "-e", &format!("trace={CALLS}")], &trace);
        if ran.code != 0 {
            return Err(format!("strace may not trace here ({})", ran.err.trim()));
        }
        let mut counts = BTreeMap::new();
        let mut all = BTreeSet::new();
        for line in fs::read_to_string(trace).unwrap().lines() {
            let Some((thread, call)) = line.split_once(' ') else {
                continue;
            };
            let Some((call, args)) = call.trim_start().split_once('(') else {
                continue;
            };
            let Some(path) = self.about(call, args) else { continue };
            let nth = counts.entry((thread, call, path.clone())).or_insert(0);
            *nth += 1;
            all.insert(Instance {
                call: call.to_owned(),
                path,
                nth: *nth,
            });
        }
        // What the test program writes to its output is not the command's.
        all.retain(|instance| instance.path.is_some() || step.name != "rotation");
        Ok(all)
    }

    /// What a call with these arguments is about, if it matters.
    #[expect(clippy::option_option, reason = "the inner one: every file")]
    fn about(&self, call: &str, args: &str) -> Option<Option<String>> {
        let descriptor = args.split_once('<')?.1.split_once('>')?.0;
        let ours = |path: &str| Path::new(path).starts_with(&self.ledger);
        if call == "write" {
            return args.starts_with("1<").then_some(None);
        }
        let path = match args.split('"').nth(1).filter(|_| !call.starts_with("pwrite")) {
            Some(name) if ours(name) || ours(descriptor) => name,
            None if ours(descriptor) => descriptor,
            _ if call.starts_with("pwrite") && ours(descriptor) => descriptor,
            _ => return None,
        };
        Some(Some(path.to_owned()))
    }

    fn strace(&self, command: &Command, options: &[&str], trace: &Path) -> Ran {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o"]).arg(trace).args(options);
        strace
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => strace.env(name, value),
                None => strace.env_remove(name),
            };
        }
        run(&mut strace)
    }

    /// Runs a step with a fault, and then checks all. Returns whether the fault met its call.
    fn fail(&self, step: &Step, instance: &Instance, fault: &str) -> bool {
        let when = format!("{}: {instance:?} with {fault}", step.name);
        let trace = self.folder.path().join("trace");
        let inject = format!("inject={}:{fault}:when={}", instance.call, instance.nth);
        let only = format!("trace={}", instance.call);
        let mut options = vec!["-e", &only, "-e", &inject];
        if let Some(path) = &instance.path {
            options.extend(["-P", path]);
        }
        let ran = self.strace(&(step.command)(self), &options, &trace);
        let text = fs::read_to_string(trace).unwrap();
        let hit = text.contains("INJECTED") || text.contains("killed by SIGKILL");
        assert!(
            !ran.err.contains("panicked") && !ran.out.contains("panicked"),
            "{when}: {}{}",
            ran.out,
            ran.err
        );
        match ran.code {
            0 => {}
            2 => assert!(ran.err.contains("error: "), "{when}: {}", ran.err),
            -1 if fault.starts_with("signal") && hit => {}
            code => panic!("{when}: exit code {code}: {}", ran.err),
        }
        let receipts = ran.out.lines().filter(|line| line.starts_with("{\"seq\":"));
        // A line that a kill cut off acknowledges nothing.
        let receipts = receipts.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let acknowledged: Acknowledged = (step.first..).zip(receipts).collect();
        if step.name == "init" && ran.code != 0 {
            match Log::open_read_only(&self.ledger) {
                Err(error) if error.kind() == ErrorKind::NotFound => return hit,
                Err(error) => panic!("{when}: {error}"),
                Ok(_) => {}
            }
        }
        let held = assert_kept(&self.ledger, &acknowledged, &when);
        assert!(
            ran.code != 0 || held == step.after,
            "{when}: it succeeded, and {held} drafts are there"
        );
        hit
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    if !from.exists() {
        return;
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}
