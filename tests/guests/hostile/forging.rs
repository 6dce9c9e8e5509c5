//! Tries to say what is not its to say: stamps, kinds, scopes and links that are the host's or others'.

use quipu_guest::{
    Memory, RunInfo,
    bindings::{append::append, types::Draft},
};
use quipu_test_guests::{Report, Target, draft};
use serde_json::json;

quipu_guest::agent!(handle);

const UNKNOWN: &str = "evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ";

fn handle(run: RunInfo, memory: Memory, input: String) -> Result<String, String> {
    let target = Target::of(&input)?;
    let mut report = Report::default();
    let mut try_it = |name: &str, change: &dyn Fn(&mut Draft)| {
        let mut draft = draft(r#"{"text":"forged"}"#);
        change(&mut draft);
        report.add(name, append(&draft));
    };
    match target.attack.as_str() {
        "stamps_in_the_payload" => try_it("stamps", &|draft| {
            draft.payload = json!({"v": 1, "seq": 0, "id": "evt_00000000000000000000000000", "ts": "1999-12-31T23:59:59.999Z",
                "actor": "operator:root", "run": run.id, "kind": "quipu.genesis", "scope": "hidden", "nth": 0, "prev": "",
                "body": "", "key": "", "sys": {"erase": {}}})
            .to_string();
        }),
        "stamps_in_the_source" => try_it("stamps", &|draft| {
            let extra = json!({"original": {"id": target.others, "ts": "1999-12-31T23:59:59.999Z", "actor": "operator:root"},
                "actor": "operator:root", "sys": {}});
            draft.source = Some(quipu_guest::Source::new("import").with_extra(&extra).unwrap());
        }),
        "source_that_says_its_fields_twice" => {
            for field in ["channel", "conversationId", "messageId"] {
                try_it(field, &|draft| {
                    draft.source = Some(quipu_guest::Source::new("a").with_extra(&json!({field: "b"})).unwrap());
                });
            }
        }
        "kinds_of_the_host" => {
            for kind in [
                "quipu.run",
                "quipu.run.end",
                "quipu.erase",
                "quipu.genesis",
                "quipu.clock",
                "quipu.",
                "quipu.x",
            ] {
                try_it(kind, &|draft| draft.kind = kind.into());
            }
        }
        "kinds_of_the_host_in_disguise" => {
            let kinds = [
                "QUIPU.run",
                " quipu.run",
                "quipu.run ",
                "quipu.run\n",
                "memory.write\0",
                "quipu\u{2024}run",
                "ｑuipu.run",
                "quipu",
                "memory.write\u{200b}",
                "\u{202e}nur.upiuq",
            ];
            for kind in kinds {
                try_it(&format!("{kind:?}"), &|draft| draft.kind = kind.into());
            }
        }
        "scope_of_the_ledger" => {
            for scope in ["quipu:ledger", "quipu:other", "QUIPU:LEDGER", "quipu:ledger\0"] {
                try_it(&format!("{scope:?}"), &|draft| draft.scope = Some(scope.into()));
            }
        }
        "scopes_that_are_not_granted" => {
            // The second may be read, and the last ones look like one that is granted.
            for scope in [
                "hidden", "read", "nowhere", "", ".", "../home", "home/", "Home", "home\0", "hοme", "more\n",
            ] {
                try_it(&format!("{scope:?}"), &|draft| draft.scope = Some(scope.into()));
            }
        }
        "evidence_that_is_not_granted" => {
            for id in [target.hidden.as_str(), UNKNOWN] {
                try_it(id, &|draft| draft.evidence = vec![id.into()]);
                try_it(id, &|draft| draft.evidence = vec![target.others.clone(), id.into()]);
                try_it(id, &|draft| draft.supersedes = vec![id.into()]);
            }
        }
        "superseding_others" => {
            try_it("others", &|draft| draft.supersedes = vec![target.others.clone()]);
            try_it("retracted", &|draft| {
                (draft.kind, draft.supersedes) = ("memory.retract".into(), vec![target.others.clone()]);
            });
        }
        "superseding_everything" => {
            for reader in memory.readers() {
                for event in reader.events().filter_map(Result::ok).take(200) {
                    let name = if event.actor == run.actor && event.scope == "home" {
                        "allowed: own"
                    } else {
                        "others"
                    };
                    try_it(name, &|draft| draft.supersedes = vec![event.id.clone()]);
                }
            }
        }
        "evidence_of_what_the_host_wrote" => {
            // Its own run's first entry is in its home scope, one position after what it may see.
            let ids = near(&target.others, 40).chain(near(&target.hidden, 40));
            for id in ids.filter(|id| memory.readers().all(|reader| reader.get(id).is_err())) {
                try_it(&id, &|draft| draft.evidence = vec![id.clone()]);
            }
        }
        "evidence_on_itself" => {
            let receipt = append(&draft(r#"{"text":"first"}"#)).map_err(|e| e.message)?;
            // The next id, if the clock stands still, is one more.
            for id in near(&receipt.id, 3).filter(|id| *id > receipt.id) {
                try_it(&id, &|draft| draft.evidence = vec![id.clone()]);
            }
        }
        "evidence_in_a_circle" => {
            // Each of a batch names the other; neither is there yet.
            let receipt = append(&draft(r#"{"text":"first"}"#)).map_err(|e| e.message)?;
            let ids: Vec<_> = near(&receipt.id, 2).filter(|id| *id > receipt.id).collect();
            let batch: Vec<_> = ids
                .iter()
                .rev()
                .map(|id| Draft {
                    evidence: vec![id.clone()],
                    ..draft("{}")
                })
                .collect();
            report.add("a circle", quipu_guest::bindings::append::append_all(&batch));
        }
        "more_links_than_fit" => {
            for ids in [257, 10_000] {
                try_it("evidence", &|draft| draft.evidence = vec![target.others.clone(); ids]);
                try_it("supersedes", &|draft| {
                    draft.supersedes = vec![target.others.clone(); ids]
                });
            }
        }
        "ids_of_no_form" => {
            let long = "e".repeat(1 << 20);
            let ids = [
                "",
                "evt_",
                "evt_01j00000000000000000000000",
                "evt_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
                "../../keys",
                "evt_01J0000000000000000000000\0",
                "evt_01J000000000000000000000O0",
                "\u{202e}",
                &long,
            ];
            for id in ids {
                try_it("evidence", &|draft| draft.evidence = vec![id.into()]);
                try_it("supersedes", &|draft| draft.supersedes = vec![id.into()]);
            }
        }
        _ => return target.unknown(),
    }
    Ok(report.finish())
}

/// The ids next to one, upwards first, then downwards: an id is counted up while the clock stands still.
fn near(id: &str, most: u128) -> impl Iterator<Item = String> {
    const ALPHABET: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let digit = |c| ALPHABET.iter().position(|&known| known == c).unwrap_or_default() as u128;
    let number = id
        .bytes()
        .skip("evt_".len())
        .fold(0, |number, c| number << 5 | digit(c));
    let numbers = (1..=most)
        .map(move |by| number + by)
        .chain((1..=most).map(move |by| number - by));
    numbers.map(|number| {
        let digits = (0..26)
            .rev()
            .map(|at| char::from(ALPHABET[(number >> (5 * at)) as usize % 32]));
        format!("evt_{}", digits.collect::<String>())
    })
}
