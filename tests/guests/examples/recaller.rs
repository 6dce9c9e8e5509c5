//! Recalls, over all its handles and over the first alone. Input: a JSON object with `search` (a text, empty if absent),
//! `say` (a text to append as a `memory.write` first) and `id` (an event to ask `why` and `impact` about). Report: the outcome of each call, named `search all`,
//! `search home`, `why all`, `why home`, `impact all`, `facts all`, `compose all`. Each has `ids` and `as_of`.

use quipu_guest::{
    Budget, Draft, Memory, Query, RunInfo, Trail,
    bindings::{recall, types::Error},
};
use quipu_test_guests::{Report, instructions};
use serde::Deserialize;
use serde_json::{Value, json};

quipu_guest::agent!(handle);

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Input {
    search: String,
    say: Option<String>,
    id: Option<String>,
}

fn handle(_run: RunInfo, memory: Memory, input: String) -> Result<String, String> {
    let input: Input = instructions(&input)?;
    let (all, home): (Vec<_>, _) = (memory.readers().collect(), [memory.home()]);
    if let Some(text) = &input.say {
        let said = Draft::new("memory.write").text(text.as_str()).append();
        said.map_err(|error| format!("{error:?}"))?;
    }
    let query = Query::new(input.search).limit(100);
    let query = query.as_raw();

    let mut report = Report::default();
    let search = |handles: &[_]| {
        let answer = recall::search(handles, query)?;
        let ids: Vec<_> = answer.hits.iter().map(|hit| &hit.event.id).collect();
        let scores: Vec<_> = answer.hits.iter().map(|hit| hit.score).collect();
        Ok::<Value, Error>(json!({"ids": ids, "scores": scores, "as_of": answer.as_of}))
    };
    report.add("search all", search(&all));
    report.add("search home", search(&home));
    if let Some(id) = &input.id {
        report.add("why all", recall::why(&all, id).map(trail));
        report.add("why home", recall::why(&home, id).map(trail));
        report.add("impact all", recall::impact(&all, id).map(trail));
    }
    report.add(
        "facts all",
        recall::facts(&all, query).map(|answer| {
            let facts: Vec<_> = answer
                .facts
                .iter()
                .map(|fact| json!({"text": fact.text, "ids": fact.evidence}))
                .collect();
            json!({"facts": facts, "as_of": answer.as_of})
        }),
    );
    report.add(
        "compose all",
        recall::compose(&all, query, Budget::Characters(2_000))
            .map(|context| json!({"text": context.text, "ids": context.events, "as_of": context.as_of})),
    );
    Ok(report.finish())
}

fn trail(trail: Trail) -> Value {
    let ids: Vec<_> = trail.events.iter().map(|event| &event.id).collect();
    let links: Vec<_> = trail
        .links
        .iter()
        .map(|link| json!([link.later, link.earlier]))
        .collect();
    json!({"ids": ids, "links": links, "complete": trail.complete, "as_of": trail.as_of})
}
