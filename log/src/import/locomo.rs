use jiff::{civil::DateTime, tz::TimeZone};
use quipu_format::{Kind, Scope, Source, limits};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, json, value::RawValue};

use super::{LineError, Original, body, import_key, members::Members, too_many};

/// Reads a list of conversations, or a single one. Sessions come in the order of their numbers, turns in their own;
/// a date without a session is no error. Questions and summaries are no memory and are left out.
pub(super) fn parse(input: &[u8], errors: &mut Vec<LineError>) -> Vec<Original> {
    let text = match std::str::from_utf8(input) {
        Ok(text) => text,
        Err(error) => {
            let line = 1 + newlines(&input[..error.valid_up_to()]).count();
            errors.push(LineError::new(
                line,
                "not UTF-8 text from here on; save the input as UTF-8",
            ));
            return Vec::new();
        }
    };
    let conversations: Result<Vec<&RawValue>, _> = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(text),
        false => serde_json::from_str(text).map(|one| vec![one]),
    };
    let mut file = File {
        text,
        newlines: newlines(input).collect(),
        errors,
        turns: Vec::new(),
    };
    match conversations {
        Ok(conversations) => conversations
            .into_iter()
            .for_each(|conversation| file.conversation(conversation)),
        Err(error) => file.errors.push(LineError::new(
            error.line().max(1),
            format_args!("not a JSON file of LoCoMo conversations: {error}"),
        )),
    }
    if let Some(turn) = file.turns.get(limits::REMEMBERED_KEYS) {
        file.errors.push(too_many(turn.line));
    }
    file.turns
}

/// An input on its way through, so that whatever is wrong can be told by its line.
struct File<'a, 'e> {
    text: &'a str,
    /// Where its lines end.
    newlines: Vec<usize>,
    errors: &'e mut Vec<LineError>,
    turns: Vec<Original>,
}

/// What the turns of a session have in common.
struct Session<'a> {
    conversation: &'a str,
    scope: &'a Scope,
    number: u32,
    ts: &'a str,
}

impl<'a> File<'a, '_> {
    fn refuse(&mut self, at: &RawValue, message: String) {
        self.errors.push(LineError::new(self.line_of(at), message));
    }

    /// The line that a part of the input begins on.
    fn line_of(&self, part: &RawValue) -> usize {
        let offset = part.get().as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        1 + self.newlines.partition_point(|&newline| newline < offset)
    }

    fn conversation(&mut self, json: &'a RawValue) {
        let parts = || -> Result<_, String> {
            let mut members = Members::parse("the conversation", json.get())?;
            let id = members.need_text("sample_id")?;
            let scope = Scope::new(&format!("locomo:{id}")).map_err(|error| format!("`sample_id`: {error}"))?;
            let sessions = members.take("conversation").ok_or("`conversation` is missing")?;
            Ok((id, scope, Members::parse("`conversation`", sessions.get())?))
        };
        let (id, scope, mut sessions) = match parts() {
            Ok(parts) => parts,
            Err(message) => return self.refuse(json, message),
        };
        for number in session_numbers(&sessions) {
            let name = format!("session_{number}");
            let Some(turns) = sessions.take(&name) else { continue };
            let date = sessions
                .need_text(&format!("{name}_date_time"))
                .and_then(|text| instant(&text));
            let turns_of = serde_json::from_str::<Vec<&RawValue>>(turns.get())
                .map_err(|_| format!("`{name}` is not a list of turns"));
            match date.and_then(|ts| Ok((ts, turns_of?))) {
                Err(message) => self.refuse(turns, format!("{id}, session {number}: {message}")),
                Ok((ts, list)) => {
                    let session = Session {
                        conversation: &id,
                        scope: &scope,
                        number,
                        ts: &ts,
                    };
                    for turn in list {
                        match session.turn(turn, self.line_of(turn)) {
                            Ok(turn) => self.turns.push(turn),
                            Err(message) => self.refuse(turn, format!("{id}, session {number}: {message}")),
                        }
                    }
                }
            }
        }
    }
}

