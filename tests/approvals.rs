//! Which agents run by name: those whose component and grant an operator has approved.

mod driver;

use driver::{
    Ledger, guest,
    named::{NAMED, Named},
    quipu, run,
};
use quipu_format::{ActId, Actor, Body, Kind, Limits, Scope, Signer};
use quipu_log::{Draft, ErrorKind, OpenOptions, SignedAct};
use serde_json::{Value, json};

#[test]
fn nothing_runs_by_name_before_an_operator_has_approved_it() {
    let named = Named::new("echo", "");
    let before = named.0.ledger.log(&[]);
    named.run().exits(1).tells(&[
        "agent support is not run: it was never approved",
        "`quipu agent approve support`",
    ]);
    let asked = named.0.kim(&["agent", "approve", "support"]).exits(1);
    assert!(
        asked.err.contains("nothing was approved") && asked.err.contains("--yes"),
        "{}",
        asked.err
    );
    for part in [
        "Can read the scopes that it is handed and append.",
        "What it can call",
        "is stamped as agent:support",
    ] {
        assert!(asked.out.contains(part), "{part} is not in {}", asked.out);
    }
    assert_eq!(named.0.ledger.log(&[]), before);

    let approved = named.approve().good();
    assert!(approved.out.contains("support is approved"), "{}", approved.out);
    named.run().good();
    let [approval] = &named.approvals()[..] else {
        panic!("one approval")
    };
    assert_eq!(
        (&approval["actor"], &approval["scope"]),
        (&json!("operator:kim"), &json!("quipu:ledger"))
    );
    let run = named.recorded();
    assert_eq!(
        (&run["grant"]["agent"], &run["grant"]["approval"]),
        (&json!("support"), &approval["id"])
    );
    assert_eq!(
        (&run["grant"]["secrets"], &run["limits"]["deadlineMs"]),
        (&json!("refuse"), &json!(30_000))
    );
    let again = named.approve().good();
    assert!(again.out.contains("approved already"), "{}", again.out);
    assert_eq!(named.approvals().len(), 1);
    named.0.ledger.verify().good();
}

#[test]
fn another_component_is_not_run_until_what_differs_was_approved() {
    let named = Named::new("observer", "");
    named.approve().good();
    named.component("echo");
    let refused = named.run().exits(1);
    assert!(
        refused.err.contains("its component has the SHA-256") && refused.err.contains("`quipu agent approve support`"),
        "{}",
        refused.err
    );
    assert_eq!(named.0.ledger.log(&["--kind", "quipu.run"]).len(), 0);
    let shown = named.approve().good().out;
    assert!(shown.contains("Beside what was approved 2"), "{shown}");
    assert!(shown.contains("wider: quipu:memory/append#append (appends)"), "{shown}");
    assert!(
        shown.contains("Beside the grant that was approved\n  the same"),
        "{shown}"
    );
    assert!(!shown.contains("What it can call"), "the difference is enough: {shown}");
    named.run().good();
    // Back to what was approved before is a change too.
    named.component("observer");
    named.run().exits(1);
}

#[test]
fn a_component_that_wants_more_than_memory_cannot_be_approved() {
    let named = Named::new("admin", "");
    named.approve().exits(1).tells(&["quipu:memory/admin"]);
    assert!(named.approvals().is_empty());
}

#[test]
fn a_wider_grant_is_not_run_until_it_was_approved_and_a_narrower_one_is() {
    let named = Named::new("echo", "read = [\"customer:*\"]\n");
    named.approve().good();
    named.says("read = [\"customer:*\", \"policy:billing\"]\nlimits.appends = 20000\n");
    named.run().exits(1).tells(&[
        "its grant is wider",
        "reads policy:billing",
        "appends up to 20000, beyond 10000",
        "`quipu agent approve support`",
    ]);
    let shown = named.approve().good().out;
    assert!(
        shown.contains("the same bytes") && shown.contains("wider: reads policy:billing"),
        "{shown}"
    );
    named.run().good();
    assert_eq!(named.recorded()["limits"]["appends"], 20_000);
    named.says("read = [\"customer:acme-inc\"]\nlimits.appends = 5\n");
    named.run().good();
    let run = named.recorded();
    assert_eq!(
        (&run["grant"]["read"], &run["limits"]["appends"]),
        (&json!(["customer:acme-inc"]), &json!(5))
    );
}

