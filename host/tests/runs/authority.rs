//! What a guest can do follows from its type and its grant.

use quipu_host::{AgentComponent, ErrorKind, Outcome, QuipuCtx, QuipuCtxView, add_observer_to_linker, add_to_linker};
use serde_json::json;
use wasmtime::{
    Engine,
    component::{Component, Linker, ResourceTable},
};

use crate::guests::{House, answer, call, grant, guest, payload, refused, scope};

#[test]
fn the_support_agent_imports_memory_and_nothing_else() {
    let agent = AgentComponent::new(&guest("support")).unwrap();
    assert_eq!(agent.foreign_imports(), [""; 0]);
    assert_eq!(agent.world(), "agent");
    for import in agent.imports() {
        assert!(
            import.starts_with("quipu:memory/") || import == "reader" || import == "run-info",
            "{import}"
        );
    }
}

#[test]
fn an_invented_import_is_refused_by_name() {
    let admin = AgentComponent::new(&guest("admin")).unwrap();
    assert_eq!(admin.foreign_imports(), ["quipu:memory/admin@0.1.0"]);
    let error = House::new().runtime.load(&guest("admin")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Component);
    assert!(
        error.to_string().ends_with("it imports quipu:memory/admin@0.1.0"),
        "{error}"
    );
}

#[test]
fn a_linker_for_observers_offers_no_append() {
    struct Data(QuipuCtx, ResourceTable);
    fn view(data: &mut Data) -> QuipuCtxView<'_> {
        QuipuCtxView {
            ctx: &mut data.0,
            table: &mut data.1,
        }
    }
    let engine = Engine::new(&quipu_host::config()).unwrap();
    let compile = |name| Component::new(&engine, AgentComponent::new(&guest(name)).unwrap().bytes()).unwrap();
    let (observer, smuggler) = (compile("observer"), compile("smuggler"));

    let mut linker = Linker::new(&engine);
    add_observer_to_linker(&mut linker, view).unwrap();
    linker.instantiate_pre(&observer).unwrap();
    let error = linker.instantiate_pre(&smuggler).err().unwrap();
    assert!(format!("{error:#}").contains("quipu:memory/append"), "{error:#}");

    let mut linker = Linker::new(&engine);
    add_to_linker(&mut linker, view).unwrap();
    linker.instantiate_pre(&smuggler).unwrap();
}

#[tokio::test]
async fn actor_time_and_scope_are_the_hosts_whatever_a_guest_writes() {
    let house = House::new();
    let report = house.run("forger", &grant(), "").await;
    let calls = answer(&report);
    let start = &house.events_of(report.run)[0].envelope;
    for name in [
        "stamps in the payload",
        "stamps in the source",
        "a line break in the payload",
    ] {
        let seq = call(&calls, name)["ok"]["seq"].as_u64().unwrap();
        let event = house.ledger.reader().event(seq).unwrap().unwrap();
        assert_eq!(event.envelope.seq, seq);
        assert_eq!(event.envelope.actor.as_str(), "agent:test");
        assert_eq!(event.envelope.scope, scope("home"));
        assert_eq!(event.envelope.run, Some(report.run));
        assert_eq!(event.envelope.kind.as_str(), "memory.write");
        assert!(event.envelope.ts >= start.ts && event.envelope.id > start.id);
        assert!(event.envelope.key.is_none() && event.envelope.sys.is_none());
    }
}

