//! Tries to see what it was not handed.

use quipu_guest::{Budget, Memory, Query, Reader, RunInfo, bindings::recall};
use quipu_test_guests::{Report, Target};
use serde_json::json;

quipu_guest::agent!(handle);

const TEXT: &str = "canary scope granted";

fn handle(_run: RunInfo, memory: Memory, input: String) -> Result<String, String> {
    let target = Target::of(&input)?;
    let mut report = Report::default();
    let all: Vec<&Reader> = memory.readers().collect();
    let home = memory.home();
    match target.attack.as_str() {
        "getting_what_is_hidden" => {
            for reader in &all {
                report.add("get", reader.get(&target.hidden));
                report.add("prove", reader.prove(&target.hidden));
            }
        }
        "getting_across_handles" => {
            // It is in the home scope, whose handle this is not.
            report.add("get", all[1].get(&target.others));
            report.add("prove", all[1].prove(&target.others));
        }
        "asking_why_of_what_is_hidden" => {
            report.add(
                "why",
                recall::why(&all, &target.hidden).map(|trail| json!(trail.events.len())),
            );
            report.add(
                "impact",
                recall::impact(&all, &target.hidden).map(|trail| json!(trail.events.len())),
            );
            let one = [all[1]];
            report.add(
                "why",
                recall::why(&one, &target.others).map(|trail| json!(trail.events.len())),
            );
        }
        "reading_around_what_is_hidden" => {
            for reader in &all {
                for seq in [target.hidden_seq, target.hidden_seq + 1, 0, u64::MAX] {
                    for page in [
                        reader.read(Some(seq), 1),
                        reader.read_back(Some(seq), 1),
                        reader.read(Some(seq), 1_000),
                    ] {
                        let strange = page.map(|page| {
                            let strange = |event: &&quipu_guest::Event| {
                                event.scope != reader.scope() || event.kind.starts_with("quipu.")
                            };
                            assert!(page.events.iter().find(strange).is_none(), "an event of another scope");
                            // Were it seen, it would be told.
                            let seen = page.events.iter().filter_map(|event| event.payload.as_ref());
                            json!(seen.filter(|payload| payload.contains("canary")).collect::<Vec<_>>())
                        });
                        report.add("read", strange);
                    }
                }
            }
        }
        "recalling_what_is_hidden" => {
            let query = Query::new(TEXT).limit(1_000);
            let hits = recall::search(&all, query.as_raw()).map(|answer| {
                let scopes: Vec<_> = answer.hits.iter().map(|hit| hit.event.scope.clone()).collect();
                assert!(
                    scopes.iter().all(|scope| scope == "home" || scope == "read"),
                    "{scopes:?}"
                );
                json!(answer.hits.iter().map(|hit| &hit.event.payload).collect::<Vec<_>>())
            });
            report.add("search", hits);
            let facts = recall::facts(&all, query.as_raw());
            report.add(
                "facts",
                facts.map(|answer| json!(answer.facts.iter().map(|fact| &fact.text).collect::<Vec<_>>())),
            );
            let context = recall::compose(&all, query.as_raw(), Budget::Characters(100_000));
            report.add("compose", context.map(|context| json!(context.text)));
        }
        "asking_as_of_the_future" => {
            let query = Query::new(TEXT).as_of(u64::MAX).limit(1_000);
            let answer = recall::search(&all, query.as_raw()).map(|answer| {
                let highest = all.iter().map(|reader| reader.head()).max().unwrap_or_default();
                assert!(answer.as_of <= highest, "{} is past {highest}", answer.as_of);
                json!(answer.as_of)
            });
            report.add("search", answer);
        }
        "refreshing_to_see_more" => {
            for reader in &all {
                report.add("refresh", reader.refresh());
                let hidden = reader
                    .get(&target.hidden)
                    .err()
                    .map(|error| format!("{:?}", error.kind));
                report.add("get", Ok(json!(hidden)));
                assert!(hidden.is_some(), "it sees what is hidden");
                let scopes = reader
                    .events()
                    .filter_map(Result::ok)
                    .all(|event| event.scope == reader.scope());
                assert!(scopes, "it sees another scope");
            }
        }
        "one_handle_many_times" => {
            for times in [2, 50, 5_000] {
                let many = vec![home; times];
                let answer = recall::search(&many, Query::new("door").as_raw()).map(|answer| json!(answer.hits.len()));
                report.add("search", answer);
            }
        }
        _ => return target.unknown(),
    }
    Ok(report.finish())
}
