//! Messages and their codec, against arbitrary bytes.

use std::{io::Write, os::unix::net::UnixStream, sync::Arc, thread, time::Duration};

use proptest::prelude::*;
use quipu_format::{Actor, Body, EventId, Kind, Scope};
use serde_json::{json, value::RawValue};
use ulid::Ulid;

use super::{
    connection::Connection,
    protocol::{self, Answer, HEADER_BYTES, Question, VERSION},
};
use crate::{Draft, Error, ErrorKind};

/// The other end of a connection, which is given these bytes in pieces and then closed.
fn hears(bytes: Vec<u8>, piece: usize) -> Connection {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    thread::spawn(move || bytes.chunks(piece.max(1)).all(|piece| theirs.write_all(piece).is_ok()));
    Connection::new(Arc::new(ours))
}

/// All messages up to the end, or to what is wrong.
fn messages(mut connection: Connection) -> (Vec<Vec<u8>>, Option<Error>) {
    let mut heard = Vec::new();
    loop {
        let next = connection.next(Some(Duration::from_secs(10)));
        match next.and_then(|length| length.map(|length| connection.rest(length)).transpose()) {
            Ok(Some(message)) => heard.push(message),
            Ok(None) => return (heard, None),
            Err(error) => return (heard, Some(error)),
        }
    }
}

fn any_draft() -> impl Strategy<Value = Draft> {
    let text = any::<Vec<char>>().prop_map(|chars| chars.into_iter().collect::<String>());
    let links = proptest::collection::vec(any::<u128>().prop_map(|n| EventId(Ulid(n))), 0..4);
    (
        text.clone(),
        links.clone(),
        links,
        proptest::option::of(text),
        any::<bool>(),
    )
        .prop_map(|(text, evidence, supersedes, key, full)| {
            let source = json!({"channel": text, "messageId": text, "more": {"of": text}});
            let source = full.then(|| serde_json::from_value(source).unwrap());
            let body = Body::new(source, &json!({ "text": text }).to_string()).unwrap();
            let (scope, actor) = (Scope::new("a:b").unwrap(), Actor::new("agent:x").unwrap());
            let mut draft = Draft::new(scope, actor, Kind::new("quipu.test").unwrap(), body);
            draft.sys = full.then(|| json!({ "said": text }));
            (draft.evidence, draft.supersedes, draft.key) = (evidence, supersedes, key);
            draft
        })
}

proptest! {
    #[test]
    fn drafts_come_out_as_they_went_in(drafts in proptest::collection::vec(any_draft(), 1..5), piece in 1_usize..5_000) {
        let encoded = protocol::encode(drafts.clone()).unwrap();
        let questions = [
            Question::Append(vec![&encoded, &encoded]),
            Question::Prove(vec![&encoded, &encoded], 7),
        ];
        let questions = questions.map(|question| protocol::message(&question).unwrap());
        let (heard, wrong) = messages(hears(questions.concat(), piece));
        prop_assert!(wrong.is_none() && heard.len() == 2);
        for (message, wanted) in heard.iter().zip([None, Some(7)]) {
            let (requests, size) = match protocol::parse(message).unwrap() {
                Question::Append(requests) => (requests, None),
                Question::Prove(requests, size) => (requests, Some(size)),
                Question::Rotate => panic!("nobody asked for that"),
            };
            prop_assert_eq!(size, wanted);
            prop_assert_eq!(requests.len(), 2);
            for request in requests {
                prop_assert_eq!(format!("{:?}", protocol::decode(request).unwrap()), format!("{drafts:?}"));
            }
        }
    }

    #[test]
    fn any_bytes_are_messages_or_refused(bytes in any::<Vec<u8>>(), sound in 0_usize..3, piece in 1_usize..100) {
        let before = protocol::message(&Answer::Ready { head: 7 }).unwrap();
        let all = [before.repeat(sound), bytes].concat();
        let (heard, _) = messages(hears(all, piece));
        prop_assert!(heard.len() >= sound);
        for message in heard {
            let _ = protocol::parse::<Answer>(&message);
            if let Ok(Question::Append(requests)) = protocol::parse(&message) {
                requests.into_iter().for_each(|request| drop(protocol::decode(request)));
            }
        }
    }

    /// A question with one byte changed is another question or none, and never a panic.
    #[test]
    fn a_changed_byte_is_survived(draft in any_draft(), at in any::<proptest::sample::Index>(), to in any::<u8>()) {
        let encoded = protocol::encode(vec![draft]).unwrap();
        let mut question = protocol::message(&Question::Append(vec![&encoded])).unwrap();
        let at = at.index(question.len());
        question[at] = to;
        let (heard, wrong) = messages(hears(question, 4_096));
        prop_assert!(at >= HEADER_BYTES || heard.len() < 2);
        prop_assert!(at >= HEADER_BYTES || wrong.is_some() || heard.len() == 1);
        for message in heard {
            if let Ok(Question::Append(requests)) = protocol::parse(&message) {
                requests.into_iter().for_each(|request| drop(protocol::decode(request)));
            }
        }
    }

    #[test]
    fn any_json_is_drafts_or_refused(json in r#"[\[\]{}",:a-z0-9\\ ]{0,60}"#) {
        let Ok(json) = RawValue::from_string(json) else { return Ok(()) };
        if let Err(error) = protocol::decode(&json) {
            prop_assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::TooLarge));
        }
    }
}

#[test]
fn a_long_message_of_an_error_is_cut_between_characters() {
    let error = Error::new(ErrorKind::Conflict, "🪢\u{7f}".repeat(100_000));
    let message = protocol::message(&Answer::Refused(error.into())).unwrap();
    assert!(message.len() < 20_000);
    let Answer::Refused(refusal) = protocol::parse(&message[HEADER_BYTES..]).unwrap() else {
        panic!("another answer")
    };
    let error = Error::from(refusal);
    assert_eq!(
        (error.kind(), error.to_string().chars().count()),
        (ErrorKind::Conflict, 2_000)
    );
}

#[test]
fn a_message_has_a_limit() {
    let json = RawValue::from_string(format!("\"{}\"", "x".repeat(quipu_format::limits::MESSAGE_BYTES))).unwrap();
    let refused = protocol::message(&Question::Append(vec![&json])).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    assert!(protocol::length([VERSION, 0, 0, 0, 9]).is_ok_and(|length| length == 9));
}
