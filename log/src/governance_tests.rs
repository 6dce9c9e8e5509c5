use proptest::prelude::*;
use quipu_format::{ActId, Actor, Cause, EventId, Hash, Held, Policy, Quota, Request, Signer, Subject, Timestamp};
use serde_json::{Value, json};
use ulid::Ulid;

use super::*;

fn act(member: &str, value: Value) -> Act {
    let kim = Signer::new("operator:kim", [9; 32]).unwrap();
    Act::sign("example.com/memory", ActId([7; 16]), 1, member, &value, &kim).unwrap()
}

fn entry(act: &Act, seq: u64) -> Envelope {
    let nothing = Hash::of_nothing();
    let id = EventId(Ulid::from_parts(seq, 1));
    let (kind, scope) = (act.kind().unwrap(), Scope::ledger());
    let operator = act.operator.clone();
    Envelope::new(
        seq,
        id,
        Timestamp::from_ms(seq),
        operator,
        kind,
        scope,
        seq as u32,
        nothing,
        nothing,
    )
}

impl Governance {
    fn does(&mut self, seq: u64, member: &str, value: Value) -> Result<()> {
        let act = act(member, value);
        let order = self.check(&act)?;
        self.take(order, &entry(&act, seq));
        Ok(())
    }
}

fn erase(ranges: &[[u32; 2]], request: Option<&str>) -> Value {
    let erasure = Erasure {
        cause: Cause::Redact,
        ranges: ranges.to_vec(),
        request: request.map(|id| RequestId::new(id).unwrap()),
        scope: Scope::new("a").unwrap(),
    };
    json!(erasure)
}

