//! Knows JSON of the usual sort when it sees it, several times faster than a JSON reader. What it does not know is left to
//! that one, which decides and refuses.

use memchr::memchr2;

/// Whether a text is surely one JSON object, with nothing before and behind it.
pub(crate) fn is_object(text: &str) -> bool {
    let mut rest = Rest(text.as_bytes());
    text.starts_with('{') && rest.value(DEPTH).is_some() && rest.0.is_empty()
}

/// Objects and arrays within each other; deeper ones are not usual.
const DEPTH: u32 = 16;

/// What has not been read yet, which begins between two characters.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn skip(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    fn space(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        match self.0.first()? {
            b'"' => self.string(),
            b'{' => self.items(depth, b"}", |rest, depth| {
                rest.string()?;
                rest.space();
                rest.skip(b":")?;
                rest.space();
                rest.value(depth)
            }),
            b'[' => self.items(depth, b"]", Self::value),
            b't' => self.skip(b"true"),
            b'f' => self.skip(b"false"),
            b'n' => self.skip(b"null"),
            _ => self.number(),
        }
    }

    /// What stands in brackets, with a comma between each two.
    fn items(&mut self, depth: u32, end: &[u8], item: fn(&mut Self, u32) -> Option<()>) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.0 = &self.0[1..];
        self.space();
        if self.skip(end).is_some() {
            return Some(());
        }
        loop {
            item(self, depth)?;
            self.space();
            if self.skip(end).is_some() {
                return Some(());
            }
            self.skip(b",")?;
            self.space();
        }
    }

    fn string(&mut self) -> Option<()> {
        self.skip(b"\"")?;
        loop {
            let end = memchr2(b'"', b'\\', self.0)?;
            let (plain, rest) = self.0.split_at(end);
            // All of them, without a look at each whether it is the last: that is done for many at once.
            if plain.iter().fold(false, |control, byte| control | (*byte < b' ')) {
                return None;
            }
            self.0 = match rest {
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    return Some(());
                }
                [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => rest,
                _ => return None,
            };
        }
    }

    /// Digits, with a sign and a fraction or without.
    fn number(&mut self) -> Option<()> {
        let _ = self.skip(b"-");
        match self.skip(b"0") {
            Some(()) => {}
            None => self.digits()?,
        }
        if self.skip(b".").is_some() {
            self.digits()?;
        }
        // What may follow is for the reader.
        (!matches!(self.0.first(), Some(b'e' | b'E' | b'0'..=b'9'))).then_some(())
    }

    fn digits(&mut self) -> Option<()> {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.0 = &self.0[length..];
        (length > 0).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json, value::RawValue};

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,20}".prop_map(Value::from),
            "[ -~\n\t]{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-z\"\\\\]{0,4}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// It knows nothing that the JSON reader refuses.
        #[test]
        fn what_is_known_is_json(
            value in values(),
            pretty: bool,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..3),
        ) {
            let value = json!({"a": value});
            let mut bytes = match pretty {
                true => serde_json::to_vec_pretty(&value).unwrap(),
                false => serde_json::to_vec(&value).unwrap(),
            };
            for (at, byte, how) in changes {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes[at] = b"\"\\0189:,-.eE{}[] \n\0"[usize::from(byte % 19)],
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, bytes[at]),
                }
            }
            if let Ok(text) = std::str::from_utf8(&bytes) && is_object(text) {
                let read = serde_json::from_str::<&RawValue>(text);
                prop_assert!(read.is_ok_and(|raw| raw.get() == text && raw.get().starts_with('{')), "{}", text);
            }
        }
    }

    #[test]
    fn the_usual_is_known() {
        for text in [
            "{}",
            r#"{"text":"said \"so\", on\nthe café's wall"}"#,
            r#"{"a":[1,-2.5,0,true,false,null,[]],"b":{"c":""}}"#,
            "{ \"a\" : [ 1 , 2 ] ,\n\t\"b\" : { } }",
        ] {
            assert!(is_object(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_not_known() {
        for text in [
            "",
            "[]",
            "1",
            "{",
            "}",
            "{}{}",
            " {}",
            "{} ",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":01}",
            "{\"a\":-}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":tru}",
            "{\"a\":[1,]}",
            "{\"a\":[1}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"",
            "{\"a\":\"\\",
            "{a:1}",
        ] {
            assert!(!is_object(text), "{text}");
        }
    }
}