impl Session<'_> {
    fn turn(&self, json: &RawValue, line: usize) -> Result<Original, String> {
        let mut members = Members::parse("a turn", json.get())?;
        let speaker = members.need_text("speaker")?;
        let turn = members.need_text("dia_id")?;
        let payload = Rest(members.rest().collect());
        if !payload
            .0
            .iter()
            .any(|(name, value)| name == "text" && value.get().starts_with('"'))
        {
            return Err(format!("turn {turn} has no `text`"));
        }
        let id = format!("{}/{turn}", self.conversation);
        let mut extra = Map::new();
        extra.insert("session".to_owned(), self.number.into());
        extra.insert("speaker".to_owned(), speaker.as_str().into());
        extra.insert(
            "original".to_owned(),
            json!({"id": id, "ts": self.ts, "actor": actor(&speaker)}),
        );
        let source = Source {
            channel: "locomo".to_owned(),
            conversation_id: Some(self.conversation.to_owned()),
            message_id: Some(turn),
            extra,
        };
        let payload = serde_json::to_string(&payload).map_err(|error| error.to_string())?;
        let (body, body_bytes) = body(source, &payload)?;
        Ok(Original {
            line,
            key: import_key(&id)?,
            id: Some(id),
            scope: self.scope.clone(),
            kind: Kind::new("message").map_err(|error| error.to_string())?,
            body,
            body_bytes,
            evidence: Vec::new(),
            supersedes: Vec::new(),
        })
    }
}

/// The members of a turn that make its payload, as they were written.
struct Rest<'a>(Vec<(String, &'a RawValue)>);

impl Serialize for Rest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// `n` of each member `session_<n>`, rising.
fn session_numbers(members: &Members<'_>) -> Vec<u32> {
    let number = |name: &str| name.strip_prefix("session_")?.parse().ok();
    let mut numbers: Vec<u32> = members.names().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// A session's date and time, "1:56 pm on 8 May, 2023", as RFC 3339. No time zone is given; it is taken as UTC.
fn instant(text: &str) -> Result<String, String> {
    let refused = || format!("the date and time {text:?} is not like \"1:56 pm on 8 May, 2023\"");
    let read = DateTime::strptime("%I:%M %P on %d %B, %Y", text).map_err(|_| refused())?;
    // Reading is lenient, so what was read must also be written like this.
    if read.strftime("%-I:%M %P on %-d %B, %Y").to_string() != text {
        return Err(refused());
    }
    let instant = read.to_zoned(TimeZone::UTC).map_err(|_| refused())?.timestamp();
    Ok(instant.to_string())
}

/// A speaker's name as an actor would be written.
fn actor(speaker: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
            c
        } else {
            '-'
        }
    };
    format!("user:{}", speaker.to_lowercase().chars().map(safe).collect::<String>())
}

fn newlines(input: &[u8]) -> impl Iterator<Item = usize> {
    input
        .iter()
        .enumerate()
        .filter(|&(_, &byte)| byte == b'\n')
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written_and_no_other_way() {
        for (text, read) in [
            ("1:56 pm on 8 May, 2023", "2023-05-08T13:56:00Z"),
            ("12:09 am on 13 September, 2023", "2023-09-13T00:09:00Z"),
            ("12:30 pm on 29 February, 2024", "2024-02-29T12:30:00Z"),
        ] {
            assert_eq!(instant(text).as_deref(), Ok(read));
        }
        for text in [
            "",
            "1:56 pm on 8 May, 2023 ",
            "01:56 pm on 8 May, 2023",
            "1:56 PM on 8 May, 2023",
            "13:56 pm on 8 May, 2023",
            "0:56 am on 8 May, 2023",
            "1:56 pm on 08 May, 2023",
            "1:56 pm on 8 may, 2023",
            "1:56 pm on 29 February, 2023",
            "1:56 pm on 8 May 2023",
            "2023-05-08T13:56:00Z",
        ] {
            assert!(instant(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn speakers_become_actors() {
        assert_eq!(actor("Caroline"), "user:caroline");
        assert_eq!(actor("Dr. O'Neil\n2"), "user:dr.-o-neil-2");
    }
}
