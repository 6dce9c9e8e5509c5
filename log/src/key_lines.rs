//! Lines of the file `keys`: their text, and how they are sealed where there is a passphrase. docs/FORMAT.md, "Key file".

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use quipu_format::{KeyCost, KeyLock, KeyNode, KeyTree, Scope};
use zeroize::Zeroizing;

use crate::{Error, ErrorKind, Passphrase, Result, keyfile::Keys, random};

/// A header of a file whose secrets are in clear, and of one that is sealed.
const MAGIC: &str = "quipu-keys 1";
const SEALED_MAGIC: &str = "quipu-keys 2";

type Text = Zeroizing<String>;

/// What a scope's record is bound to where it is sealed.
#[derive(Clone)]
pub(crate) struct Records {
    lock: Option<Arc<KeyLock>>,
    generation: u64,
    /// How many came before the next one.
    pub(crate) count: u64,
}

impl Records {
    /// Of a file with these keys' header, and no record yet.
    pub(crate) fn of(keys: &Keys) -> Self {
        Self {
            lock: keys.lock.clone(),
            generation: keys.generation,
            count: 0,
        }
    }

    /// Adds the next record.
    pub(crate) fn push(&mut self, text: &mut Text, scope: &Scope, tree: &KeyTree) -> Result<()> {
        let record = record(scope, tree);
        match &self.lock {
            None => push_line(text, &record),
            Some(lock) => {
                let sealed = seal(lock, self.generation, &self.count.to_be_bytes(), record.as_bytes())?;
                push_line(text, &format!("{sealed}\t"));
            }
        }
        self.count += 1;
        Ok(())
    }

    /// Reads the next record. None: it is none.
    pub(crate) fn next(&mut self, line: &[u8]) -> Option<(Scope, KeyTree)> {
        let read = match &self.lock {
            None => parse_scope(covered(line)?),
            Some(lock) => {
                let sealed = BASE64_URL_SAFE_NO_PAD.decode(covered(line)?.strip_suffix('\t')?).ok()?;
                let record = lock.open(self.generation, &self.count.to_be_bytes(), &sealed)?;
                parse_scope(std::str::from_utf8(&record).ok()?)
            }
        };
        self.count += u64::from(read.is_some());
        read
    }
}

/// The header of a file with these keys.
pub(crate) fn push_header(text: &mut Text, keys: &Keys) -> Result<()> {
    let (origin, generation, applied, count) = (&keys.origin, keys.generation, keys.applied, keys.trees.len());
    let Some(lock) = &keys.lock else {
        let secret = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*keys.secret));
        let fields = [
            MAGIC,
            origin,
            &generation.to_string(),
            &applied.to_string(),
            &secret,
            &count.to_string(),
        ];
        push_line(text, &joined(&fields));
        return Ok(());
    };
    let [memory, passes, lanes] = lock.cost().parts();
    let salt = BASE64_URL_SAFE_NO_PAD.encode(lock.salt());
    let clear =
        format!("{SEALED_MAGIC}\t{origin}\t{generation}\t{applied}\t{count}\t{memory}\t{passes}\t{lanes}\t{salt}\t");
    let sealed = seal(lock, generation, clear.as_bytes(), &*keys.secret)?;
    push_line(text, &format!("{clear}{sealed}\t"));
    Ok(())
}

/// Reads a header, and the number of records that it counts. None: it is none.
///
/// # Errors
/// `Sealed` where it is, and `passphrase` does not open it; what it costs to try is past a limit.
pub(crate) fn parse_header(line: &[u8], passphrase: Option<&Passphrase>) -> Result<Option<(Keys, u64)>> {
    let Some(text) = covered(line) else { return Ok(None) };
    match text.split_once('\t') {
        Some((MAGIC, rest)) => Ok(parse_clear(rest)),
        Some((SEALED_MAGIC, _)) => parse_sealed(text, passphrase),
        _ => Ok(None),
    }
}

fn parse_clear(rest: &str) -> Option<(Keys, u64)> {
    let mut fields = rest.strip_suffix('\t')?.split('\t');
    let origin = fields.next()?;
    let generation = fields.next()?.parse().ok()?;
    let applied = fields.next()?.parse().ok()?;
    let secret = parse_secret(fields.next()?)?;
    let records = fields.next()?.parse().ok()?;
    let mut keys = Keys::new(origin, secret);
    (keys.generation, keys.applied) = (generation, applied);
    fields.next().is_none().then_some((keys, records))
}

/// A sealed header as it stands there.
struct Sealed<'a> {
    origin: &'a str,
    generation: u64,
    applied: u64,
    records: u64,
    cost: [u32; 3],
    salt: [u8; KeyLock::SALT_BYTES],
    /// All before the secret, which is bound to it.
    clear: &'a str,
    secret: Vec<u8>,
}

