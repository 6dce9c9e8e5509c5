//! Entries that somebody writes into a ledger's files who cannot append them.

#![allow(unreachable_pub, reason = "shared by test binaries")]

use std::{fs, os::unix::fs::FileExt, path::Path};

use quipu_format::{Actor, Envelope, EventId, Hash, KeyNode, KeyTree, Kind, Scope, encode_line, leaf_hash, seal};
use quipu_log::Ledger;
use serde_json::{Value, json};

/// Writes an erasure of a stretch of a scope behind the last line of a closed ledger, and an entry behind it, which shows
/// readers that it is durable. `sys` makes its `sys` from its position and what it erases. Returns its position.
pub fn forge_erasure(ledger: &Path, scope: &str, range: [u32; 2], sys: impl FnOnce(u64, Value) -> Value) -> u64 {
    let reader = Ledger::open_read_only(ledger).unwrap();
    let scope = Scope::new(scope).unwrap();
    let head = reader.scopes().into_iter().find(|head| head.scope == scope).unwrap();
    let seq = reader.head();
    let last = reader.envelope(seq - 1).unwrap().unwrap();
    let keys = key_tree(&fs::read_to_string(ledger.join("keys")).unwrap(), scope.as_str());
    let (mut id, mut prev, mut lines) = (last.id.0, head.last, Vec::new());
    let sys = sys(seq, json!({"cause": "redact", "ranges": [range], "scope": scope}));
    for (at, kind, sys) in [(0, "quipu.erase", Some(sys)), (1, "memory.write", None)] {
        let nth = head.count + at;
        let secret = keys.secret(nth).unwrap();
        let (body, sealed) = seal(&secret, &scope, nth, br#"{"payload":{"text":"because"}}"#);
        id = id.increment().unwrap();
        let (actor, kind) = (Actor::new("operator:kim").unwrap(), Kind::new(kind).unwrap());
        let seq = seq + u64::from(at);
        let mut envelope = Envelope::new(seq, EventId(id), last.ts, actor, kind, scope.clone(), nth, prev, body);
        envelope.sys = sys;
        let envelope = envelope.to_bytes().unwrap();
        prev = leaf_hash(&envelope);
        encode_line(&mut lines, &envelope, &sealed, seq, seq);
    }
    let segment = fs::read_dir(ledger.join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let segment = segment
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .max()
        .unwrap();
    let end = fs::read(&segment)
        .unwrap()
        .iter()
        .rposition(|&byte| byte != b'\n')
        .unwrap()
        + 2;
    let file = fs::File::options().write(true).open(&segment).unwrap();
    file.write_all_at(&lines, end as u64).unwrap();
    seq
}

/// The key tree of a scope, from the text of a key file.
pub fn key_tree(keys: &str, scope: &str) -> KeyTree {
    let begins = format!("{scope}\t");
    let line = keys.lines().find(|line| line.starts_with(&begins)).unwrap();
    let nodes = line.split('\t').skip(1).filter(|field| field.contains('.'));
    let node = |text: &str| {
        let [depth, index, secret] = text.split('.').collect::<Vec<_>>()[..] else {
            panic!("{text} is no node");
        };
        let secret = secret.parse::<Hash>().unwrap().0;
        KeyNode::new(depth.parse().unwrap(), index.parse().unwrap(), secret)
    };
    KeyTree::from_nodes(nodes.map(node).collect()).unwrap()
}