#[tokio::test]
async fn a_scope_that_is_not_granted_and_one_that_does_not_exist_are_denied_in_the_same_words() {
    let house = House::new();
    let secret = house.seed("customer:secret", "user:ann", r#"{"text":"the plan"}"#);
    let input = json!({"scope": "customer:secret", "evidence": secret.id}).to_string();
    let report = house.run("forger", &grant(), &input).await;
    let calls = answer(&report);
    let denied = call(&calls, "a scope that is not granted");
    assert_eq!(denied["refused"], "denied");
    for name in ["a scope that does not exist", "the ledger's own scope"] {
        assert_eq!(call(&calls, name)["refused"], "denied");
        assert_eq!(call(&calls, name)["message"], denied["message"], "{name}");
    }
}

#[tokio::test]
async fn an_event_in_a_scope_that_is_not_granted_looks_like_none() {
    let house = House::new();
    let secret = house.seed("customer:secret", "user:ann", r#"{"text":"the plan"}"#);
    let input = json!({"evidence": secret.id}).to_string();
    let calls = answer(&house.run("forger", &grant(), &input).await);
    let unknown = call(&calls, "evidence that does not exist");
    assert_eq!(unknown["refused"], "not-found");
    for name in [
        "evidence that is not granted",
        "superseding what is not granted",
        "superseding what does not exist",
        "reading what is not granted",
    ] {
        assert_eq!(call(&calls, name)["refused"], "not-found", "{name}");
        assert_eq!(call(&calls, name)["message"], unknown["message"], "{name}");
    }

    // The same event is evidence like any other once its scope is granted.
    let mut wider = grant();
    wider.read.push(scope("customer:secret"));
    wider.supersede_others = true;
    let calls = answer(&house.run("forger", &wider, &input).await);
    assert!(call(&calls, "evidence that is not granted")["ok"].is_object());
    assert!(call(&calls, "superseding what is not granted")["ok"].is_object());
}

#[tokio::test]
async fn the_hosts_kinds_and_unknown_kinds_are_denied() {
    let house = House::new();
    let report = house.run("forger", &grant(), "").await;
    let calls = answer(&report);
    let mut denied = 0;
    for call in calls.as_array().unwrap() {
        if call["call"].as_str().unwrap().starts_with("kind ") {
            assert_eq!(call["refused"], "denied", "{call}");
            denied += 1;
        }
    }
    assert_eq!(denied, 10);
    let forged = house
        .events_of(report.run)
        .into_iter()
        .filter(|event| event.payload().unwrap().contains("forged"));
    assert_eq!(
        forged
            .filter(|event| !event.envelope.kind.as_str().starts_with("quipu.run"))
            .count(),
        0
    );
}

#[tokio::test]
async fn another_actors_entry_is_superseded_with_the_grants_flag_alone() {
    let house = House::new();
    let told = house.seed("home", "user:ann", r#"{"text":"invoices as PDF"}"#);
    let attempt = "superseding another actor's entry";
    let calls = answer(&house.run("forger", &grant(), "").await);
    assert_eq!(refused(&calls, attempt), "denied");

    let mut flagged = grant();
    flagged.supersede_others = true;
    let report = house.run("forger", &flagged, "").await;
    assert_eq!(call(&answer(&report), attempt)["ok"]["supersedes"], json!([told.id]));
}

#[tokio::test]
async fn a_granted_append_scope_is_written_and_not_read() {
    let house = House::new();
    let mut wider = grant();
    wider.append.push(scope("customer:other"));
    let input = json!({"scope": "customer:other"}).to_string();
    let report = house.run("forger", &wider, &input).await;
    let calls = answer(&report);
    // It was appended; the guest's own handle, on its home, does not find it.
    assert_eq!(refused(&calls, "a scope that is not granted"), "not-found");
    let there: Vec<_> = house
        .events()
        .into_iter()
        .filter(|e| e.envelope.scope == scope("customer:other"))
        .collect();
    assert_eq!(there.len(), 1);
    assert_eq!(payload(&there[0])["text"], "invoices go to another account");
}

#[tokio::test]
async fn the_hosts_own_entries_are_not_shown_to_guests() {
    let house = House::new();
    house.run("echo", &grant(), "first").await;
    let second = answer(&house.run("echo", &grant(), "second").await);
    let texts: Vec<_> = second["scopes"][0]["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["payload"])
        .collect();
    assert_eq!(texts, [r#"{"text":"first"}"#, r#"{"text":"second"}"#]);

    // Not even by name, as evidence or in a page of one from the newest.
    let start = house
        .events()
        .into_iter()
        .find(|e| e.envelope.kind.as_str() == "quipu.run")
        .unwrap();
    let input = json!({ "evidence": start.envelope.id }).to_string();
    let calls = answer(&house.run("forger", &grant(), &input).await);
    assert_eq!(refused(&calls, "evidence that is not granted"), "not-found");
    assert_eq!(refused(&calls, "reading what is not granted"), "not-found");
}

#[tokio::test]
async fn a_grant_of_what_is_the_hosts_is_refused() {
    let house = House::new();
    let agent = house.runtime.load(&guest("echo")).unwrap();
    let mut grant = grant();
    grant.read.push(scope("quipu:ledger"));
    let error = house.runtime.run(&agent, &grant, "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Grant);
}

#[tokio::test]
async fn handles_that_were_given_back_or_never_given_end_the_run() {
    let house = House::new();
    for input in ["stale", "guess"] {
        let report = house.run("hoarder", &grant(), input).await;
        let Outcome::Trapped(message) = &report.outcome else {
            panic!("{input}: {:?}", report.outcome)
        };
        assert!(message.contains("handle"), "{message}");
    }
}

#[test]
fn a_damaged_component_is_refused_or_imports_what_it_says_and_nothing_panics() {
    let whole = guest("spin");
    let (mut refused, mut read) = (0, 0);
    for (n, at) in (0..whole.len()).step_by(5).enumerate() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (n % 8);
        match AgentComponent::new(&damaged) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Component);
                refused += 1;
            }
            Ok(component) => {
                assert_eq!(component.bytes(), damaged);
                read += 1;
            }
        }
    }
    assert!(refused > 100 && read > 100, "{refused} refused, {read} read");
    for end in (0..whole.len()).step_by(97) {
        assert!(AgentComponent::new(&whole[..end]).is_err());
    }
}