#[test]
fn a_hold_keeps_until_it_is_released_and_is_named() {
    let mut state = Governance::default();
    let hold = json!({"id": "h-1", "over": [{"scope": "a", "ranges": [[2, 4], [8, 8]]}]});
    state.does(1, "hold", hold.clone()).unwrap();
    state.does(2, "erase", erase(&[[0, 1], [9, 9]], None)).unwrap();
    let refused = state.does(2, "erase", erase(&[[0, 3]], None)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Held);
    assert!(
        refused.to_string().contains("h-1") && refused.to_string().contains("2 to 3"),
        "{refused}"
    );
    let again = state.does(2, "hold", hold.clone()).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    state.does(3, "release", json!({"hold": "h-1"})).unwrap();
    state.does(4, "erase", erase(&[[0, 3]], None)).unwrap();
    assert_eq!(
        state.does(5, "release", json!({"hold": "h-1"})).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(state.does(5, "hold", hold).unwrap_err().kind(), ErrorKind::Conflict);
    let held = state.holds().next().unwrap();
    assert_eq!((held.since.seq, held.released.as_ref().unwrap().seq), (1, 3));
}

#[test]
fn an_erasure_names_only_a_request_that_is_open() {
    let mut state = Governance::default();
    let erasure = erase(&[[0, 0]], Some("dsr-1"));
    assert_eq!(
        state.does(1, "erase", erasure.clone()).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let open = json!({"open": {
        "deadline": "2026-12-01T00:00:00.000Z", "id": "dsr-1", "scopes": ["a"], "subject": "person:1",
    }});
    state.does(1, "request", open.clone()).unwrap();
    state.does(2, "erase", erasure.clone()).unwrap();
    assert_eq!(state.does(3, "request", open).unwrap_err().kind(), ErrorKind::Conflict);
    let close = json!({"close": {"id": "dsr-1", "outcome": "completed"}});
    state.does(3, "request", close.clone()).unwrap();
    assert_eq!(state.does(4, "erase", erasure).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(state.does(4, "request", close).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn of_several_policies_the_closest_holds() {
    let mut state = Governance::default();
    for (seq, of) in [(1, "*"), (2, "customer:*"), (3, "customer:acme"), (4, "customer:a*")] {
        state
            .does(seq, "retention", json!({"set": {"of": of, "keepDays": seq}}))
            .unwrap();
    }
    let keep = |state: &Governance, scope: &str| {
        state
            .policy_for(&Scope::new(scope).unwrap())
            .and_then(|state| state.policy.keep_days)
    };
    assert_eq!(keep(&state, "customer:acme"), Some(3));
    assert_eq!(keep(&state, "customer:acme-inc"), Some(4));
    assert_eq!(keep(&state, "customer:b"), Some(2));
    assert_eq!(keep(&state, "team:b"), Some(1));
    assert_eq!(keep(&state, "quipu:ledger"), None);
    state.does(5, "retention", json!({"remove": "customer:acme"})).unwrap();
    assert_eq!(keep(&state, "customer:acme"), Some(4));
    let none = state
        .does(6, "retention", json!({"remove": "customer:acme"}))
        .unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
}

#[test]
fn past_the_limit_no_further_one_is_taken() {
    let mut full = Governance::default();
    let by = Ordered {
        id: EventId(Ulid::nil()),
        operator: Actor::new("operator:kim").unwrap(),
        seq: 1,
        ts: Timestamp::FIRST,
    };
    for i in 0..limits::GOVERNED {
        let name = format!("n-{i}");
        let scope = Scope::new(&name).unwrap();
        let held = Held {
            ranges: None,
            scope: scope.clone(),
        };
        let hold = Hold {
            id: HoldId::new(&name).unwrap(),
            over: vec![held],
        };
        full.take(Order::Hold(hold), &entry(&act("hold", json!({})), 1));
        let policy = Policy {
            erase_after_days: None,
            erase_expired: false,
            keep_days: Some(1),
            of: name.parse().unwrap(),
        };
        full.take(
            Order::Retention(RetentionChange::Set(policy)),
            &entry(&act("retention", json!({})), 1),
        );
        let quota = Quota {
            bytes: None,
            entries: Some(1),
            of: name.parse().unwrap(),
        };
        full.take(
            Order::Quota(QuotaChange::Set(quota)),
            &entry(&act("quota", json!({})), 1),
        );
        let request = Request {
            deadline: by.ts,
            id: RequestId::new(&name).unwrap(),
            scopes: vec![scope],
            subject: Subject::new("p").unwrap(),
        };
        full.take(Order::Open(request), &entry(&act("request", json!({})), 1));
    }
    let more: [(&str, Value, &str, Value); 4] = [
        (
            "hold",
            json!({"id": "more", "over": [{"scope": "a"}]}),
            "release",
            json!({"hold": "n-1"}),
        ),
        (
            "retention",
            json!({"set": {"of": "more", "keepDays": 1}}),
            "retention",
            json!({"remove": "n-1"}),
        ),
        (
            "quota",
            json!({"set": {"of": "more", "entries": 1}}),
            "quota",
            json!({"remove": "n-1"}),
        ),
        (
            "request",
            json!({"open": {"deadline": by.ts, "id": "more", "scopes": ["a"], "subject": "p"}}),
            "request",
            json!({"close": {"id": "n-1", "outcome": "refused"}}),
        ),
    ];
    for (member, value, undo, undone) in more {
        assert_eq!(
            full.does(2, member, value.clone()).unwrap_err().kind(),
            ErrorKind::TooLarge,
            "{member}"
        );
        full.does(2, undo, undone).unwrap();
        full.does(3, member, value).unwrap();
    }
}

/// What is ordered, as a list from which every answer is worked out anew.
#[derive(Debug, Clone)]
enum Said {
    Hold(u8),
    Release(u8),
    Set(u8, u32),
    Remove(u8),
    SetQuota(u8, u32),
    RemoveQuota(u8),
    Open(u8),
    Close(u8),
}

impl Said {
    fn act(&self) -> (&'static str, Value) {
        match self {
            Self::Hold(n) => ("hold", json!({"id": format!("h{n}"), "over": [{"scope": "a"}]})),
            Self::Release(n) => ("release", json!({"hold": format!("h{n}")})),
            Self::Set(n, days) => ("retention", json!({"set": {"of": format!("s{n}"), "keepDays": days}})),
            Self::Remove(n) => ("retention", json!({"remove": format!("s{n}")})),
            Self::SetQuota(n, entries) => ("quota", json!({"set": {"of": format!("s{n}"), "entries": entries}})),
            Self::RemoveQuota(n) => ("quota", json!({"remove": format!("s{n}")})),
            Self::Open(n) => (
                "request",
                json!({"open": {
                    "deadline": Timestamp::FIRST, "id": format!("r{n}"), "scopes": ["a"], "subject": "p",
                }}),
            ),
            Self::Close(n) => (
                "request",
                json!({"close": {"id": format!("r{n}"), "outcome": "completed"}}),
            ),
        }
    }

    /// Whether it can be done after these.
    fn follows(&self, before: &[Self]) -> bool {
        let held = |n| before.iter().any(|said| matches!(said, Self::Hold(m) if *m == n));
        let open = |n| before.iter().any(|said| matches!(said, Self::Open(m) if *m == n));
        match *self {
            Self::Hold(n) => !held(n),
            Self::Release(n) => held(n) && !before.iter().any(|said| matches!(said, Self::Release(m) if *m == n)),
            Self::Set(..) | Self::SetQuota(..) => true,
            Self::RemoveQuota(n) => before
                .iter()
                .rfind(|said| matches!(said, Self::SetQuota(m, _) | Self::RemoveQuota(m) if *m == n))
                .is_some_and(|said| matches!(said, Self::SetQuota(..))),
            Self::Remove(n) => before
                .iter()
                .rfind(|said| matches!(said, Self::Set(m, _) | Self::Remove(m) if *m == n))
                .is_some_and(|said| matches!(said, Self::Set(..))),
            Self::Open(n) => !open(n),
            Self::Close(n) => open(n) && !before.iter().any(|said| matches!(said, Self::Close(m) if *m == n)),
        }
    }
}

fn said() -> impl Strategy<Value = Said> {
    let n = 0..3_u8;
    prop_oneof![
        n.clone().prop_map(Said::Hold),
        n.clone().prop_map(Said::Release),
        (n.clone(), 1..9_u32).prop_map(|(n, days)| Said::Set(n, days)),
        n.clone().prop_map(Said::Remove),
        (n.clone(), 1..9_u32).prop_map(|(n, entries)| Said::SetQuota(n, entries)),
        n.clone().prop_map(Said::RemoveQuota),
        n.clone().prop_map(Said::Open),
        n.prop_map(Said::Close),
    ]
}

proptest! {
    /// The state is a function of the acts that count, in the order of the log; what is refused changes nothing.
    #[test]
    fn the_state_is_a_fold_of_what_counts(all in proptest::collection::vec(said(), 0..40)) {
        let (mut state, mut counts) = (Governance::default(), Vec::new());
        for said in all {
            let before = state.clone();
            let (member, value) = said.act();
            let done = state.does(counts.len() as u64, member, value);
            prop_assert_eq!(done.is_ok(), said.follows(&counts), "{:?} after {:?}", said, counts);
            match done {
                Ok(()) => counts.push(said),
                Err(_) => prop_assert_eq!(&before, &state),
            }
        }
        let mut again = Governance::default();
        for (seq, said) in counts.iter().enumerate() {
            let (member, value) = said.act();
            again.does(seq as u64, member, value).unwrap();
        }
        prop_assert_eq!(&again, &state);
        for n in 0..3 {
            let id = HoldId::new(&format!("h{n}")).unwrap();
            let last = counts.iter().rfind(|said| matches!(said, Said::Hold(m) | Said::Release(m) if *m == n));
            let in_force = state.holds.get(&id).is_some_and(|state| state.released.is_none());
            prop_assert_eq!(in_force, matches!(last, Some(Said::Hold(_))));
            let last = counts.iter().rfind(|said| matches!(said, Said::Set(m, _) | Said::Remove(m) if *m == n));
            let days = match last { Some(Said::Set(_, days)) => Some(*days), _ => None };
            let policy = state.policies.get(&format!("s{n}").parse::<ScopePattern>().unwrap());
            prop_assert_eq!(policy.and_then(|state| state.policy.keep_days), days);
            let last = counts.iter().rfind(|said| matches!(said, Said::SetQuota(m, _) | Said::RemoveQuota(m) if *m == n));
            let entries = match last { Some(Said::SetQuota(_, entries)) => Some(*entries), _ => None };
            let quota = state.quota_for(&Scope::new(&format!("s{n}")).unwrap());
            prop_assert_eq!(quota.and_then(|state| state.quota.entries), entries);
        }
    }
}

#[test]
fn an_agent_is_approved_until_it_is_withdrawn_or_another_takes_its_name() {
    let grant = json!({
        "actor": "agent:a", "append": [], "home": "a", "kinds": [], "limits": quipu_format::Limits::default(), "read": ["b:*"], "secrets": "refuse",
        "supersedeOthers": false,
    });
    let approve =
        |digest: &str, name: &str| json!({"approve": {"component": digest.repeat(32), "grant": grant, "name": name}});
    let name: AgentName = "support".parse().unwrap();
    let mut state = Governance::default();
    state.does(1, "agent", approve("01", "support")).unwrap();
    state.does(2, "agent", approve("02", "support")).unwrap();
    let approved = state.agent(&name).unwrap();
    assert_eq!((approved.approval.component.0[0], approved.since.seq), (2, 2));
    assert_eq!(approved.since.operator.as_str(), "operator:kim");
    state.does(3, "agent", json!({"withdraw": "support"})).unwrap();
    assert_eq!(state.agents().count(), 0);
    let again = state.does(4, "agent", json!({"withdraw": "support"})).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
    for bad in [json!({"approve": {}}), json!({"withdraw": "a.wasm"}), json!("support")] {
        assert!(state.does(5, "agent", bad).is_err());
    }

    for n in 0..limits::GOVERNED {
        state.does(6, "agent", approve("01", &format!("n{n}"))).unwrap();
    }
    let full = state.does(7, "agent", approve("01", "one-more")).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::TooLarge);
    state.does(8, "agent", approve("02", "n0")).unwrap();
}
