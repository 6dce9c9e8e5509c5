//! An envelope's bytes are what its `Serialize` says, whatever it holds.

use proptest::{collection::vec, option, prelude::*};
use quipu_format::{Actor, Envelope, EventId, Hash, IdempotencyKey, Kind, RunId, Scope, Timestamp, limits};
use ulid::Ulid;

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,127}"
}

fn ids() -> impl Strategy<Value = Vec<EventId>> {
    vec(any::<u128>().prop_map(|id| EventId(Ulid(id))), 0..4)
}

prop_compose! {
    fn envelope()(
        seq in prop_oneof![0..=limits::LAST_SEQ, 0..20_u64],
        (id, ms, nth) in (any::<u128>(), any::<u64>(), any::<u32>()),
        (actor, kind, scope) in (name(), name(), name()),
        (prev, body) in (any::<[u8; 32]>(), any::<[u8; 32]>()),
        run in option::of(any::<u128>()),
        (evidence, supersedes) in (ids(), ids()),
        key in option::of(any::<[u8; 16]>()),
        sys in option::of(any::<String>()),
    ) -> Envelope {
        let (actor, kind, scope) = (Actor::new(&actor), Kind::new(&kind), Scope::new(&scope));
        let mut envelope = Envelope::new(
            seq,
            EventId(Ulid(id)),
            Timestamp::from_ms(ms % 300_000_000_000_000),
            actor.unwrap(),
            kind.unwrap(),
            scope.unwrap(),
            nth,
            Hash(prev),
            Hash(body),
        );
        envelope.run = run.map(|id| RunId(Ulid(id)));
        envelope.evidence = evidence;
        envelope.supersedes = supersedes;
        envelope.key = key.map(IdempotencyKey);
        envelope.sys = sys.map(|text| serde_json::json!({"said": [text, -1.5, null]}));
        envelope
    }
}

proptest! {
    #[test]
    fn the_bytes_are_those_of_serialize(envelope in envelope()) {
        let bytes = envelope.to_bytes().unwrap();
        prop_assert_eq!(String::from_utf8(bytes.clone()).unwrap(), serde_json::to_string(&envelope).unwrap());
        prop_assert_eq!(Envelope::parse(&bytes).unwrap(), envelope);
    }
}
