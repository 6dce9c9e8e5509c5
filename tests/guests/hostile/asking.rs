//! Asks for too much, for what makes no sense, and in words that mean something to whatever looks for the answer.

use quipu_guest::{Budget, Memory, Query, Reader, RunInfo, bindings::recall};
use quipu_test_guests::{Report, Target};
use serde_json::json;

quipu_guest::agent!(handle);

fn handle(_run: RunInfo, memory: Memory, input: String) -> Result<String, String> {
    let target = Target::of(&input)?;
    let mut report = Report::default();
    let (home, all): (&Reader, Vec<&Reader>) = (memory.home(), memory.readers().collect());
    let mut search = |handles: &[&Reader], query: Query| {
        let answer = recall::search(handles, query.as_raw()).map(|answer| json!(answer.hits.len()));
        report.add("search", answer);
        report.add(
            "facts",
            recall::facts(handles, query.as_raw()).map(|answer| json!(answer.facts.len())),
        );
        let context = recall::compose(handles, query.as_raw(), Budget::Characters(500));
        report.add("compose", context.map(|context| json!(context.text.chars().count())));
    };
    match target.attack.as_str() {
        "pages_of_nothing" => {
            report.add("read", home.read(None, 0));
            report.add("read-back", home.read_back(None, 0));
        }
        "pages_without_end" => {
            for limit in [1_001, 65_536, u32::MAX] {
                for page in [home.read(None, limit), home.read_back(None, limit)] {
                    assert!(page.as_ref().is_ok_and(|page| page.events.len() <= 1_000));
                    report.add("page", page);
                }
            }
        }
        "cursors_past_the_end" => {
            for seq in [home.head(), home.head() + 1, 1 << 53, i64::MAX as u64, u64::MAX] {
                let page = home.read(Some(seq), 10);
                assert!(
                    page.as_ref()
                        .is_ok_and(|page| page.events.is_empty() && page.next.is_none()),
                    "at {seq}"
                );
                report.add("read", page);
                report.add("read-back", home.read_back(Some(seq), 10));
            }
            let page = home.read_back(Some(0), 10);
            assert!(
                page.as_ref()
                    .is_ok_and(|page| page.events.is_empty() && page.next.is_none())
            );
            report.add("read-back", page);
        }
        "cursors_that_go_round" => {
            // Each page begins where the one before it says, and there is an end.
            let (mut next, mut pages, mut last) = (None, 0, 0);
            loop {
                let page = home.read(next, 1).map_err(|e| e.message)?;
                pages += 1;
                assert!(pages < 100_000, "it goes round");
                let Some(at) = page.next else { break };
                assert!(at > last || last == 0, "it goes back");
                (next, last) = (Some(at), at);
            }
            report.add("read", Ok(json!(pages)));
        }
        "ids_to_get_of_no_form" => {
            let long = "e".repeat(1 << 20);
            for id in [
                "",
                "evt_",
                "evt_01j00000000000000000000000",
                "evt_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
                "../../keys",
                "\0",
                &long,
            ] {
                report.add("get", home.get(id));
                report.add("prove", home.prove(id));
                report.add("why", recall::why(&all, id).map(|trail| json!(trail.events.len())));
                report.add(
                    "impact",
                    recall::impact(&all, id).map(|trail| json!(trail.events.len())),
                );
            }
        }
        "recall_without_handles" => {
            search(&[], Query::new("x"));
            report.add(
                "why",
                recall::why(&[], &target.others).map(|trail| json!(trail.events.len())),
            );
        }
        "recall_of_nothing" => {
            search(&all, Query::new("x").limit(0));
            for budget in [Budget::Characters(0), Budget::Tokens(0)] {
                let context = recall::compose(&all, Query::new("x").as_raw(), budget);
                report.add("compose", context.map(|context| json!(context.text)));
            }
        }
        "recall_of_everything" => {
            search(&all, Query::new("").limit(u32::MAX));
            for budget in [Budget::Characters(u32::MAX), Budget::Tokens(u32::MAX)] {
                let context = recall::compose(&all, Query::new("").limit(u32::MAX).as_raw(), budget);
                report.add("compose", context.map(|context| json!(context.events.len())));
            }
        }
        "questions_past_their_limit" => {
            search(&all, Query::new("x ".repeat(1 << 19)));
            search(&all, Query::new("x".repeat(4_097)));
            search(&all, Query::new("x").tags((0..10_000).map(|n| n.to_string())));
            search(&all, Query::new("x").kinds(vec!["memo"; 257]));
            search(&all, Query::new("x").actors(["a".repeat(4_097)]));
        }
        "questions_in_sql" => {
            for text in [
                "'; DROP TABLE entry; --",
                "\" OR 1=1 --",
                "x' UNION SELECT * FROM entry --",
                "%",
                "_",
                "?1",
                ":seq",
                "\0",
            ] {
                search(&all, Query::new(text));
                search(&all, Query::new("x").kinds([text]).tags([text]).actors([text]));
            }
        }
        "questions_in_the_index_s_own_language" => {
            for text in [
                "\"",
                "a OR b*",
                "NEAR(a b, 999999999)",
                "payload:x",
                "^x",
                "-x",
                "a AND",
                "(((",
                "*",
                "{a b}:c",
            ] {
                search(&all, Query::new(text));
            }
        }
        "regular_expressions_that_explode" => {
            for text in ["(a+)+$", "(a|aa)+$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)*(.*)*(.*)*x"] {
                search(&all, Query::new(format!("{text} {}!", "a".repeat(3_000))));
            }
        }
        "questions_of_marks_alone" => {
            for text in [
                "\u{300}".repeat(2_000),
                "\u{200b}".repeat(1_300),
                "🪢".repeat(1_000),
                "\u{fdfa}".repeat(1_300),
                ".".repeat(4_096),
            ] {
                search(&all, Query::new(text));
            }
        }
        "times_of_no_form" => {
            for at in [
                "yesterday",
                "",
                "2026-02-30T00:00:00.000Z",
                "2026-02-20T02:11:43Z",
                "9".repeat(4_000).as_str(),
                "\0",
            ] {
                search(&all, Query::new("x").since(at));
                search(&all, Query::new("x").until(at));
            }
        }
        "times_the_wrong_way_round" => search(
            &all,
            Query::new("")
                .since("2030-01-01T00:00:00.000Z")
                .until("2020-01-01T00:00:00.000Z"),
        ),
        "refreshing_without_end" => {
            for _ in 0..2_000 {
                home.refresh().map_err(|e| e.message)?;
            }
            report.add("refresh", home.refresh());
        }
        "proofs_without_end" => {
            for _ in 0..200 {
                home.prove(&target.others).map_err(|e| e.message)?;
            }
            report.add("prove", home.prove(&target.others));
        }
        _ => return target.unknown(),
    }
    Ok(report.finish())
}
