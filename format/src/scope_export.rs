//! One scope's entries as lines of JSON, to be checked without the ledger: a header, then an entry a line, in the order of
//! `nth`. Each line has exactly one text.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Checkpoint, Content, Envelope, Error, Event, Hash, Result, Scope, TrustedKeys, disclosure, leaf_hash, limits,
    proof::MOST_HASHES, tree,
};

/// What every export of a scope begins with.
pub(crate) const BEGINNING: &str = r#"{"quipu":"scope@v1","#;
const NAME: &str = "scope@v1";

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeHeader {
    quipu: String,
    /// Whose entries these are.
    pub scope: Scope,
    /// How many follow: all of the scope that the checkpoint covers.
    pub entries: u32,
    /// The signed checkpoint in whose tree they are.
    pub checkpoint: String,
}

/// Each line after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeLine {
    /// The stored bytes of the envelope.
    pub envelope: String,
    /// The body's plaintext, unless it was erased or is not disclosed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// With which the envelope commits to the body; there if the body is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Hash>,
    /// That the entry is in the checkpoint's tree: RFC 6962, 2.1.1, the lowest hash first; at most 63.
    pub proof: Vec<Hash>,
}

impl ScopeHeader {
    /// The header of an export.
    pub fn new(scope: Scope, entries: u32, checkpoint: String) -> Self {
        Self {
            quipu: NAME.to_owned(),
            scope,
            entries,
            checkpoint,
        }
    }

    /// The line, with its line feed.
    pub fn to_line(&self) -> String {
        line(self)
    }
}

impl ScopeLine {
    /// The line, with its line feed.
    pub fn to_line(&self) -> String {
        line(self)
    }
}

/// Checks an export line by line, so that one of any size takes little memory.
pub struct ScopeCheck {
    header: ScopeHeader,
    checkpoint: Checkpoint,
    /// Entries seen.
    next: u32,
    /// Leaf hash of the last of them.
    last: Hash,
    last_seq: Option<u64>,
    opened: u32,
}

/// What a whole export shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeShown {
    /// Whose entries they are.
    pub scope: Scope,
    /// How many: all from the scope's first to the last one here, without a gap.
    pub entries: u32,
    /// Those whose body is there, and is the one that the envelope commits to.
    pub opened: u32,
    /// Leaf hash of the last entry, which vouches for all before it.
    pub last: Hash,
    /// Position of the last entry.
    pub last_seq: Option<u64>,
    /// In whose tree they are.
    pub checkpoint: Checkpoint,
}

impl ScopeCheck {
    /// Reads the first line, its line feed left out, and checks the checkpoint's signature.
    pub fn begin(first: &str, keys: &TrustedKeys) -> Result<Self> {
        let header: ScopeHeader = read("the first line", first)?;
        if header.quipu != NAME {
            return Err(Error::new(format!(
                "the first line says {:?} and not {NAME:?}",
                header.quipu
            )));
        }
        let checkpoint = Checkpoint::open(header.checkpoint.as_bytes(), keys.of(&header.checkpoint)?)?;
        Ok(Self {
            header,
            checkpoint,
            next: 0,
            last: Hash::of_nothing(),
            last_seq: None,
            opened: 0,
        })
    }

    /// Reads the next line, its line feed left out: the entry must follow the one before in the scope's chain, be in the
    /// checkpoint's tree, and have the body that it commits to. An event without a body is erased or not disclosed.
    pub fn entry(&mut self, line: &str) -> Result<Event> {
        let at = self.next;
        self.follow(line)
            .map_err(|why| Error::new(format!("entry {at} of the scope: {why}")))
    }

    fn follow(&mut self, line: &str) -> Result<Event> {
        let line: ScopeLine = read("the line", line)?;
        if self.next == self.header.entries {
            return Err(Error::new("there are more entries than the first line says"));
        }
        if line.proof.len() > MOST_HASHES {
            return Err(Error::new(format!("its proof has more than {MOST_HASHES} hashes")));
        }
        let hash = leaf_hash(line.envelope.as_bytes());
        let envelope = Envelope::parse(line.envelope.as_bytes())?;
        if envelope.scope != self.header.scope {
            return Err(Error::new(format!("it is one of the scope {}", envelope.scope)));
        }
        if envelope.nth != self.next || envelope.prev != self.last {
            return Err(Error::new(format!(
                "it does not follow the one before: it is number {} of its scope, or names another predecessor",
                envelope.nth
            )));
        }
        let Checkpoint { size, root, .. } = &self.checkpoint;
        tree::verify_inclusion(*size, envelope.seq, &hash, &line.proof, root)?;
        let content = match (&line.body, &line.salt) {
            (Some(body), Some(salt)) => Content::Open(disclosure::opened(&envelope, body, &salt.0)?),
            (None, None) => Content::Erased,
            _ => return Err(Error::new("a body comes with its salt, and a salt with its body")),
        };
        self.opened += u32::from(content != Content::Erased);
        (self.next, self.last, self.last_seq) = (self.next + 1, hash, Some(envelope.seq));
        Ok(Event {
            envelope,
            content,
            hash,
        })
    }

    /// After the last line.
    pub fn end(self) -> Result<ScopeShown> {
        if self.next != self.header.entries {
            return Err(Error::new(format!(
                "there are {} entries where the first line says {}: the end is missing",
                self.next, self.header.entries
            )));
        }
        Ok(ScopeShown {
            scope: self.header.scope,
            entries: self.next,
            opened: self.opened,
            last: self.last,
            last_seq: self.last_seq,
            checkpoint: self.checkpoint,
        })
    }
}

fn line(value: &impl Serialize) -> String {
    // Nothing in these types can fail to serialise.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

fn read<T: Serialize + DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    if text.len() > limits::DISCLOSURE_BYTES {
        let most = limits::DISCLOSURE_BYTES;
        return Err(Error::new(format!("{what} has more than {most} bytes")));
    }
    let value: T = serde_json::from_str(text).map_err(|e| Error::new(format!("{what} is not of its form: {e}")))?;
    if line(&value).trim_end_matches('\n') != text {
        return Err(Error::new(format!(
            "{what} is not written as an export is: one byte or more was changed"
        )));
    }
    Ok(value)
}
