//! Counts decisions per week: `quipu project add decisions decisions.wasm`, then `quipu project query decisions`.
//!
//! A decision is an event of kind `decision`, or one below it: `decision.made`. It counts in the ISO week in which the
//! ledger took it. A query is a week, `2026-W08`, or empty for all of them, one a line.

use std::collections::BTreeMap;

use quipu_guest_projection::{Event, Projection};
use time::{Date, macros::format_description};

quipu_guest_projection::projection!(Decisions);

/// How many decisions each week has.
#[derive(Default, Clone)]
struct Decisions(BTreeMap<String, u64>);

impl Projection for Decisions {
    fn apply(&mut self, events: &[Event]) -> Result<(), String> {
        for event in events {
            if event.kind == "decision" || event.kind.starts_with("decision.") {
                *self.0.entry(week(&event.ts)?).or_default() += 1;
            }
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    fn restore(snapshot: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(snapshot)
            .map(Self)
            .map_err(|error| error.to_string())
    }

    fn query(&self, input: &str) -> Result<String, String> {
        match input.trim() {
            "" => Ok(self.0.iter().map(|(week, count)| format!("{week} {count}\n")).collect()),
            week if week.len() == 8 && week.contains("-W") => Ok(self.0.get(week).unwrap_or(&0).to_string()),
            other => Err(format!("{other:?} is no week such as 2026-W08")),
        }
    }
}

/// The ISO week of a timestamp: `2026-W08`.
fn week(ts: &str) -> Result<String, String> {
    let day = ts.get(..10).unwrap_or(ts);
    let date = Date::parse(day, format_description!("[year]-[month]-[day]")).map_err(|e| format!("{ts}: {e}"))?;
    let (year, week, _) = date.to_iso_week_date();
    Ok(format!("{year:04}-W{week:02}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn weeks_are_those_of_iso_8601() {
        let week = |ts| super::week(ts).unwrap();
        assert_eq!(week("2026-02-20T02:11:43.123Z"), "2026-W08");
        assert_eq!(week("2027-01-01T00:00:00.000Z"), "2026-W53");
        assert!(super::week("tomorrow").is_err());
    }
}