/// One that an operator could sign.
fn approval() -> Value {
    json!({"approve": {"component": "0a".repeat(32), "name": "support", "grant": {
        "actor": "agent:support", "append": [], "home": "home", "kinds": [], "limits": Limits::default(), "read": [],
        "secrets": "refuse", "supersedeOthers": false,
    }}})
}

#[test]
fn an_approval_that_leaves_a_limit_out_is_refused() {
    let named = Named::new("echo", "");
    let open = quipu_log::Ledger::open(&named.0.ledger.path(), OpenOptions::default()).unwrap();
    let kim = Signer::new("operator:kim", [9; 32]).unwrap();
    let act = |approval: &Value| SignedAct::sign(open.reader().origin(), 1, "agent", approval, &kim).unwrap();
    let mut partial = approval();
    partial["approve"]["grant"]["limits"]
        .as_object_mut()
        .unwrap()
        .remove("appends");
    let refused = open.act_blocking(vec![act(&partial)]).unwrap_err();
    assert!(
        refused.to_string().contains("the limit appends is missing"),
        "{refused}"
    );
    open.act_blocking(vec![act(&approval())]).unwrap();
    open.close().unwrap();
    assert_eq!(named.approvals().len(), 1);
}

#[test]
fn wasi_is_granted_by_approval_alone_and_recorded() {
    let named = Named::new("echo", "");
    named.approve().good();
    named.run().good();
    assert!(named.recorded()["grant"].get("wasi").is_none());
    // Nothing that imports WASI is approved without it.
    let clock = r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance))
        (core module $m (func (export "handle"))) (core instance $i (instantiate $m))
        (func (export "handle") (canon lift (core func $i "handle"))))"#;
    named
        .0
        .ledger
        .file("agents/support.wasm", wat::parse_str(clock).unwrap());
    named
        .approve()
        .exits(1)
        .tells(&["wasi:clocks/wall-clock@0.2.0", "wasi = true"]);
    named.says("wasi = true\n");
    let shown = named.0.kim(&["agent", "approve", "support"]).exits(1).out;
    assert!(shown.contains("wider: has a WASI with nothing behind it"), "{shown}");
    named.component("echo");
    named
        .run()
        .exits(1)
        .tells(&["its grant is wider", "has a WASI with nothing behind it"]);
    named.approve().good();
    named.run().good();
    assert_eq!(named.recorded()["grant"]["wasi"], json!(true));
    let agents = named.0.ledger.run(["agents"]).good().out;
    assert!(agents.contains("support has a WASI with nothing behind it"), "{agents}");
    // Without it again is narrower, and needs no approval.
    named.says("");
    named.run().good();
    assert!(named.recorded()["grant"].get("wasi").is_none());
}

/// A component that would take seconds to compile is told off at once, and leaves no code behind.
#[test]
fn nothing_that_nobody_approved_is_compiled() {
    let named = Named::new("spin", "");
    let own = named.0.ledger.beside("own");
    let run_it = || {
        let mut command = named.0.ledger.command(["run", "support", "x"]);
        command.env("XDG_CACHE_HOME", own.join("cache"));
        run(command.env("XDG_STATE_HOME", own.join("state")))
    };
    run_it().exits(1).tells(&["never approved"]);
    assert!(!own.exists(), "it was compiled");
    named.component("echo");
    named.approve().good();
    run_it().good();
    assert_eq!(std::fs::read_dir(own.join("cache/quipu/code")).unwrap().count(), 1);
}

