use std::collections::HashMap;

use quipu_format::{Hash, Kind, Scope, Source, Timestamp, limits};
use serde_json::{Map, Value};

use super::{
    LineError, Original, body, import_key,
    members::{self, Members},
    too_many,
};

/// Bytes of a line: a body of the largest size with every character escaped would not fit the log anyway.
const LINE_BYTES: usize = 2 * limits::BODY_BYTES;

/// Reads one event a line. Blank lines are skipped; a line that cannot be read becomes an error.
pub(super) fn parse(input: &[u8], errors: &mut Vec<LineError>) -> Vec<Original> {
    let lines = input
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty());
    if let Some((at, _)) = lines.clone().nth(limits::REMEMBERED_KEYS) {
        errors.push(too_many(at + 1));
        return Vec::new();
    }
    let mut seen = HashMap::<Hash, usize>::new();
    let mut originals = Vec::new();
    for (at, line) in lines {
        // An event without an id is known by its line, and by how often that line came before.
        let mut nameless_key = || {
            let digest = Hash::of(&[line]);
            let before = seen.entry(digest).or_default();
            let key = format!("import:{}:{before}", digest.to_hex());
            *before += 1;
            key
        };
        if line.len() > LINE_BYTES {
            errors.push(LineError::new(
                at + 1,
                format!("the line has {} bytes; at most {LINE_BYTES} are read", line.len()),
            ));
            continue;
        }
        let text = std::str::from_utf8(line).map_err(|error| {
            format!(
                "not UTF-8 text from byte {} of the line on; save the input as UTF-8",
                error.valid_up_to() + 1
            )
        });
        match text.and_then(|text| event(at + 1, text, &mut nameless_key)) {
            Ok(original) => originals.push(original),
            Err(message) => errors.push(LineError::new(at + 1, message)),
        }
    }
    originals
}

fn event(line: usize, text: &str, nameless_key: &mut dyn FnMut() -> String) -> Result<Original, String> {
    let mut members = Members::parse("the line", text)?;
    let id = members.take_text("id")?;
    let key = id.as_deref().map_or_else(|| Ok(nameless_key()), import_key)?;
    let scope = Scope::new(&members.need_text("scope")?).map_err(|error| format!("`scope`: {error}"))?;
    let kind = Kind::new(&members.need_text("kind")?).map_err(|error| format!("`kind`: {error}"))?;
    if scope.is_reserved() || kind.is_reserved() {
        return Err(format!(
            "scopes that begin with quipu: and kinds that begin with quipu. are the ledger's own; {scope}, {kind} cannot be imported"
        ));
    }
    let evidence = members.take_as("evidence", "a list of ids")?.unwrap_or_default();
    let supersedes = members.take_as("supersedes", "a list of ids")?.unwrap_or_default();
    let source: Map<String, Value> = members.take_as("source", "an object")?.unwrap_or_default();
    let payload = members.take("payload");

    let mut original = Map::new();
    original.extend(id.clone().map(|id| ("id".to_owned(), id.into())));
    if let Some(ts) = members.take_text("ts")? {
        Timestamp::parse_rfc3339(&ts).map_err(|error| format!("`ts`: {error}"))?;
        original.insert("ts".to_owned(), ts.into());
    }
    original.extend(
        members
            .take_text("actor")?
            .map(|actor| ("actor".to_owned(), actor.into())),
    );
    let erased = members.take_as("erased", "true or false")?.unwrap_or(false);
    for (name, value) in members.rest() {
        let value = members::read(&name, value, "JSON")?;
        original.insert(name, value);
    }
    let payload = payload.ok_or(if erased {
        "the content of this event was erased, so there is nothing to import; leave the line out"
    } else {
        "`payload` is missing"
    })?;
    check_payload(payload.get())?;
    let (body, body_bytes) = body(self::source(source, original)?, payload.get())?;
    Ok(Original {
        line,
        id,
        key,
        scope,
        kind,
        body,
        body_bytes,
        evidence,
        supersedes,
    })
}

/// Joins what the input says of the source with what else must be kept. An event that was imported once before
/// brings a `source.original`; it stays, one level down.
fn source(mut given: Map<String, Value>, mut original: Map<String, Value>) -> Result<Source, String> {
    let mut take_text = |name: &str| match given.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("`source.{name}` must be text, in quotes; it is {other}")),
    };
    let channel = take_text("channel")?.unwrap_or_else(|| "import".to_owned());
    let conversation_id = take_text("conversationId")?;
    let message_id = take_text("messageId")?;
    if let Some(earlier) = given.remove("original")
        && original.insert("original".to_owned(), earlier).is_some()
    {
        return Err("`original` and `source.original` cannot both be kept; rename one of them".to_owned());
    }
    if !original.is_empty() {
        given.insert("original".to_owned(), Value::Object(original));
    }
    Ok(Source {
        channel,
        conversation_id,
        message_id,
        extra: given,
    })
}

/// Checks the payload's documented members. All others may be any JSON.
fn check_payload(json: &str) -> Result<(), String> {
    let mut payload = Members::parse("`payload`", json)?;
    let named = |message: String| format!("in `payload`, {message}");
    payload.take_text("text").map_err(named)?;
    let confidence: Option<f64> = payload.take_as("confidence", "a number from 0 to 1").map_err(named)?;
    if confidence.is_some_and(|confidence| !(0.0..=1.0).contains(&confidence)) {
        return Err("in `payload`, `confidence` must be a number from 0 to 1".to_owned());
    }
    payload
        .take_as::<u32>("ttlDays", "a whole number of days")
        .map_err(named)?;
    payload
        .take_as::<Vec<String>>("tags", "a list of texts")
        .map_err(named)?;
    Ok(())
}