impl<'a> Sealed<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (head, secret) = text.strip_suffix('\t')?.rsplit_once('\t')?;
        let mut fields = head.split('\t').skip(1);
        let sealed = Self {
            origin: fields.next()?,
            generation: fields.next()?.parse().ok()?,
            applied: fields.next()?.parse().ok()?,
            records: fields.next()?.parse().ok()?,
            cost: [
                fields.next()?.parse().ok()?,
                fields.next()?.parse().ok()?,
                fields.next()?.parse().ok()?,
            ],
            salt: BASE64_URL_SAFE_NO_PAD.decode(fields.next()?).ok()?.try_into().ok()?,
            clear: &text[..=head.len()],
            secret: BASE64_URL_SAFE_NO_PAD.decode(secret).ok()?,
        };
        fields.next().is_none().then_some(sealed)
    }
}

fn parse_sealed(text: &str, passphrase: Option<&Passphrase>) -> Result<Option<(Keys, u64)>> {
    let Some(sealed) = Sealed::parse(text) else {
        return Ok(None);
    };
    let lock = lock("keys", sealed.cost, sealed.salt, passphrase)?;
    let secret = lock.open(sealed.generation, sealed.clear.as_bytes(), &sealed.secret);
    let Some(secret) = secret.and_then(|secret| secret.as_slice().try_into().ok()) else {
        let message = "the passphrase does not open the file keys: it is not the one, or the file's first line was changed. \
                       Nothing was changed now";
        return Err(Error::new(ErrorKind::Sealed, message));
    };
    let mut keys = Keys::new(sealed.origin, secret);
    (keys.generation, keys.applied) = (sealed.generation, sealed.applied);
    keys.lock = Some(lock);
    Ok(Some((keys, sealed.records)))
}

/// The key that the passphrase gives for a file of that cost and salt.
///
/// # Errors
/// `Sealed` where there is no passphrase; what it costs to try one is past a limit.
pub(crate) fn lock(
    file: &str,
    cost: [u32; 3],
    salt: [u8; KeyLock::SALT_BYTES],
    passphrase: Option<&Passphrase>,
) -> Result<Arc<KeyLock>> {
    let [memory, passes, lanes] = cost;
    let cost = KeyCost::new(memory, passes, lanes).map_err(|e| {
        let message = format!("{e}: the file {file} was changed. Put it back from its backup");
        Error::new(ErrorKind::Corrupt, message)
    })?;
    let Some(passphrase) = passphrase else {
        let message = format!("the file {file} is sealed under a passphrase, and none was given");
        return Err(Error::new(ErrorKind::Sealed, message));
    };
    passphrase.lock(cost, salt)
}

/// Whether a file that begins with these bytes is sealed.
pub(crate) fn is_sealed(begin: &[u8]) -> bool {
    begin.starts_with(SEALED_MAGIC.as_bytes())
}

pub(crate) fn seal(lock: &KeyLock, generation: u64, place: &[u8], secret: &[u8]) -> Result<String> {
    let mut nonce = [0; 12];
    random::fill(&mut nonce)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(lock.seal(generation, place, nonce, secret)))
}

fn record(scope: &Scope, tree: &KeyTree) -> Text {
    let nodes = tree.nodes().iter().map(|node| {
        let secret = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(node.secret()));
        Zeroizing::new(format!("{}.{}.{}", node.depth, node.index, *secret))
    });
    let name = Zeroizing::new(scope.to_string());
    let fields: Vec<_> = std::iter::once(name).chain(nodes).collect();
    joined(&fields.iter().map(|field| field.as_str()).collect::<Vec<_>>())
}

/// The fields, a TAB behind each.
pub(crate) fn joined(fields: &[&str]) -> Text {
    // All of it at once: growing would leave copies of secrets behind.
    let bytes = fields.iter().map(|field| field.len() + 1).sum();
    let mut text = Zeroizing::new(String::with_capacity(bytes));
    for field in fields {
        text.push_str(field);
        text.push('\t');
    }
    text
}

/// Adds `fields crc LF`.
pub(crate) fn push_line(text: &mut Text, fields: &str) {
    // Reserving first keeps secrets out of freed memory more often than growing by doubling does.
    text.reserve(fields.len() + 9);
    text.push_str(fields);
    text.extend(quipu_format::checksum(fields.as_bytes()).map(char::from));
    text.push('\n');
}

/// What the checksum of a line covers, if that is right.
pub(crate) fn covered(line: &[u8]) -> Option<&str> {
    let (body, crc) = line.split_last_chunk()?;
    if quipu_format::checksum(body) != *crc {
        return None;
    }
    std::str::from_utf8(body).ok()
}

fn parse_secret(text: &str) -> Option<[u8; 32]> {
    let bytes = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?);
    bytes.as_slice().try_into().ok()
}

fn parse_scope(text: &str) -> Option<(Scope, KeyTree)> {
    let mut fields = text.strip_suffix('\t')?.split('\t');
    let scope = Scope::new(fields.next()?).ok()?;
    let nodes = fields.map(|field| {
        let mut parts = field.split('.');
        let (depth, index) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let secret = parse_secret(parts.next()?)?;
        parts.next().is_none().then(|| KeyNode::new(depth, index, secret))
    });
    let nodes: Option<Vec<_>> = nodes.collect();
    Some((scope, KeyTree::from_nodes(nodes?).ok()?))
}
