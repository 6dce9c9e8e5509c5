//! Recorded runs that are executed again.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use quipu_format::RunId;
use quipu_host::{
    AgentComponent, Differs, Identical, NoReplayKind, Outcome, Replay, Replayer, Runtime, SecretsPolicy, Verdict,
};
use serde_json::json;

use crate::guests::{House, actor, answer, grant, guest, kinds, limits, scope};

impl House {
    async fn replay(&self, run: RunId) -> Replay {
        self.replay_with(run, None).await
    }

    /// With another component in place of the recorded one.
    async fn replay_with(&self, run: RunId, component: Option<&AgentComponent>) -> Replay {
        let before = files(&self.path());
        let replayer = Replayer::new(self.ledger.reader().clone()).unwrap();
        let recorded = replayer.find(run).unwrap().unwrap();
        let replay = replayer.replay(&recorded, component).await.unwrap();
        assert_eq!(files(&self.path()), before, "a replay changes nothing");
        replay
    }

    async fn is_identical(&self, run: RunId) {
        let replay = self.replay(run).await;
        assert_eq!(replay.verdict, Verdict::Identical(Identical::ToItsEnd), "{replay:?}");
    }
}

/// All files of a ledger but its checkpoint, which an idle writer signs, and what is derived by those who ask.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() && !path.ends_with("tree") {
            all.extend(files(&path));
        } else if kind.is_file() && !path.ends_with("checkpoint") {
            all.insert(path.clone(), fs::read(path).unwrap_or_default());
        }
    }
    all
}

#[tokio::test]
async fn runs_of_all_sorts_are_the_same_again() {
    let house = House::new();
    let first = house.seed_statement(
        "home",
        "user:ann",
        r#"{"text":"Ann likes tea","tags":["taste","tea"],"confidence":0.7}"#,
    );
    house.seed_statement("other", "user:bob", r#"{"text":"Bob likes coffee","ttlDays":30}"#);
    let mut wide = grant();
    wide.read.push(scope("other"));
    for (name, input) in [
        ("echo", "remember this".to_owned()),
        ("reader", r#"{"page":3}"#.to_owned()),
        ("writer", r#"{"appends":7,"batch":3}"#.to_owned()),
        ("writer", r#"{"appends":3,"key":"once-"}"#.to_owned()),
        ("writer", r#"{"appends":3,"key":"once-"}"#.to_owned()),
        (
            "recaller",
            json!({"search": "who likes tea", "say": "Bob likes tea too", "id": first.id}).to_string(),
        ),
        ("recaller", "{}".to_owned()),
        ("liar", String::new()),
        ("forger", String::new()),
        ("prover", first.id.to_string()),
        ("smuggler", String::new()),
        ("flooder", String::new()),
        ("trapper", "panic".to_owned()),
        ("trapper", "overflow".to_owned()),
        ("trapper", "error".to_owned()),
        ("observer", "tea".to_owned()),
        ("hog", String::new()),
        ("hoarder", "leak".to_owned()),
        ("big", String::new()),
    ] {
        let report = house.run(name, &wide, &input).await;
        let replay = house.replay(report.run).await;
        assert_eq!(
            replay.verdict,
            Verdict::Identical(Identical::ToItsEnd),
            "{name} {input}: {replay:?}"
        );
        assert_eq!(
            (replay.calls, replay.appends),
            (report.calls, report.appended.len() as u64),
            "{name}"
        );
    }
}
