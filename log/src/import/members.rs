use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The members of a JSON object, their values as they were written. No name comes twice.
pub(super) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads a JSON object; `what` names it in the error.
    pub(super) fn parse(what: &str, json: &'a str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|error| format!("{what} is not a JSON object: {}", reason(&error)))
    }

    /// Takes a member out. `null` is the same as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.0.iter().position(|(found, _)| found == name)?;
        let (_, value) = self.0.remove(at);
        (value.get() != "null").then_some(value)
    }

    /// Takes a member that must be of type `T`; `expected` says what that is.
    pub(super) fn take_as<T: DeserializeOwned>(&mut self, name: &str, expected: &str) -> Result<Option<T>, String> {
        self.take(name).map(|value| read(name, value, expected)).transpose()
    }

    /// Takes a member that must be text.
    pub(super) fn take_text(&mut self, name: &str) -> Result<Option<String>, String> {
        self.take_as(name, "text, in quotes")
    }

    /// As [`Members::take_text`], for a member that must be there.
    pub(super) fn need_text(&mut self, name: &str) -> Result<String, String> {
        self.take_text(name)?.ok_or_else(|| format!("`{name}` is missing"))
    }

    /// The names of the members that nobody took, in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The members that nobody took, in their order.
    pub(super) fn rest(self) -> impl Iterator<Item = (String, &'a RawValue)> {
        self.0.into_iter()
    }
}

/// Reads the value of member `name` as a `T`; `expected` says what that is.
pub(super) fn read<T: DeserializeOwned>(name: &str, value: &RawValue, expected: &str) -> Result<T, String> {
    if let Some(number) = inexact_integer(value.get()) {
        return Err(format!(
            "`{name}` holds {number}, which no 64-bit number holds exactly; write it as text"
        ));
    }
    serde_json::from_str(value.get()).map_err(|error| {
        if error.is_data() && !reason(&error).contains("recursion") {
            format!("`{name}` must be {expected}; it is {}", shortened(value.get()))
        } else {
            format!("`{name}` cannot be read: {}", reason(&error))
        }
    })
}

/// What a JSON error says, with its column alone: the line is ours to count.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match message.strip_suffix(&place) {
        Some(message) if error.column() > 0 => format!("{message} (column {})", error.column()),
        _ => message,
    }
}

fn shortened(json: &str) -> String {
    match json.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &json[..end]),
        None => json.to_owned(),
    }
}

/// The first integer in the JSON text that would lose digits as a number. (Chat services number their messages.)
fn inexact_integer(json: &str) -> Option<&str> {
    let mut rest = json;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        rest = &rest[at..];
        let end = if rest.starts_with('"') {
            end_of_string(rest)
        } else {
            rest.find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c)))
                .unwrap_or(rest.len())
        };
        let (token, after) = rest.split_at(end);
        rest = after;
        let integer = token
            .strip_prefix('-')
            .unwrap_or(token)
            .bytes()
            .all(|b| b.is_ascii_digit());
        if integer && token.parse::<i64>().is_err() && token.parse::<u64>().is_err() {
            return Some(token);
        }
    }
    None
}

/// Where the JSON string that `json` begins with ends.
fn end_of_string(json: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::<(String, &'de RawValue)>::new();
                let mut names = HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if !names.insert(name.clone()) {
                        return Err(de::Error::custom(format!("it has two members named {name:?}")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_that_lose_digits_are_found_outside_of_strings() {
        for exact in [
            "18446744073709551615",
            "-9223372036854775808",
            r#"{"id":"123456789012345678901"}"#,
            r#"["a\"123456789012345678901\\"]"#,
            "[1e30,0.1,-0]",
            r#"{"123456789012345678901":1}"#,
        ] {
            assert_eq!(inexact_integer(exact), None, "{exact}");
        }
        for inexact in ["[18446744073709551616]", r#"{"a":"\\","n":-9223372036854775809}"#] {
            assert!(inexact_integer(inexact).is_some(), "{inexact}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_column() {
        let told = |json| Members::parse("the line", json).err().unwrap();
        assert_eq!(
            told("{\"a\":1,}"),
            "the line is not a JSON object: trailing comma (column 8)"
        );
        assert!(told("{\"a\":1,\"a\":2}").contains("two members named \"a\""));
        assert!(told("7").starts_with("the line is not a JSON object: "));
    }

    #[test]
    fn null_is_the_same_as_absent() {
        let mut members = Members::parse("the line", r#"{"a":null,"b":"x","c":7}"#).ok().unwrap();
        assert_eq!(members.take_text("a"), Ok(None));
        assert_eq!(members.take_text("missing"), Ok(None));
        assert_eq!(members.need_text("b"), Ok("x".to_owned()));
        assert_eq!(
            members.take_text("c"),
            Err("`c` must be text, in quotes; it is 7".to_owned())
        );
    }
}
