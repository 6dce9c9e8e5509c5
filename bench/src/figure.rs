//! What is reported: figures with unit and conditions, as a table and as JSON.

use serde::Serialize;
use serde_json::{Map, Value};

/// The median of several measurements, and the lowest and highest of them.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(measured: &[f64]) -> Self {
        let mut sorted = measured.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
        let half = sorted.len() / 2;
        let value = if sorted.len() % 2 == 1 {
            at(half)
        } else {
            (at(half.wrapping_sub(1)) + at(half)) / 2.0
        };
        Self {
            value,
            low: at(0),
            high: at(sorted.len().wrapping_sub(1)),
        }
    }
}

/// One measured quantity.
#[derive(Serialize)]
pub(crate) struct Figure {
    name: String,
    unit: &'static str,
    #[serde(flatten)]
    spread: Spread,
    conditions: Map<String, Value>,
}

impl Figure {
    /// `conditions` is a JSON object.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, measured: &[f64], conditions: &Value) -> Self {
        let mut conditions = conditions.as_object().cloned().unwrap_or_default();
        conditions.insert("measurements".into(), measured.len().into());
        Self {
            name: name.into(),
            unit,
            spread: Spread::of(measured),
            conditions,
        }
    }
}

/// All figures of one invocation, and the machine that they are of.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: Map<String, Value>,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(machine: Map<String, Value>) -> Self {
        Self {
            machine,
            figures: Vec::new(),
        }
    }

    pub(crate) fn print_machine(&self) {
        for (name, value) in &self.machine {
            println!("{:>14}  {}", name.replace('_', " "), plain(value));
        }
    }

    /// Keeps a group's figures and prints them, the conditions that all share once.
    pub(crate) fn add(&mut self, group: &str, figures: Vec<Figure>) {
        let is_shared =
            |(name, value): &(&String, &Value)| figures.iter().all(|f| f.conditions.get(*name) == Some(*value));
        let shared: Map<String, Value> = figures
            .first()
            .map(|figure| &figure.conditions)
            .into_iter()
            .flatten()
            .filter(is_shared)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        println!("\n{group}: {}", listed(shared.iter()));
        let width = figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
        for figure in &figures {
            println!(
                "  {:width$} {:>11} {:<12} {:>10} to {:<10} {}",
                figure.name,
                rounded(figure.spread.value),
                figure.unit,
                rounded(figure.spread.low),
                rounded(figure.spread.high),
                listed(figure.conditions.iter().filter(|(name, _)| !shared.contains_key(*name)))
            );
        }
        self.keep(group, figures);
    }

    /// Keeps a group's figures, which the group has printed itself.
    pub(crate) fn keep(&mut self, group: &str, figures: Vec<Figure>) {
        self.figures.extend(figures.into_iter().map(|f| Figure {
            name: format!("{group}/{}", f.name),
            ..f
        }));
    }
}

fn listed<'a>(conditions: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    let conditions = conditions.map(|(name, value)| format!("{} {}", name.replace('_', " "), plain(value)));
    conditions.collect::<Vec<_>>().join(", ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

/// Three significant digits, and all digits before the point.
pub(crate) fn rounded(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The value below which the given part (0 to 1) of the sorted values lies.
pub(crate) fn percentile(sorted: &[f64], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}
