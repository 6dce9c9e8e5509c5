use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use crate::{Error, Result, limits, seal::TAG_BYTES, unique::Checked, usual_json};

/// Where something was learned. It is sealed in the body and erased together with the payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// For example `telegram`.
    pub channel: String,
    /// The conversation, in the channel's own terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// The message, in the channel's own terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// All other members, kept as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What an entry says: the JSON `{"source":{…},"payload":{…}}`, at most 1 MiB, that is sealed and can be erased.
#[derive(Debug, Clone, Serialize)]
pub struct Body {
    /// Where it was learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// A JSON object, kept byte for byte.
    pub payload: Box<RawValue>,
}

impl Body {
    /// Checks that `payload` is the text of a JSON object (nested at most 127 deep, no member twice) and keeps its bytes.
    pub fn new(source: Option<Source>, payload: &str) -> Result<Self> {
        // Parsing it whole, and not merely skipping over it, bounds the nesting for everybody who reads it later.
        let refused = |e: serde_json::Error| Error::new(format!("the payload is not a JSON object: {e}"));
        if payload.len() > limits::BODY_BYTES {
            return Err(too_large(payload.len()));
        }
        serde_json::from_str::<Checked>(payload).map_err(refused)?;
        let payload = RawValue::from_string(payload.trim().to_owned()).map_err(refused)?;
        let body = Self { source, payload };
        body.check()?;
        Ok(body)
    }

    /// Bytes of source and payload, as JSON.
    pub fn text_bytes(&self) -> usize {
        let source = self.source.as_ref().map_or(0, |source| {
            serde_json::to_vec(source).map_or(usize::MAX, |json| json.len())
        });
        source.saturating_add(self.payload.get().len())
    }

    /// The plaintext that is sealed. Refuses what could not be read back: a payload that is no object, and a
    /// `source.extra` that repeats one of the source's own members or is nested too deep.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.check()?;
        // Most bodies have no source, and the seal is appended to these bytes.
        let mut bytes = Vec::with_capacity(self.payload.get().len() + r#"{"payload":}"#.len() + TAG_BYTES);
        serde_json::to_writer(&mut bytes, self).map_err(|e| Error::new(format!("the body is not JSON: {e}")))?;
        if bytes.len() > limits::BODY_BYTES {
            return Err(too_large(bytes.len()));
        }
        if self.source.as_ref().is_some_and(|source| !source.extra.is_empty()) {
            Self::parse(&bytes)?;
        }
        Ok(bytes)
    }

    /// Reads an opened plaintext.
    pub fn parse(plaintext: &[u8]) -> Result<Self> {
        let Read { source, payload } = Read::parse(plaintext)?;
        Ok(Self {
            source,
            payload: payload.to_owned(),
        })
    }

    /// Refuses what [`parse`](Self::parse) refuses, and keeps nothing.
    pub fn check_plaintext(plaintext: &[u8]) -> Result<()> {
        if is_usual(plaintext) {
            return Ok(());
        }
        Read::parse(plaintext).map(drop)
    }

    fn check(&self) -> Result<()> {
        check_payload(&self.payload)
    }
}

/// A body whose payload stands in its plaintext.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    #[serde(default)]
    source: Option<Source>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl<'a> Read<'a> {
    fn parse(plaintext: &'a [u8]) -> Result<Self> {
        let read: Self =
            serde_json::from_slice(plaintext).map_err(|e| Error::new(format!("the body is not of our form: {e}")))?;
        check_payload(read.payload)?;
        Ok(read)
    }
}

