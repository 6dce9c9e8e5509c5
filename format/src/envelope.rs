// Long because half of it are its tests, beside the two writers that they hold equal.

use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use sha2::Sha256;

use crate::{
    Actor, Error, EventId, Hash, Kind, Result, RunId, Scope, Timestamp, canonical, hash, limits, line::push_decimal,
    text, unique::Unique,
};

/// Room that most envelopes fit.
const USUAL_BYTES: usize = 512;

/// The part of an entry that is hashed and never erased. Its stored bytes are the leaf of the ledger's tree.
///
/// Nothing in it is text that a guest may fill: names come from the grant, and what was said is in the sealed body,
/// to which `body` commits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    v: Version,
    /// Position in the ledger, from 0.
    pub seq: u64,
    /// Name of the entry; rises with `seq`.
    pub id: EventId,
    /// When the host took it; never falls as `seq` rises.
    pub ts: Timestamp,
    /// Who appended it, as the host knows.
    pub actor: Actor,
    /// The run that appended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// What it is.
    pub kind: Kind,
    /// What it belongs to.
    pub scope: Scope,
    /// Position in its scope, from 0 without a gap.
    pub nth: u32,
    /// Leaf hash of the scope's previous entry; [`Hash::of_nothing`] where `nth` is 0.
    pub prev: Hash,
    /// Commitment to the body: SHA-256(salt ‖ plaintext).
    pub body: Hash,
    /// Events that this one rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EventId>,
    /// Events that this one replaces in what is derived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<EventId>,
    /// The idempotency key it was appended with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<IdempotencyKey>,
    /// What a verifier without keys must see; on the host's and operators' kinds alone.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "Unique::optional"
    )]
    pub sys: Option<Value>,
}

impl Envelope {
    /// An envelope of format version 1 without the optional members.
    #[expect(
        clippy::too_many_arguments,
        reason = "one argument for each member that every envelope has"
    )]
    pub fn new(
        seq: u64,
        id: EventId,
        ts: Timestamp,
        actor: Actor,
        kind: Kind,
        scope: Scope,
        nth: u32,
        prev: Hash,
        body: Hash,
    ) -> Self {
        Self {
            v: Version,
            seq,
            id,
            ts,
            actor,
            run: None,
            kind,
            scope,
            nth,
            prev,
            body,
            evidence: Vec::new(),
            supersedes: Vec::new(),
            key: None,
            sys: None,
        }
    }

    /// The bytes to store and hash: one line of compact JSON, at most 65,535 bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        self.write_to(&mut bytes)?;
        Ok(bytes)
    }

    /// Appends the bytes to store and hash to `out`; if it fails, `out` is as it was.
    pub fn write_to(&self, out: &mut Vec<u8>) -> Result<()> {
        self.check()?;
        let start = out.len();
        let written = self.write_members(out).and_then(|()| match out.len() - start {
            len if len <= limits::ENVELOPE_BYTES => Ok(()),
            len => Err(Error::new(format!(
                "the envelope has {len} bytes; at most {} fit an entry",
                limits::ENVELOPE_BYTES
            ))),
        });
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    /// What `Serialize` writes as compact JSON, byte for byte, at a fraction of its time: no text that these types can
    /// hold needs escaping, but for `sys`.
    fn write_members(&self, out: &mut Vec<u8>) -> Result<()> {
        out.reserve(USUAL_BYTES);
        out.extend_from_slice(br#"{"v":1,"seq":"#);
        push_decimal(out, self.seq);
        push_text(out, r#","id":"#, self.id.text(&mut [0; EventId::TEXT_BYTES]));
        push_text(out, r#","ts":"#, self.ts.text(&mut [0; Timestamp::TEXT_BYTES]));
        push_text(out, r#","actor":"#, self.actor.as_str());
        if let Some(run) = self.run {
            push_text(out, r#","run":"#, run.text(&mut [0; RunId::TEXT_BYTES]));
        }
        push_text(out, r#","kind":"#, self.kind.as_str());
        push_text(out, r#","scope":"#, self.scope.as_str());
        out.extend_from_slice(br#","nth":"#);
        push_decimal(out, u64::from(self.nth));
        push_text(out, r#","prev":"#, self.prev.text(&mut [0; hash::TEXT_BYTES]));
        push_text(out, r#","body":"#, self.body.text(&mut [0; hash::TEXT_BYTES]));
        push_ids(out, r#","evidence":["#, &self.evidence);
        push_ids(out, r#","supersedes":["#, &self.supersedes);
        if let Some(key) = self.key {
            push_text(out, r#","key":"#, key.text(&mut [0; IdempotencyKey::TEXT_BYTES]));
        }
        if let Some(sys) = &self.sys {
            out.extend_from_slice(br#","sys":"#);
            serde_json::to_writer(&mut *out, sys)
                .map_err(|e| Error::new(format!("the envelope's sys is not JSON: {e}")))?;
        }
        out.push(b'}');
        Ok(())
    }

    /// Reads stored bytes. Unknown or repeated members are refused, and so are limits that are exceeded.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > limits::ENVELOPE_BYTES {
            return Err(Error::new("the envelope is larger than 65,535 bytes"));
        }
        let envelope = match canonical::parse(bytes) {
            Some(envelope) => envelope,
            None => serde_json::from_slice(bytes)
                .map_err(|e| Error::new(format!("the envelope is not of our form: {e}")))?,
        };
        envelope.check()?;
        Ok(envelope)
    }

    /// The format version that stored bytes name, be it one that this release cannot read. None: they are no envelope.
    pub fn version(bytes: &[u8]) -> Option<u64> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u64,
        }
        serde_json::from_slice(bytes).ok().map(|Versioned { v }| v)
    }

    fn check(&self) -> Result<()> {
        if self.seq > limits::LAST_SEQ {
            return Err(Error::new("the envelope's seq is not below 2^53"));
        }
        if self.evidence.len() > limits::LINKS || self.supersedes.len() > limits::LINKS {
            return Err(Error::new(
                "the envelope names more than 256 events as evidence or superseded",
            ));
        }
        Ok(())
    }
}

fn push_text(out: &mut Vec<u8>, name: &str, text: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn push_ids(out: &mut Vec<u8>, name: &str, ids: &[EventId]) {
    for (i, id) in ids.iter().enumerate() {
        push_text(
            out,
            if i == 0 { name } else { "," },
            id.text(&mut [0; EventId::TEXT_BYTES]),
        );
    }
    if !ids.is_empty() {
        out.push(b']');
    }
}

/// Format version 1, the only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self),
            v => Err(de::Error::custom(format!(
                "format version {v} is not known to this release, which reads 1"
            ))),
        }
    }
}

/// An idempotency key as an envelope shows it: the first 16 bytes of HMAC-SHA-256(ledger secret, scope ‖ 00 ‖ actor ‖ 00 ‖ key).
/// Without the ledger's secret it tells nothing of the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(pub [u8; 16]);

impl IdempotencyKey {
    /// Blinds the key that `actor` used in `scope`. Identifiers hold no 00, so no two triples meet.
    pub fn derive(ledger_secret: &[u8; 32], scope: &Scope, actor: &Actor, key: &str) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(ledger_secret).expect("HMAC takes a key of any length");
        for part in [
            scope.as_str().as_bytes(),
            &[0],
            actor.as_str().as_bytes(),
            &[0],
            key.as_bytes(),
        ] {
            mac.update(part);
        }
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        Self(first)
    }

    /// Characters of its text.
    const TEXT_BYTES: usize = 22;

    fn text<'a>(&self, room: &'a mut [u8; Self::TEXT_BYTES]) -> &'a str {
        BASE64_URL_SAFE_NO_PAD
            .encode_slice(self.0, room)
            .expect("22 characters hold 16 bytes");
        std::str::from_utf8(room).expect("base64 is ASCII")
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; Self::TEXT_BYTES]))
    }
}

impl Serialize for IdempotencyKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text(&mut [0; Self::TEXT_BYTES]))
    }
}

