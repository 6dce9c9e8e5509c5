//! What an operator did and signed: an entry whose `sys` holds it. docs/FORMAT.md, "Acts".

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Actor, Envelope, Error, Kind, Result, Signer, VerifierKey, limits};

/// First line of what is signed.
const MAGIC: &str = "quipu/act";
/// What operators' names begin with.
const OPERATOR: &str = "operator:";

/// Names an act, so that it is done once: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ActId(pub [u8; 16]);

/// An operator's act: what is done, and the signature of the operator's key on it.
///
/// The signed note's text has five lines, each ended by LF: `quipu/act`, the ledger's origin, the act's id, the size of
/// the log at which the act was resolved, and the member's name, a space and its value as compact JSON with the members
/// of every object sorted by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// Whose key signed it: the entry's actor and the key's name.
    pub operator: Actor,
    /// Its name.
    pub id: ActId,
    /// Entries of the log when it was resolved.
    pub size: u64,
    /// What is done: the name of a member of `sys`. The entry's kind is `quipu.` and this name.
    pub member: String,
    /// The member's value.
    pub value: Value,
    /// Key id and signature in base64, as a signed note's signature line has them.
    signature: String,
}

/// The member `act` of `sys`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    id: String,
    signature: String,
    size: u64,
}

impl Act {
    /// Signs an act for the ledger of that origin. The signer's name is the operator's.
    pub fn sign(
        origin: &str,
        id: ActId,
        size: u64,
        member: &str,
        value: &impl Serialize,
        signer: &Signer,
    ) -> Result<Self> {
        let value = serde_json::to_value(value).map_err(|e| Error::new(format!("the act is not JSON: {e}")))?;
        let mut act = Self {
            operator: operator(signer.verifier_key().name())?,
            id,
            size,
            member: member.to_owned(),
            value: sorted(value),
            signature: String::new(),
        };
        act.kind()?;
        let note = signer.sign(&act.text(origin));
        let line = note.trim_end().rsplit(' ').next().unwrap_or_default();
        line.clone_into(&mut act.signature);
        Ok(act)
    }

    /// The act that an entry is; `None` where its `sys` has no member `act`. Refuses an entry that says it is one and
    /// does not have the form of one.
    pub fn of(envelope: &Envelope) -> Result<Option<Self>> {
        match &envelope.sys {
            Some(Value::Object(sys)) if sys.contains_key("act") => Self::parse(envelope, sys).map(Some),
            _ => Ok(None),
        }
    }

    fn parse(envelope: &Envelope, sys: &Map<String, Value>) -> Result<Self> {
        let refused = |why: &str| Error::new(format!("the entry's sys is no operator's act: {why}"));
        let mut others = sys.iter().filter(|(name, _)| *name != "act");
        let (Some((member, value)), None) = (others.next(), others.next()) else {
            return Err(refused("it must have the member act and one other"));
        };
        let stamp = Stamp::deserialize(&sys["act"]).map_err(|e| refused(&e.to_string()))?;
        if stamp.size > limits::LAST_SEQ {
            return Err(refused("its size is not below 2^53"));
        }
        let act = Self {
            operator: operator(envelope.actor.as_str())?,
            id: stamp.id.parse()?,
            size: stamp.size,
            member: member.clone(),
            value: value.clone(),
            signature: stamp.signature,
        };
        if act.kind()? != envelope.kind {
            return Err(refused("the entry's kind is not quipu. and the member's name"));
        }
        Ok(act)
    }

    /// Checks that `key` signed it for the ledger of that origin.
    pub fn check(&self, origin: &str, key: &VerifierKey) -> Result<()> {
        let note = format!("{}\n\u{2014} {} {}\n", self.text(origin), self.operator, self.signature);
        key.verify(note.as_bytes())
            .map(drop)
            .map_err(|e| Error::new(format!("the act {} is not signed by {}: {e}", self.id, key.name())))
    }

    /// The `sys` of its entry.
    pub fn sys(&self) -> Value {
        let stamp = Stamp {
            id: self.id.to_string(),
            signature: self.signature.clone(),
            size: self.size,
        };
        serde_json::json!({"act": stamp, self.member.as_str(): self.value})
    }

    /// The kind of its entry.
    pub fn kind(&self) -> Result<Kind> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        if self.member == "act" || !self.member.bytes().all(plain) {
            return Err(Error::new(format!(
                "{:?} names no act: lower-case letters and - do",
                self.member
            )));
        }
        Kind::new(&format!("quipu.{}", self.member))
    }

    /// What is signed.
    fn text(&self, origin: &str) -> String {
        let value = sorted(self.value.clone());
        format!(
            "{MAGIC}\n{origin}\n{}\n{}\n{} {value}\n",
            self.id, self.size, self.member
        )
    }
}

