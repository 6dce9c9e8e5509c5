//! Guests that want more room than an operator allows their scope.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use quipu_format::{QuotaChange, Scope, ScopePattern, Signer, VerifierKey};
use quipu_host::{Outcome, RunReport};
use quipu_log::SignedAct;
use serde_json::{Value, json};

use crate::{driver::guest, house::House};

/// Entries that their scope has room for, those of their runs among them.
const ROOM: u32 = 40;

fn kim() -> Signer {
    Signer::new("operator:kim", [9; 32]).unwrap()
}

/// Who may set quotas over the house's ledger.
pub(crate) fn operator() -> VerifierKey {
    kim().verifier_key()
}

fn act(house: &House, change: &Value) {
    let reader = house.ledger.reader();
    let head = reader.refresh().unwrap();
    let act = SignedAct::sign(reader.origin(), head, QuotaChange::MEMBER, change, &kim()).unwrap();
    house.ledger.act_blocking(vec![act]).unwrap();
}

fn held(house: &House) -> u32 {
    house.ledger.reader().refresh().unwrap();
    let home = Scope::new("home").unwrap();
    house.ledger.reader().scope(&home).unwrap().count
}

/// As long as `what` goes on, there is room for so many entries more. Returns how many there may be.
fn bounded(house: &mut House, what: impl FnOnce(&mut House, u32)) {
    let most = held(house) + ROOM;
    act(house, &json!({"set": {"of": "home", "entries": most}}));
    // Whatever becomes of this one, the next attack has room.
    let outcome = catch_unwind(AssertUnwindSafe(|| what(house, most)));
    act(house, &json!({"remove": "home"}));
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

fn run(house: &mut House, name: &str, input: &str) -> RunReport {
    let agent = house.load(&fs::read(guest(name)).unwrap()).unwrap();
    house.run(&agent, input)
}

fn answer(report: &RunReport) -> Value {
    match &report.outcome {
        Outcome::Ok(text) => serde_json::from_str(text).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn a_flood_across_runs(house: &mut House) {
    bounded(house, |house, most| {
        let mut appended = 0;
        for nth in 0..4 {
            let report = run(house, "flooder", "");
            let told = answer(&report);
            assert_eq!(told["refused"], "quota", "{told}");
            assert!(told["message"].as_str().unwrap().contains("home has no room"), "{told}");
            // What the host wrote of the first run is all that came besides.
            assert!(nth == 0 || report.appended.is_empty(), "{told}");
            appended += report.appended.len();
        }
        assert_eq!(appended, ROOM as usize - 1, "all but the first run's beginning");
        // Of each later run its beginning, what it was told, and its end.
        assert!(held(house) <= most + 3 * 4, "{} where {most} are allowed", held(house));
    });
}

pub(crate) fn a_batch_that_fits_in_part(house: &mut House) {
    bounded(house, |house, most| {
        let batch = json!({"appends": ROOM, "batch": ROOM}).to_string();
        let report = run(house, "writer", &batch);
        assert!(matches!(report.outcome, Outcome::Failed(_)), "{:?}", report.outcome);
        assert!(report.appended.is_empty());
        assert!(held(house) < most, "there is room, and it was not used");
        let less = json!({"appends": ROOM / 2, "batch": ROOM / 2}).to_string();
        assert_eq!(run(house, "writer", &less).appended.len(), ROOM as usize / 2);
    });
}

pub(crate) fn a_quota_of_its_own(house: &mut House) {
    bounded(house, |house, most| {
        let raised = json!({"set": {"of": "home", "entries": u32::MAX}}).to_string();
        let draft = json!({"kind": "quipu.quota", "payload": raised});
        let report = run(
            house,
            "caller",
            &json!([{"append": draft}, {"append-all": [draft]}]).to_string(),
        );
        let Outcome::Ok(told) = &report.outcome else {
            panic!("{:?}", report.outcome)
        };
        assert!(
            told.lines().all(|line| line == "e denied") && told.lines().count() == 2,
            "{told}"
        );
        let governance = house.ledger.reader().governance().unwrap();
        let pattern: ScopePattern = "home".parse().unwrap();
        let quotas: Vec<_> = governance
            .quotas()
            .map(|state| (&state.quota.of, state.quota.entries))
            .collect();
        assert_eq!(quotas, [(&pattern, Some(most))]);
    });
}