impl<'de> Deserialize<'de> for IdempotencyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

impl FromStr for IdempotencyKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut bytes = [0; 16];
        match BASE64_URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(16) => Ok(Self(bytes)),
            _ => Err(Error::new(
                "an idempotency key is 16 bytes in unpadded base64url, 22 characters",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;

    const SMALLEST: &str = concat!(
        r#"{"v":1,"seq":12,"id":"evt_01KHWD2DWK000000000000001A","ts":"2026-02-20T02:11:43.123Z","actor":"agent:teddy","#,
        r#""kind":"memory.write","scope":"customer:acme-inc","nth":0,"prev":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU","#,
        r#""body":"ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"}"#
    );
    const LARGEST: &str = concat!(
        r#"{"v":1,"seq":9007199254740991,"id":"evt_01KHWD2DWK000000000000001A","ts":"2026-02-20T02:11:43.123Z","#,
        r#""actor":"operator:kim","run":"01KHWD2DWK000000000000001A","kind":"quipu.erase","scope":"customer:acme-inc","#,
        r#""nth":4294967295,"prev":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU","#,
        r#""body":"ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0","evidence":["evt_01KHWD2DWK000000000000001A"],"#,
        r#""supersedes":["evt_01KHWD2DWK000000000000001A"],"key":"AAECAwQFBgcICQoLDA0ODw","#,
        r#""sys":{"erase":{"nths":[[0,4]],"scope":"customer:acme-inc"}}}"#
    );

    fn event_id() -> EventId {
        EventId(Ulid::from_parts(1_771_553_503_123, 42))
    }

    fn smallest() -> Envelope {
        Envelope::new(
            12,
            event_id(),
            Timestamp::from_ms(1_771_553_503_123),
            Actor::new("agent:teddy").unwrap(),
            Kind::new("memory.write").unwrap(),
            Scope::new("customer:acme-inc").unwrap(),
            0,
            Hash::of_nothing(),
            Hash::of(&[b"abc"]),
        )
    }

    fn largest() -> Envelope {
        Envelope {
            seq: limits::LAST_SEQ,
            actor: Actor::new("operator:kim").unwrap(),
            kind: Kind::new("quipu.erase").unwrap(),
            nth: u32::MAX,
            run: Some(RunId(event_id().0)),
            evidence: vec![event_id()],
            supersedes: vec![event_id()],
            key: Some(IdempotencyKey(std::array::from_fn(|i| i as u8))),
            sys: Some(serde_json::json!({"erase": {"scope": "customer:acme-inc", "nths": [[0, 4]]}})),
            ..smallest()
        }
    }

    #[test]
    fn members_keep_their_order_and_absent_ones_are_left_out() {
        for (envelope, text) in [(smallest(), SMALLEST), (largest(), LARGEST)] {
            assert_eq!(String::from_utf8(envelope.to_bytes().unwrap()).unwrap(), text);
            assert_eq!(Envelope::parse(text.as_bytes()).unwrap(), envelope);
        }
    }

    #[test]
    fn what_is_not_of_the_form_is_refused() {
        for (good, bad) in [
            (r#""v":1"#, r#""v":2"#),
            (r#""v":1,"#, ""),
            (r#""seq":9007199254740991"#, r#""seq":9007199254740992"#),
            (r#""seq":9007199254740991"#, r#""seq":-1"#),
            (r#""seq":9007199254740991"#, r#""seq":1.0"#),
            (r#""nth":4294967295"#, r#""nth":4294967296"#),
            (r#""nth":4294967295"#, r#""nth":1,"nth":1"#),
            (r#""nth":4294967295"#, r#""nth":1,"Nth":1"#),
            (r#""nth":4294967295"#, r#""nth":"1""#),
            ("operator:kim", "kim@example.com"),
            ("evt_01KHWD2DWK000000000000001A", "evt_01khwd2dwk000000000000001a"),
            ("2026-02-20T02:11:43.123Z", "2026-02-20T02:11:43Z"),
            ("2026-02-20T02:11:43.123Z", "99999-02-20T02:11:43.123Z"),
            ("AAECAwQFBgcICQoLDA0ODw", "AAECAwQFBgcICQoLDA0O"),
            ("AAECAwQFBgcICQoLDA0ODw", "AAECAwQFBgcICQoLDA0ODw=="),
            (r#""nths":[[0,4]]"#, r#""nths":[[0,4]],"nths":[[0,5]]"#),
            (r#"-inc"}}}"#, r#"-inc"}}} {}"#),
        ] {
            let text = LARGEST.replacen(good, bad, 1);
            assert_ne!(text, LARGEST);
            assert!(Envelope::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Envelope::parse(&LARGEST.as_bytes()[..LARGEST.len() - 1]).is_err());
    }

    #[test]
    fn an_unknown_version_is_named() {
        let error = Envelope::parse(SMALLEST.replacen(r#""v":1"#, r#""v":7"#, 1).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("format version 7"), "{error}");
    }

    #[test]
    fn limits_hold_for_writing_and_for_reading() {
        let mut links = smallest();
        links.evidence = vec![event_id(); limits::LINKS];
        let bytes = links.to_bytes().unwrap();
        assert_eq!(Envelope::parse(&bytes).unwrap(), links);
        links.evidence.push(event_id());
        assert!(links.to_bytes().is_err());
        assert!(Envelope::parse(&serde_json::to_vec(&links).unwrap()).is_err());

        let seq = Envelope {
            seq: limits::LAST_SEQ + 1,
            ..smallest()
        };
        assert!(seq.to_bytes().is_err());

        let filled = |len: usize| Envelope {
            sys: Some("x".repeat(len).into()),
            ..smallest()
        };
        let room = limits::ENVELOPE_BYTES - filled(0).to_bytes().unwrap().len();
        assert_eq!(filled(room).to_bytes().unwrap().len(), limits::ENVELOPE_BYTES);
        assert!(filled(room + 1).to_bytes().is_err());
        assert!(Envelope::parse(&serde_json::to_vec(&filled(room)).unwrap()).is_ok());
        assert!(Envelope::parse(&serde_json::to_vec(&filled(room + 1)).unwrap()).is_err());
    }

    #[test]
    fn an_idempotency_key_depends_on_secret_scope_actor_and_key() {
        let (scope, actor) = (Scope::new("a").unwrap(), Actor::new("b").unwrap());
        let derived = IdempotencyKey::derive(&[7; 32], &scope, &actor, "c");
        // HMAC-SHA-256 of 61 00 62 00 63, by another implementation.
        assert_eq!(format!("{derived:?}"), "Qqz1U5Keim8u3NpvShsnmg");
        for other in [
            IdempotencyKey::derive(&[8; 32], &scope, &actor, "c"),
            IdempotencyKey::derive(&[7; 32], &Scope::new("b").unwrap(), &actor, "c"),
            IdempotencyKey::derive(&[7; 32], &scope, &Actor::new("a").unwrap(), "c"),
            IdempotencyKey::derive(&[7; 32], &scope, &actor, ""),
        ] {
            assert_ne!(other, derived);
        }
    }
}