#[test]
fn only_an_enrolled_operators_signature_approves() {
    let named = Named::new("forger", "");
    let ledger = &named.0.ledger;
    let approval = approval();
    // Through the command, as an agent's host, and signed by somebody who is no operator.
    let forged = [
        "append",
        "--scope",
        "quipu:ledger",
        "--actor",
        "agent:a",
        "--kind",
        "quipu.agent",
        "--payload",
        "{}",
    ];
    ledger.run(forged).exits(2);
    let elsewhere = [
        "append",
        "--scope",
        "home",
        "--actor",
        "operator:kim",
        "--kind",
        "quipu.agent",
        "--payload",
        "{}",
    ];
    ledger.run(elsewhere).exits(2);
    let open = quipu_log::Ledger::open(&ledger.path(), OpenOptions::default()).unwrap();
    for actor in ["host:quipu", "operator:kim", "agent:support"] {
        let body = Body::new(None, "{}").unwrap();
        let mut draft = Draft::new(
            Scope::ledger(),
            Actor::new(actor).unwrap(),
            Kind::new("quipu.agent").unwrap(),
            body,
        );
        draft.sys = Some(json!({"agent": approval}));
        assert_eq!(
            open.append_blocking(draft).unwrap_err().kind(),
            ErrorKind::Invalid,
            "{actor}"
        );
    }
    for (name, seed) in [("operator:eve", 8), ("operator:kim", 8)] {
        let signer = Signer::new(name, [seed; 32]).unwrap();
        let act = SignedAct::sign(open.reader().origin(), 1, "agent", &approval, &signer).unwrap();
        assert_eq!(
            open.act_blocking(vec![act]).unwrap_err().kind(),
            ErrorKind::Invalid,
            "{name}"
        );
    }
    // One of another ledger, and one whose grant was changed after it was signed.
    let kim = Signer::new("operator:kim", [9; 32]).unwrap();
    let foreign = SignedAct::sign("example.org/other", 1, "agent", &approval, &kim).unwrap();
    assert!(open.act_blocking(vec![foreign]).is_err());
    let mut changed = SignedAct::sign(open.reader().origin(), 1, "agent", &approval, &kim).unwrap();
    changed.act.value["approve"]["grant"]["supersedeOthers"] = json!(true);
    changed.act.id = ActId([1; 16]);
    assert!(open.act_blocking(vec![changed]).is_err());
    open.close().unwrap();
    assert!(named.approvals().is_empty());
    named.run().exits(1);
    // Nor may an agent be granted that kind or scope.
    named.says("kinds = [\"quipu.agent\"]\n");
    named
        .approve()
        .exits(2)
        .tells(&["quipu.toml line 1", "quipu.agent is the host's own"]);
    named.says("append = [\"quipu:ledger\"]\n");
    named.approve().exits(2).tells(&["quipu:ledger"]);
}

#[test]
fn what_was_withdrawn_is_not_run() {
    let named = Named::new("echo", "");
    named.approve().good();
    named.run().good();
    named
        .0
        .kim(&["agent", "withdraw", "support", "--reason", "replaced"])
        .good();
    named.run().exits(1).tells(&["never approved"]);
    named
        .0
        .kim(&["agent", "withdraw", "support"])
        .exits(1)
        .tells(&["quipu agents"]);
}

#[test]
fn who_runs_an_agent_by_name_adds_nothing_to_what_was_approved() {
    let named = Named::new("echo", "");
    named.approve().good();
    for option in ["--no-secret-guard", "--wasi", "--supersede-others"] {
        named
            .0
            .ledger
            .run(["run", "support", "hi", option])
            .exits(2)
            .tells(&["leave"]);
    }
    assert_eq!(named.0.ledger.log(&["--kind", "quipu.run"]).len(), 0);
}

#[test]
fn a_digest_in_the_file_pins_the_component() {
    let named = Named::new("echo", &format!("digest = \"{}\"\n", "0a".repeat(32)));
    named
        .approve()
        .exits(1)
        .tells(&["cannot be approved", "digest = \"0a0a"]);
    let sha256 = run(quipu().arg("audit").arg(guest("echo")).arg("--json")).good().json()["sha256"].clone();
    named.says(&format!("digest = {sha256}\n"));
    named.approve().good();
    named.run().good();
    named.says(&format!("digest = \"{}\"\n", "0a".repeat(32)));
    named.run().exits(1).tells(&["digest = \"0a0a"]);
}

#[test]
fn a_ledger_without_operators_approves_nobody() {
    let ledger = Ledger::new();
    let kim = Signer::new("operator:kim", [9; 32]).unwrap();
    let key = ledger.file("kim.key", kim.to_text().as_bytes());
    ledger.file(
        "quipu.toml",
        NAMED.replace("agents/support.wasm", guest("echo").to_str().unwrap()),
    );
    let mut command = ledger.command(["agent", "approve", "support", "--yes", "--operator", "kim", "--key"]);
    run(command.arg(key))
        .exits(2)
        .tells(&["operator:kim is not an operator"]);
    ledger.run(["run", "support"]).exits(1);
}