/// The actor that a key of this name signs as.
fn operator(name: &str) -> Result<Actor> {
    if !name.starts_with(OPERATOR) {
        return Err(Error::new(format!(
            "an operator's name and that of their key begin with {OPERATOR}, unlike {name:?}"
        )));
    }
    Actor::new(name)
}

/// With the members of every object in the order of their names, whatever this build's maps keep.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.into_iter().map(|(name, value)| (name, sorted(value))).collect()
        }
        other => other,
    }
}

impl fmt::Display for ActId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for ActId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for ActId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| Error::new("an act's id is 16 bytes in unpadded base64url, 22 characters"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use ulid::Ulid;

    use crate::{EventId, Hash, Scope, Timestamp};

    use super::*;

    const ORIGIN: &str = "example.com/memory";

    fn kim() -> Signer {
        Signer::new("operator:kim", [9; 32]).unwrap()
    }

    fn act() -> Act {
        let value = json!({"scope": "a", "ranges": [[0, 4]], "cause": "redact"});
        Act::sign(ORIGIN, ActId([7; 16]), 12, "erase", &value, &kim()).unwrap()
    }

    fn entry(act: &Act) -> Envelope {
        let mut envelope = Envelope::new(
            12,
            EventId(Ulid::from_parts(1_771_553_503_123, 42)),
            Timestamp::from_ms(1_771_553_503_123),
            act.operator.clone(),
            act.kind().unwrap(),
            Scope::new("a").unwrap(),
            5,
            Hash::of_nothing(),
            Hash::of_nothing(),
        );
        envelope.sys = Some(act.sys());
        Envelope::parse(&envelope.to_bytes().unwrap()).unwrap()
    }

    /// Any implementation of signed notes checks an act: this is the note that it is given.
    #[test]
    fn what_is_signed_are_five_lines() {
        let note = kim().sign(concat!(
            "quipu/act\nexample.com/memory\nBwcHBwcHBwcHBwcHBwcHBw\n12\n",
            r#"erase {"cause":"redact","ranges":[[0,4]],"scope":"a"}"#,
            "\n"
        ));
        assert_eq!(note.trim_end().rsplit(' ').next(), Some(&*act().signature));
    }

    #[test]
    fn an_entry_gives_the_act_back() {
        let parsed = Act::of(&entry(&act())).unwrap().unwrap();
        assert_eq!(parsed, act());
        parsed.check(ORIGIN, &kim().verifier_key()).unwrap();
        let mut plain = entry(&act());
        plain.sys = Some(json!({"erase": {}}));
        assert_eq!(Act::of(&plain).unwrap(), None);
    }

    #[test]
    fn whatever_is_changed_is_not_signed() {
        let key = kim().verifier_key();
        let good = act();
        good.check(ORIGIN, &key).unwrap();
        let changed: [&dyn Fn(&mut Act); 5] = [
            &|act| act.id.0[0] ^= 1,
            &|act| act.size += 1,
            &|act| act.member = "hold".into(),
            &|act| act.value["ranges"][0][1] = 5.into(),
            &|act| act.operator = Actor::new("operator:lee").unwrap(),
        ];
        for change in changed {
            let mut act = good.clone();
            change(&mut act);
            assert!(act.check(ORIGIN, &key).is_err(), "{act:?}");
        }
        assert!(good.check("example.com/other", &key).is_err());
        let other = Signer::new("operator:kim", [8; 32]).unwrap();
        assert!(good.check(ORIGIN, &other.verifier_key()).is_err());
    }

    #[test]
    fn what_has_not_the_form_of_an_act_is_refused() {
        let good = entry(&act());
        let changed: [&dyn Fn(&mut Value); 7] = [
            &|sys| sys["act"]["size"] = (limits::LAST_SEQ + 1).into(),
            &|sys| sys["act"]["id"] = "short".into(),
            &|sys| sys["act"]["more"] = 1.into(),
            &|sys| drop(sys["act"].as_object_mut().unwrap().remove("signature")),
            &|sys| sys["hold"] = json!({}),
            &|sys| drop(sys.as_object_mut().unwrap().remove("erase")),
            &|sys| {
                let value = sys.as_object_mut().unwrap().remove("erase").unwrap();
                sys["hold"] = value;
            },
        ];
        for change in changed {
            let mut envelope = good.clone();
            change(envelope.sys.as_mut().unwrap());
            assert!(Act::of(&envelope).is_err(), "{:?}", envelope.sys);
        }
        let mut agent = good.clone();
        agent.actor = Actor::new("agent:kim").unwrap();
        assert!(Act::of(&agent).is_err());
        let agent = Signer::new("agent:kim", [9; 32]).unwrap();
        assert!(Act::sign(ORIGIN, ActId([7; 16]), 12, "erase", &json!({}), &agent).is_err());
        assert!(Act::sign(ORIGIN, ActId([7; 16]), 12, "act", &json!({}), &kim()).is_err());
        assert!(Act::sign(ORIGIN, ActId([7; 16]), 12, "a\nb", &json!({}), &kim()).is_err());
    }
}
