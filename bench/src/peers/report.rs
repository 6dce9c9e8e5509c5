//! What the rounds gave, as a table and as figures.

use serde_json::json;

use super::{Role, Row};
use crate::{
    closed_loop::Measured,
    figure::{Figure, Spread, rounded},
    payload::PAYLOAD_BYTES,
    settings::Settings,
};

type Part = fn(&Measured) -> f64;

const RATE: Part = |measured| measured.rate;
const P50: Part = |measured| measured.p50_us;
const P99: Part = |measured| measured.p99_us;
const FLUSHES: Part = |measured| measured.load.flushes.unwrap_or(f64::NAN);
const OTHERS: Part = |measured| measured.load.others_cores;

impl Row {
    fn of(&self, part: Part) -> Vec<f64> {
        self.rounds.iter().map(part).collect()
    }

    /// Its rate as a part of another's, round by round. NaN: there is no other.
    fn of_other(&self, other: Option<&Row>) -> Vec<f64> {
        let other = |round: usize| other.map_or(f64::NAN, |other: &Row| other.rounds[round].rate);
        self.rounds
            .iter()
            .enumerate()
            .map(|(round, ours)| ours.rate / other(round))
            .collect()
    }
}

/// The disk's limit.
fn limit(rows: &[Row]) -> Option<&Row> {
    rows.iter().find(|row| row.contestant.role == Role::Limit)
}

/// The peer that is fastest with so many writers, however it commits.
fn best_peer(rows: &[Row]) -> Option<&Row> {
    let peers = rows.iter().filter(|row| row.contestant.role == Role::Peer);
    peers.max_by(|a, b| f64::total_cmp(&Spread::of(&a.of(RATE)).value, &Spread::of(&b.of(RATE)).value))
}

pub(super) fn print(writers: usize, rows: &[Row]) {
    let (limit, best) = (limit(rows), best_peer(rows));
    let rounds = rows.first().map_or(0, |row| row.rounds.len());
    let others = rows.iter().flat_map(|row| row.of(OTHERS)).fold(0.0, f64::max);
    println!(
        "\npeers, {writers} writers: {PAYLOAD_BYTES}-byte payloads, medians of {rounds} rounds, others' cores at most {others}"
    );
    println!(
        "  {:<16} {:>11} {:>22}  {:>8} {:>9} {:>9} {:>9}  of best peer",
        "", "payloads/s", "lowest to highest", "of limit", "p50 µs", "p99 µs", "flushes/s"
    );
    for row in rows {
        let median = |part| shown(Spread::of(&row.of(part)).value);
        let rate = Spread::of(&row.of(RATE));
        let of_best = match row.contestant.role {
            Role::Quipu if best.is_some() => {
                let ratio = Spread::of(&row.of_other(best));
                let range = format!("{} to {}", rounded(ratio.low), rounded(ratio.high));
                format!("{} ({range})", rounded(ratio.value))
            }
            Role::Peer if best.is_some_and(|best| best.contestant.name == row.contestant.name) => "best peer".into(),
            _ => String::new(),
        };
        println!(
            "  {:<16} {:>11} {:>22}  {:>8} {:>9} {:>9} {:>9}  {of_best}",
            row.contestant.name,
            shown(rate.value),
            format!("{} to {}", shown(rate.low), shown(rate.high)),
            shown(Spread::of(&row.of_other(limit)).value),
            median(P50),
            median(P99),
            median(FLUSHES),
        );
    }
}

fn shown(value: f64) -> String {
    if value.is_nan() { "-".into() } else { rounded(value) }
}

pub(super) fn figures(writers: usize, rows: &[Row], settings: &Settings) -> Vec<Figure> {
    let (limit, best) = (limit(rows), best_peer(rows));
    let name_of_best = best.map(|best| best.contestant.name);
    let mut figures = Vec::new();
    for row in rows {
        let conditions = json!({
            "writers": writers,
            "payload_bytes": PAYLOAD_BYTES,
            "seconds_each": settings.length.as_secs(),
            "others_cores": row.of(OTHERS).into_iter().fold(0.0, f64::max),
        });
        let mut add = |what: &str, unit, measured: Vec<f64>, more: Option<&str>| {
            // What could not be seen is left out.
            if measured.iter().all(|value| value.is_finite()) {
                let mut conditions = conditions.clone();
                if let Some(best) = more {
                    conditions["best_peer"] = best.into();
                }
                let name = format!("{}/{writers}/{what}", row.contestant.name);
                figures.push(Figure::new(name, unit, &measured, &conditions));
            }
        };
        add("rate", "payloads/s", row.of(RATE), None);
        add("p50", "µs", row.of(P50), None);
        add("p99", "µs", row.of(P99), None);
        add("flushes", "flushes/s", row.of(FLUSHES), None);
        if row.contestant.role != Role::Limit {
            add("of-limit", "ratio", row.of_other(limit), None);
        }
        if row.contestant.role == Role::Quipu {
            add("of-best-peer", "ratio", row.of_other(best), name_of_best);
        }
    }
    figures
}