/// Whether a plaintext is surely that of a body: one without a source, whose payload is of the usual sort.
fn is_usual(plaintext: &[u8]) -> bool {
    let text = std::str::from_utf8(plaintext).ok();
    let payload = text.and_then(|text| text.strip_prefix(r#"{"payload":"#)?.strip_suffix('}'));
    payload.is_some_and(usual_json::is_object)
}

fn check_payload(payload: &RawValue) -> Result<()> {
    if payload.get().starts_with('{') {
        Ok(())
    } else {
        Err(Error::new("the payload is not a JSON object"))
    }
}

fn too_large(bytes: usize) -> Error {
    Error::new(format!(
        "the source and payload have {bytes} bytes; at most {} fit an entry",
        limits::BODY_BYTES
    ))
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.payload.get() == other.payload.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source_of(extra: Value) -> Source {
        let Value::Object(extra) = extra else {
            panic!("the extra members are an object")
        };
        Source {
            channel: "telegram".into(),
            conversation_id: Some("c1".into()),
            message_id: None,
            extra,
        }
    }

    #[test]
    fn a_payload_keeps_its_bytes() {
        let text = r#"{"b" : 1.50, "a":"\u0061"}"#;
        let body = Body::new(Some(source_of(serde_json::json!({"lang":"de"}))), &format!(" {text}\n")).unwrap();
        let bytes = body.to_bytes().unwrap();
        let expected =
            r#"{"source":{"channel":"telegram","conversationId":"c1","lang":"de"},"payload":"#.to_owned() + text + "}";
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        assert_eq!(Body::parse(&bytes).unwrap(), body);
        assert_eq!(Body::new(None, "{}").unwrap().to_bytes().unwrap(), br#"{"payload":{}}"#);
    }

    #[test]
    fn a_payload_that_is_no_object_or_says_a_thing_twice_is_refused() {
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        for text in [
            "",
            "[]",
            "1",
            "null",
            "{",
            "{}{}",
            r#"{"a":1,"a":2}"#,
            r#"{"x":[{"a":1,"\u0061":2}]}"#,
            &deep(127),
        ] {
            assert!(Body::new(None, text).is_err(), "{text}");
        }
        assert!(Body::new(None, &deep(126)).is_ok());
    }

    #[test]
    fn what_could_not_be_read_back_is_refused() {
        let mut deep = Value::Null;
        for _ in 0..127 {
            deep = Value::Array(vec![deep]);
        }
        for extra in [
            serde_json::json!({"channel":"x"}),
            serde_json::json!({"messageId":"x", "conversationId":"x"}),
        ] {
            assert!(Body::new(Some(source_of(extra)), "{}").unwrap().to_bytes().is_err());
        }
        assert!(
            Body::new(Some(source_of(serde_json::json!({ "deep": deep }))), "{}")
                .unwrap()
                .to_bytes()
                .is_err()
        );
    }

    #[test]
    fn a_body_holds_one_mebibyte_and_no_more() {
        let largest = limits::BODY_BYTES - r#"{"payload":{"text":""}}"#.len();
        let payload = |len: usize| format!(r#"{{"text":"{}"}}"#, "x".repeat(len));
        assert_eq!(
            Body::new(None, &payload(largest)).unwrap().to_bytes().unwrap().len(),
            limits::BODY_BYTES
        );
        assert!(Body::new(None, &payload(largest + 1)).unwrap().to_bytes().is_err());
        assert!(Body::new(None, &payload(limits::BODY_BYTES)).is_err());
    }

    proptest::proptest! {
        /// A body is not refused by whoever reads it and passed by whoever checks it, nor the other way round.
        #[test]
        fn what_is_checked_is_what_is_read(
            text in "\\PC{0,20}",
            source: bool,
            changes in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0..12_usize), 0..3),
        ) {
            let source = source.then(|| source_of(serde_json::json!({"lang": "de"})));
            let payload = serde_json::json!({"text": text, "n": [1, -2, 0.5], "o": {}}).to_string();
            let mut bytes = Body::new(source, &payload).unwrap().to_bytes().unwrap();
            proptest::prop_assert!(Body::check_plaintext(&bytes).is_ok());
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = b"\"\\{}[],:0 a\xff"[byte];
            }
            proptest::prop_assert_eq!(Body::check_plaintext(&bytes).is_ok(), Body::parse(&bytes).is_ok());
        }
    }

    #[test]
    fn an_opened_body_of_another_form_is_refused() {
        for text in [
            "{}",
            r#"{"payload":1}"#,
            r#"{"payload":{},"more":1}"#,
            r#"{"payload":{},"payload":{}}"#,
            "\u{0}",
        ] {
            assert!(Body::parse(text.as_bytes()).is_err(), "{text}");
            assert!(Body::check_plaintext(text.as_bytes()).is_err(), "{text}");
        }
    }
}
