//! Agents that `quipu.toml` names: how the file is found and read, and who can read and write what.

mod driver;

use std::fs;

use driver::{
    guest,
    named::{NAMED, Named},
    quipu, run,
};
use serde_json::json;

#[test]
fn a_beginning_is_the_scopes_at_the_runs_head_and_never_the_ledgers_own() {
    let named = Named::new("echo", "read = [\"*\"]\n");
    for scope in ["customer:1", "customer:2"] {
        named.0.ledger.append(scope, &format!("said in {scope}"), &[]);
    }
    named.approve().good();
    let answer = named.run().good().json();
    let scopes: Vec<_> = answer["scopes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|scope| &scope["scope"])
        .collect();
    assert_eq!(scopes, ["home", "customer:1", "customer:2"]);
    let grant = &named.recorded()["grant"];
    assert_eq!(grant["read"], json!(["customer:1", "customer:2"]), "as resolved");
    assert_eq!(grant["prefixes"], json!(["*"]), "as granted");
    // What comes later is another run's.
    named.0.ledger.append("customer:3", "later", &[]);
    named.run().good();
    assert_eq!(named.recorded()["grant"]["read"].as_array().unwrap().len(), 3);
    // More scopes than handles: none is left out silently.
    named.says("read = [\"*\"]\nlimits.handles = 3\n");
    named
        .run()
        .exits(2)
        .tells(&["reads 4 scopes", "at most 3 handles", "`handles`"]);
}

#[test]
fn the_matrix_says_who_reads_and_appends_what() {
    let billing = "read = [\"customer:*\"]\n[agents.billing]\ncomponent = \"none.wasm\"\nactor = \"agent:billing\"\n\
                   home = \"customer:1\"\nread = [\"policy:billing\"]\nappend = [\"home\"]\n";
    let named = Named::new("echo", billing);
    for scope in ["customer:1", "customer:2", "other"] {
        named.0.ledger.append(scope, "said", &[]);
    }
    named.approve().good();
    let table = named.0.ledger.run(["agents"]).good().out;
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(
        &lines[..3],
        [
            "agent    state           customer:*  customer:1  home  policy:billing",
            "billing  never approved              ra          a     r",
            "support  approved        r           r           ra",
        ],
        "{table}"
    );
    assert!(
        table.contains("customer:* covers 2 scopes now: customer:1, customer:2"),
        "{table}"
    );
    assert!(
        table.contains("billing is not run: cannot read ") && table.contains("none.wasm"),
        "{table}"
    );
    let lines = named.0.ledger.run(["agents", "--json"]).good().json_lines();
    let states: Vec<_> = lines.iter().map(|line| (&line["name"], &line["state"])).collect();
    assert_eq!(
        states,
        [
            (&json!("billing"), &json!("never approved")),
            (&json!("support"), &json!("approved"))
        ]
    );
    assert_eq!(
        lines[1]["access"],
        json!({"customer:*": "r", "customer:1": "r", "home": "ra"})
    );
    assert_eq!(lines[1]["covers"], json!({"customer:*": ["customer:1", "customer:2"]}));
    assert_eq!(lines[1]["approved"]["component"], lines[1]["sha256"]);
    assert_eq!(lines[1]["approved"]["since"]["operator"], "operator:kim");

    named.component("observer");
    assert_eq!(
        named.0.ledger.run(["agents", "--json"]).good().json_lines()[1]["state"],
        "changed"
    );
    // What is approved and no longer named is not forgotten.
    named.0.ledger.file("quipu.toml", "");
    let table = named.0.ledger.run(["agents"]).good().out;
    assert!(
        table.contains("support is approved since") && table.contains("quipu agent withdraw support"),
        "{table}"
    );
}

#[test]
fn a_bad_file_is_named_with_its_line() {
    let named = Named::new("echo", "reed = []\n");
    for args in [&["agents"][..], &["run", "support"]] {
        named
            .0
            .ledger
            .run(args)
            .exits(2)
            .tells(&["quipu.toml line 5: unknown field `reed`", "`read`"]);
    }
    named.says(&"#".repeat(quipu_format::limits::AGENTS_BYTES));
    named.run().exits(2).tells(&["quipu.toml", "at most 1048576 bytes"]);
    named.says("");
    named
        .0
        .ledger
        .run(["run", "suport"])
        .exits(1)
        .tells(&["names no agent suport", "it names support"]);
    named.says("\u{1b}[2J = 1\n");
    assert!(!named.run().exits(2).err.contains('\u{1b}'));
}

#[test]
fn the_file_is_beside_the_ledger_unless_another_is_named() {
    let named = Named::new("echo", "");
    let ledger = &named.0.ledger;
    named.approve().good();
    fs::rename(ledger.beside("quipu.toml"), ledger.beside("agents/other.toml")).unwrap();
    named
        .run()
        .exits(2)
        .tells(&["there is no file", "quipu.toml", "--agents"]);
    // Components are beside the file that names them.
    let other = NAMED.replace("agents/support.wasm", "support.wasm");
    let other = ledger.file("agents/other.toml", other);
    let asked = ["run", "support", "x"];
    run(ledger.command(asked).arg("--agents").arg(&other)).good();
    run(ledger.command(asked).env("QUIPU_AGENTS", &other)).good();
    // A ledger that is named from within its folder is still that ledger.
    fs::rename(ledger.beside("agents"), ledger.beside("kept")).unwrap();
    ledger.file("quipu.toml", NAMED.replace("agents/", "kept/"));
    run(quipu()
        .args(["--ledger", ".", "run", "support", "x"])
        .current_dir(ledger.path()))
    .good();
}

#[test]
fn a_name_is_no_file_and_a_file_no_name() {
    let named = Named::new("echo", "");
    let ledger = &named.0.ledger;
    let grant = ["--actor", "agent:a", "--home", "home"];
    run(ledger.command(["run", "support", "x"]).args(grant))
        .exits(2)
        .tells(&["agent's name", "./support"]);
    ledger
        .run(["run", "support", "x", "--read", "home"])
        .exits(2)
        .tells(&["agent's name"]);
    run(ledger.command(["run"]).arg(guest("echo")))
        .exits(2)
        .tells(&["--actor and --home"]);
    run(ledger.command(["run"]).arg(guest("echo")).args(["--actor", "agent:a"]))
        .exits(2)
        .tells(&["--home"]);
    // A file that is called like the agent does not come in its way.
    fs::copy(guest("echo"), ledger.beside("support")).unwrap();
    run(ledger.command(["run", "support", "x"]).current_dir(ledger.beside("")))
        .exits(1)
        .tells(&["never approved"]);
    run(ledger
        .command(["run", "./support", "x"])
        .args(grant)
        .current_dir(ledger.beside("")))
    .good();
}
