//! Retrieval on the conversations of LoCoMo (Maharana et al., ACL 2024): which of the turns that a question's answer
//! rests on are among the first hits.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use quipu_format::{Actor, Scope};
use quipu_log::{
    CreateOptions, Ledger,
    import::{Format, Plan},
};
use quipu_projections::{Handle, Projections, Query, View};
use serde_json::Value;

use super::conditions;
use crate::{Result, figure::Figure, settings::Settings};

/// Hits that are looked at.
const HITS: usize = 20;
/// What the numbers of LoCoMo's categories stand for. The fifth, questions that cannot be answered, is left out.
const CATEGORIES: [(u64, &str); 4] = [(1, "multi-hop"), (2, "temporal"), (3, "open-domain"), (4, "single-hop")];

/// Sums over questions.
#[derive(Default)]
struct Sums {
    questions: f64,
    /// Parts of the evidence among the first 5, 10 and 20.
    recall: [f64; 3],
    /// One over the place of the first hit that is evidence.
    reciprocal: f64,
}

/// Asks all questions of all conversations, each conversation in a scope of its own. Nothing, where there is no data.
pub(super) fn measure(settings: &Settings) -> Result<Vec<Figure>> {
    let Some(files) = files()? else {
        eprintln!("recall: skipped, there is no folder data/locomo and QUIPU_DATA names none: LoCoMo");
        return Ok(Vec::new());
    };
    let path = settings.folder.join("locomo");
    let ledger = Ledger::create(&path, CreateOptions::new("bench.example/locomo"))?;
    let mut conversations = Vec::new();
    for file in files {
        let input = fs::read(file)?;
        let plan = Plan::read(Format::Locomo, &input, ledger.reader())
            .map_err(|errors| errors.first().map_or_else(String::new, ToString::to_string))?;
        plan.apply(&ledger, &Actor::new("tool:import")?, &mut |_, _| {})?;
        conversations.extend(serde_json::from_slice::<Vec<Value>>(&input)?);
    }
    let projections = Projections::open(ledger.reader())?;
    projections.catch_up(u64::MAX)?;

    let mut sums = BTreeMap::<&str, Sums>::new();
    for conversation in &conversations {
        ask(&projections, ledger.reader().head(), conversation, &mut sums)?;
    }
    ledger.close()?;
    fs::remove_dir_all(path)?;
    Ok(sums
        .iter()
        .flat_map(|(name, sums)| sums.figures(name, conversations.len()))
        .collect())
}

/// The conversations' files.
fn files() -> Result<Option<Vec<PathBuf>>> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = env::var_os("QUIPU_DATA")
        .map_or_else(beside, PathBuf::from)
        .join("locomo");
    if !folder.is_dir() {
        return Ok(None);
    }
    let files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = files.collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    Ok(Some(files))
}

/// Asks the questions of one conversation and adds how they fared, over all and by category.
fn ask(
    projections: &Projections,
    head: u64,
    conversation: &Value,
    sums: &mut BTreeMap<&'static str, Sums>,
) -> Result<()> {
    let sample = conversation["sample_id"].as_str().unwrap_or_default();
    let view = View::Handles(vec![Handle {
        scope: Scope::new(&format!("locomo:{sample}"))?,
        head,
        run: None,
    }]);
    let turns = turns(&conversation["conversation"]);
    for question in conversation["qa"].as_array().into_iter().flatten() {
        let category = CATEGORIES.iter().find(|(number, _)| question["category"] == *number);
        let evidence = evidence(&question["evidence"], &turns);
        let (Some((_, category)), false) = (category, evidence.is_empty()) else {
            continue;
        };
        let mut query = Query::default();
        query.text = question["question"].as_str().unwrap_or_default().to_owned();
        query.limit = HITS;
        let hits = projections.search(&view, &query)?.hits;
        let found: Vec<bool> = hits
            .iter()
            .map(|hit| {
                let source = hit.event.body().and_then(|body| body.source.as_ref());
                source
                    .and_then(|source| source.message_id.as_ref())
                    .is_some_and(|turn| evidence.contains(turn))
            })
            .collect();
        for name in ["all", category] {
            sums.entry(name).or_default().add(&found, evidence.len());
        }
    }
    Ok(())
}

fn turns(conversation: &Value) -> BTreeSet<String> {
    let sessions = conversation.as_object().into_iter().flatten();
    let turns = sessions.filter_map(|(_, turns)| turns.as_array()).flatten();
    turns
        .filter_map(|turn| Some(turn["dia_id"].as_str()?.to_owned()))
        .collect()
}

/// The turns that are named as evidence. Some lists are written as one text, and some ids are misspelt (`D:11:26`);
/// what names no turn after that is left out.
fn evidence(named: &Value, turns: &BTreeSet<String>) -> BTreeSet<String> {
    let named = named.as_array().into_iter().flatten().filter_map(Value::as_str);
    named
        .flat_map(|text| text.split([';', ',', ' ']))
        .map(|id| id.replace("D:", "D"))
        .filter(|id| turns.contains(id))
        .collect()
}

impl Sums {
    /// Adds a question with so many turns of evidence; `found` says of each hit whether it is one of them.
    fn add(&mut self, found: &[bool], evidence: usize) {
        self.questions += 1.0;
        for (sum, first) in self.recall.iter_mut().zip([5, 10, 20]) {
            *sum += found.iter().take(first).filter(|found| **found).count() as f64 / evidence as f64;
        }
        let place = found.iter().position(|found| *found);
        self.reciprocal += place.map_or(0.0, |place| 1.0 / (place + 1) as f64);
    }

    fn figures(&self, name: &str, conversations: usize) -> Vec<Figure> {
        let conditions = conditions(&[
            ("conversations", conversations.into()),
            ("questions", (self.questions as u64).into()),
        ]);
        let names = ["R@5", "R@10", "R@20", "MRR"];
        let sums = self.recall.iter().chain([&self.reciprocal]);
        names
            .iter()
            .zip(sums)
            .map(|(figure, sum)| {
                Figure::new(
                    format!("locomo/{name}/{figure}"),
                    "",
                    &[sum / self.questions],
                    &conditions,
                )
            })
            .collect()
    }
}
