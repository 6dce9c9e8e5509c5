//! Conversations of the LoCoMo benchmark come in turn by turn.

mod driver;

use std::fs;

use driver::{Ledger, beside};
use serde_json::{Value, json};

/// A turn of a LoCoMo file, made from the event.
fn turn(event: &Value) -> Value {
    let mut turn = event["payload"].clone();
    turn["dia_id"] = event["source"]["messageId"].clone();
    turn["speaker"] = event["source"]["speaker"].clone();
    turn
}

/// `2023-05-08T13:56:00Z` as the files write it.
fn session_date(ts: &str) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let number = |range: std::ops::Range<usize>| ts[range].parse::<usize>().unwrap();
    let (hour, half) = (number(11..13), if number(11..13) < 12 { "am" } else { "pm" });
    let hour = if hour % 12 == 0 { 12 } else { hour % 12 };
    format!(
        "{hour}:{} {half} on {} {}, {}",
        &ts[14..16],
        number(8..10),
        MONTHS[number(5..7) - 1],
        &ts[..4]
    )
}

#[test]
fn every_locomo_conversation_is_read_back_equal() {
    let Some(data) = beside("QUIPU_DATA", "data", "the import of LoCoMo conversations") else {
        return;
    };
    let folder = if data.join("locomo").is_dir() {
        data.join("locomo")
    } else {
        data
    };
    let ledger = Ledger::new();
    let ran = ledger.import(&folder, &["--format", "locomo"]).good();
    let mut turns = 0;
    for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let conversations: Vec<Value> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for conversation in conversations {
            let sample = conversation["sample_id"].as_str().unwrap();
            let mut events = ledger.log(&["--scope", &format!("locomo:{sample}")]).into_iter();
            let sessions = &conversation["conversation"];
            for number in 1.. {
                let (turns_of, date) = (format!("session_{number}"), format!("session_{number}_date_time"));
                let Some(date) = sessions.get(&date) else { break };
                for wanted in sessions.get(&turns_of).and_then(Value::as_array).into_iter().flatten() {
                    let event = events.next().unwrap();
                    assert_eq!(turn(&event), *wanted);
                    let (kind, source) = (&event["kind"], &event["source"]);
                    assert_eq!((kind, &source["session"]), (&json!("message"), &json!(number)));
                    assert_eq!(
                        (&source["channel"], &source["conversationId"]),
                        (&json!("locomo"), &json!(sample))
                    );
                    assert_eq!(session_date(source["original"]["ts"].as_str().unwrap()), *date);
                    turns += 1;
                }
            }
            assert_eq!(events.next(), None, "{sample} has events that its file does not hold");
        }
    }
    assert!(turns >= 2_760, "{turns} turns");
    assert!(
        ran.out.starts_with(&format!("imported {turns} events into ")),
        "{}",
        ran.out
    );
    ledger.verify().good();
}

#[test]
fn locomo_that_is_not_as_expected_is_refused_by_its_line() {
    let ledger = Ledger::new();
    let file = |sessions: &str| format!("[{{\n\"sample_id\": \"conv-1\",\n\"conversation\": {{\n{sessions}\n}}\n}}]");
    let date = r#""session_1_date_time": "1:56 pm on 8 May, 2023""#;
    let turn = r#"{"speaker": "Ann", "dia_id": "D1:1", "text": "Hi"}"#;
    for (input, said) in [
        ("[{\n\"sample_id\":".to_owned(), "line 2: not a JSON file of LoCoMo"),
        ("{\"qa\": []}".to_owned(), "line 1: `sample_id` is missing"),
        (
            file(&format!(r#""session_1": [{turn}]"#)),
            "line 4: conv-1, session 1: `session_1_date_time` is missing",
        ),
        (
            file(&format!(
                "{date},\n\"session_1\": [\n{turn},\n{{\"dia_id\": \"D1:2\"}}]"
            )),
            "line 7: conv-1, session 1: `speaker`",
        ),
        (
            file(&format!("{date},\n\"session_1\": [\n{turn},\n{turn}]")),
            "line 7: id \"conv-1/D1:1\" is also on line 6",
        ),
        (
            file(&format!("{},\n\"session_1\": []", date.replace("1:56 pm", "13:56 pm"))),
            "line 5: conv-1, session 1: the date",
        ),
        (
            file(&format!("{},\n\"session_1\": []", date.replace("8 May", "31 June"))),
            "like \"1:56 pm on 8 May, 2023\"",
        ),
        (
            file(&format!("{},\n\"session_1\": []", date.replace("8 May", "08 May"))),
            "like \"1:56 pm on 8 May, 2023\"",
        ),
    ] {
        let file = ledger.file("locomo.json", input);
        ledger
            .import(&file, &["--format", "locomo"])
            .exits(2)
            .tells(&["nothing was appended", said]);
    }
    let file = ledger.file(
        "locomo.json",
        file(&format!(
            "{date},\n\"session_2_date_time\": \"\",\n\"session_1\": [{turn}]"
        )),
    );
    ledger.import(&file, &["--format", "locomo"]).good();
    ledger
        .import(&ledger.beside(""), &[])
        .exits(2)
        .tells(&["is a folder", "--format locomo"]);
}
