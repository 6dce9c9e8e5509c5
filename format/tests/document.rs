//! The worked example of `docs/FORMAT.md`, made again from its secrets: document and code cannot drift apart.

use std::fmt::{Display, LowerHex, Write};

use quipu_format::{
    Actor, Body, Checkpoint, Envelope, EventId, Hash, IdempotencyKey, InclusionProof, KeyTree, Kind, Line, RunId,
    Scope, Signer, Source, Timestamp, encode_line, leaf_hash, open, seal,
    tree::{self, Frontier},
};

const DOCUMENT: &str = include_str!("../../docs/FORMAT.md");
const ORIGIN: &str = "example.com/memory";
const FIRST_MS: u64 = 1_771_553_503_123;

/// 32 bytes that count up from `first`.
fn counting(first: u8) -> [u8; 32] {
    std::array::from_fn(|i| first + i as u8)
}

fn hex<T: LowerHex>(bytes: &[T]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn id(seq: u64) -> EventId {
    EventId(ulid::Ulid::from_parts(FIRST_MS + seq, 1_000 + u128::from(seq)))
}

fn signer() -> Signer {
    Signer::new(ORIGIN, counting(0x20)).unwrap()
}

/// The three entries' scopes, root secrets, places in the scope, and bodies.
fn drafts() -> [(Scope, [u8; 32], u32, Body); 3] {
    let acme = Scope::new("customer:acme-inc").unwrap();
    let support = Scope::new("team:support").unwrap();
    let source = Source {
        channel: "telegram".into(),
        conversation_id: Some("c-17".into()),
        message_id: Some("m-4".into()),
        extra: Default::default(),
    };
    let body = |source, payload| Body::new(source, payload).unwrap();
    [
        (
            acme.clone(),
            counting(0),
            0,
            body(Some(source), r#"{"text":"Our plan renews in May."}"#),
        ),
        (
            support,
            counting(0x40),
            0,
            body(None, r#"{"text":"Kim is on call this week."}"#),
        ),
        (
            acme,
            counting(0),
            1,
            body(None, r#"{"text":"The plan of Acme renews in May.","confidence":0.9}"#),
        ),
    ]
}

/// Writes the example, and gives the leaves' hashes.
fn write_entries(out: &mut String) -> Vec<Hash> {
    let mut leaves = Vec::new();
    for (seq, (scope, root, nth, body)) in (0..).zip(drafts()) {
        let secret = KeyTree::new(root).secret(nth).unwrap();
        let plaintext = body.to_bytes().unwrap();
        let (commitment, sealed) = seal(&secret, &scope, nth, &plaintext);
        let actor = Actor::new("agent:teddy").unwrap();
        let mut envelope = Envelope::new(
            seq,
            id(seq),
            Timestamp::from_ms(FIRST_MS + seq),
            actor.clone(),
            Kind::new(if seq == 0 { "message" } else { "memory.write" }).unwrap(),
            scope.clone(),
            nth,
            if nth == 0 { Hash::of_nothing() } else { leaves[0] },
            commitment,
        );
        if seq == 2 {
            envelope.run = Some(RunId(ulid::Ulid::from_parts(FIRST_MS, 999)));
            envelope.evidence = vec![id(0)];
            envelope.key = Some(IdempotencyKey::derive(&counting(0x60), &scope, &actor, "renewal"));
        }
        let bytes = envelope.to_bytes().unwrap();
        let leaf = leaf_hash(&bytes);
        let mut line = Vec::new();
        encode_line(&mut line, &bytes, &sealed, seq.min(1), if seq == 0 { 0 } else { 2 });
        let line = String::from_utf8(line).unwrap();

        let mut field = |name: &str, value: &dyn Display| writeln!(out, "entry {seq} {name}: {value}").unwrap();
        field("salt", &hex(&secret.salt));
        field("key", &hex(&secret.key));
        field("plaintext", &String::from_utf8(plaintext.clone()).unwrap());
        field("commitment", &hex(&commitment.0));
        field("sealed body", &hex(&sealed));
        field("envelope", &String::from_utf8(bytes.clone()).unwrap());
        field("leaf hash", &hex(&leaf.0));
        field("line", &line.trim_end().replace('\t', "<TAB>"));

        let read = Line::parse(line.trim_end().as_bytes()).unwrap();
        assert_eq!(read.envelope, bytes);
        assert_eq!(
            open(&secret, &scope, nth, &commitment, &read.sealed_bytes().unwrap()).unwrap(),
            plaintext
        );
        leaves.push(leaf);
    }
    leaves
}

fn example() -> String {
    let mut out = String::new();
    let leaves = write_entries(&mut out);

    let mut frontier = Frontier::new();
    for leaf in &leaves {
        frontier.push(*leaf);
        writeln!(out, "root of {}: {}", frontier.size(), hex(&frontier.root().0)).unwrap();
    }

    let mut erased = KeyTree::new(counting(0));
    erased.puncture(0..=0).unwrap();
    let nodes = erased.nodes();
    writeln!(out, "nodes after erasing entry 0 of the scope: {}", nodes.len()).unwrap();
    for node in [&nodes[0], &nodes[1], &nodes[31]] {
        writeln!(
            out,
            "node of depth {}, index {}: {}",
            node.depth,
            node.index,
            hex(node.secret())
        )
        .unwrap();
    }

    writeln!(out, "signer: {}", *signer().to_text()).unwrap();
    writeln!(out, "verifier key: {}", signer().verifier_key()).unwrap();
    let checkpoint = Checkpoint {
        origin: ORIGIN.into(),
        size: 3,
        root: frontier.root(),
    }
    .sign(&signer());
    let proof = InclusionProof {
        index: 2,
        extra: None,
        hashes: vec![tree::node_hash(&leaves[0], &leaves[1])],
        checkpoint: checkpoint.clone(),
    };
    proof.verify(&leaves[2], &signer().verifier_key()).unwrap();
    writeln!(
        out,
        "\ncheckpoint\n----------\n{checkpoint}\nproof of entry 2\n----------------\n{proof}"
    )
    .unwrap();
    out.truncate(out.trim_end().len());
    out
}

#[test]
fn the_example_is_what_the_code_does() {
    let example = example();
    assert!(
        DOCUMENT.contains(&format!("```text\n{example}\n```\n")),
        "docs/FORMAT.md should have:\n\n{example}\n"
    );
}
