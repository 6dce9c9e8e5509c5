//! Groups `recall` and `recall-many`: what search finds, how long it takes, and what the projection costs.

mod locomo;
pub(crate) mod restart;
mod talk;

use std::{fs, path::Path, time::Instant};

use quipu_log::{CreateOptions, Ledger, LedgerReader};
use quipu_projections::{Handle, Projections, Query, View};
use serde_json::{Value, json};

use crate::{
    Result,
    figure::{Figure, percentile},
    machine::{Watch, processor_seconds},
    settings::Settings,
};
use talk::Talk;

/// Questions asked in each measurement, after as many that are not counted.
const QUESTIONS: usize = 1_000;
/// Drafts of one append.
const BATCH: usize = 1_000;
/// Events that a projection is behind when the ledger is opened again.
const BEHIND: usize = 10_000;

/// 100,000 events in one scope, and the LoCoMo conversations where they are.
pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>> {
    let mut figures = locomo::measure(settings)?;
    figures.extend(growth(settings, 100_000, 1)?);
    Ok(figures)
}

/// 1,000,000 events in 10,000 scopes.
pub(crate) fn measure_many(settings: &Settings) -> Result<Vec<Figure>> {
    growth(settings, 1_000_000, 10_000)
}

/// Folds a ledger of so many events in so many scopes, and asks it.
fn growth(settings: &Settings, events: usize, scopes: usize) -> Result<Vec<Figure>> {
    let path = settings.folder.join("recall");
    let ledger = Ledger::create(&path, CreateOptions::new("bench.example/recall"))?;
    let mut talk = Talk::new(scopes);
    append(&ledger, &mut talk, events)?;

    let (mut fold, mut fold_cpu, mut bytes) = (vec![], vec![], vec![]);
    let (mut p50, mut p99, mut longest, mut search_cpu) = (vec![], vec![], vec![], vec![]);
    let repetitions = settings.repetitions.unwrap_or(3);
    let mut others: f64 = 0.0;
    for repetition in 1..=repetitions {
        eprintln!("recall: {repetition} of {repetitions}, {events} events in {scopes} scopes");
        let watch = Watch::start(&settings.folder);
        let reader = ledger.reader();
        let _ = fs::remove_dir_all(reader.projections_path());
        let projections = Projections::open(reader)?;
        let (begin, cpu) = (Instant::now(), processor_seconds());
        let reached = projections.catch_up(reader.head())?;
        fold.push(reached as f64 / begin.elapsed().as_secs_f64());
        fold_cpu.push((processor_seconds() - cpu) * 1e6 / reached as f64);
        bytes.push(size(&reader.projections_path())? as f64 / events as f64);

        ask(&projections, reader, &mut talk)?;
        let cpu = processor_seconds();
        let times = ask(&projections, reader, &mut talk)?;
        search_cpu.push((processor_seconds() - cpu) * 1e3 / QUESTIONS as f64);
        p50.push(percentile(&times, 0.5));
        p99.push(percentile(&times, 0.99));
        longest.extend(times.last().copied());
        others = others.max(watch.load().others_cores);
    }
    append(&ledger, &mut talk, BEHIND)?;
    ledger.close()?;
    let (kept, mut restart) = (settings.folder.join("kept"), vec![]);
    fs::rename(path.join("projections"), &kept)?;
    for _ in 0..repetitions {
        restart.push(restart::measure(&path, &kept, &talk.question()?)?);
    }
    fs::remove_dir_all(kept)?;
    fs::remove_dir_all(path)?;

    let conditions = json!({ "events": events, "scopes": scopes, "questions": QUESTIONS, "others_cores": others });
    let figure = |name: &str, unit, measured: &[f64]| {
        let name = if scopes == 1 {
            name.to_owned()
        } else {
            format!("many/{name}")
        };
        Figure::new(name, unit, measured, &conditions)
    };
    Ok(vec![
        figure("fold", "events/s", &fold),
        figure("fold/processor", "µs/event", &fold_cpu),
        figure("bytes", "bytes/event", &bytes),
        figure("search/p50", "ms", &p50),
        figure("search/p99", "ms", &p99),
        figure("search/longest", "ms", &longest),
        figure("search/processor", "ms, mean", &search_cpu),
        figure("restart", "ms", &restart),
    ])
}

fn append(ledger: &Ledger, talk: &mut Talk, events: usize) -> Result<()> {
    for written in (0..events).step_by(BATCH) {
        let drafts = (0..BATCH.min(events - written)).map(|_| talk.next());
        ledger.append_all_blocking(drafts.collect::<Result<_>>()?)?;
        if written % 100_000 == 0 {
            eprintln!("recall: {written} of {events} events are written");
        }
    }
    Ok(())
}

/// Asks questions one after the other, each of one scope, and returns how many milliseconds each took, sorted.
fn ask(projections: &Projections, reader: &LedgerReader, talk: &mut Talk) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(QUESTIONS);
    let mut found = 0;
    for _ in 0..QUESTIONS {
        let (scope, text) = talk.question()?;
        let view = View::Handles(vec![Handle {
            scope,
            head: reader.head(),
            run: None,
        }]);
        let mut query = Query::default();
        query.text = text;
        let begin = Instant::now();
        found += projections.search(&view, &query)?.hits.len();
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    if found < QUESTIONS {
        return Err(format!("{QUESTIONS} questions found {found} events").into());
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Bytes of the files in a folder.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for file in fs::read_dir(folder)? {
        bytes += file?.metadata()?.len();
    }
    Ok(bytes)
}

/// The conditions that figures of a measurement that is the same each time have.
fn conditions(of: &[(&str, Value)]) -> Value {
    of.iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}
