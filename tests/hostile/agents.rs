//! Hostile files that name agents: whoever can write `quipu.toml` says what they like in it.

use std::{
    fs,
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use crate::{
    attack::{plain, refused},
    driver::{
        Ledger,
        named::{NAMED, Named},
        run,
    },
    house,
};

/// What no error may quote of a file that it was led to.
const CANARY: &str = "canary-of-another-file";

/// Everything that reads the file, each of which must refuse it.
#[track_caller]
fn refused_by_all(named: &Named) -> String {
    let commands = [
        &["agents"][..],
        &["agents", "--json"],
        &["run", "support", "x"],
        &["agent", "approve", "support", "--yes"],
    ];
    let said: Vec<String> = commands
        .into_iter()
        .map(|args| match args[0] {
            "agent" => refused(&mut named.0.command(args)),
            _ => refused(&mut named.0.ledger.command(args)),
        })
        .collect();
    said.concat()
}

/// An agent by name, an honest one, approved by an operator, whose file is then attacked; the ledger must stay as it was.
fn attacked(attack: impl FnOnce(&Named)) {
    let named = Named::new("echo", "");
    named.approve().good();
    let log = named.0.ledger.path().join("log");
    let before = house::log_bytes(&log);
    attack(&named);
    assert!(house::log_bytes(&log) == before, "something was appended");
    // The file that was approved is as good as ever.
    let file = named.0.ledger.beside("quipu.toml");
    let _ = fs::remove_file(&file);
    named.says("");
    named.run().good();
    named.0.ledger.verify().good();
}

pub(crate) fn agents_of_no_form(_: &Ledger) {
    attacked(|named| {
        for text in [
            &b"[[[["[..],
            b"\xff\xfe\0\0",
            b"agents = 7",
            b"[agents]\nsupport = \"a.wasm\"",
            b"[agents.support]\n",
            b"\0",
            b"[agents.support]\r[agents.support]",
        ] {
            named.0.ledger.file("quipu.toml", text);
            assert!(refused_by_all(named).contains("quipu.toml"));
        }
    });
}

pub(crate) fn agents_with_unknown_members(_: &Ledger) {
    attacked(|named| {
        for more in [
            "approved = true",
            "approval = \"evt_01J9ZQ4V8T4W3E2R1M0N5B6C7D\"",
            "files = [\"/\"]",
            "limits = { deadline-ms = 1, seconds = 9 }",
            "prefixes = [\"*\"]",
        ] {
            named.says(more);
            assert!(refused_by_all(named).contains("unknown field"), "{more}");
        }
        named
            .0
            .ledger
            .file("quipu.toml", format!("approved = [\"support\"]\n{NAMED}"));
        assert!(refused_by_all(named).contains("unknown field"));
    });
}

pub(crate) fn agents_named_twice(_: &Ledger) {
    attacked(|named| {
        let wide = NAMED.replace("home = \"home\"", "home = \"home\"\nread = [\"*\"]");
        for text in [
            format!("{NAMED}{wide}"),
            format!("{NAMED}{}", wide.replace("agents.support", "agents.\"support\"")),
            format!("{NAMED}{}", wide.replace("agents.support", "\"agents\".'support'")),
            format!("{NAMED}{}", wide.replace("agents.support", "agents.\"s\\u0075pport\"")),
            format!("{NAMED}actor = \"agent:other\"\n"),
        ] {
            named.0.ledger.file("quipu.toml", text);
            assert!(refused_by_all(named).contains("duplicate key"));
        }
        // One whose name looks the same is another, which nobody approved, if it is a name at all.
        let cyrillic = NAMED.replace("agents.support", "agents.\"supp\u{43e}rt\"");
        named.0.ledger.file("quipu.toml", cyrillic);
        assert!(refused_by_all(named).contains("no name of an agent"));
        named
            .0
            .ledger
            .file("quipu.toml", NAMED.replace("agents.support", "agents.Support"));
        let said = refused(&mut named.0.ledger.command(["run", "Support", "x"]));
        assert!(said.contains("never approved"), "{said}");
    });
}

pub(crate) fn agents_past_their_size(_: &Ledger) {
    attacked(|named| {
        let begin = Instant::now();
        named.says(&"# padding\n".repeat(200_000));
        assert!(refused_by_all(named).contains("at most 1048576 bytes"));
        // As many agents as fit, none of them approved.
        let least = |n: usize| format!("[agents.a{n}]\ncomponent=\"a\"\nactor=\"a\"\nhome=\"b\"\n");
        let many: String = (0..16_000).map(least).collect();
        named.0.ledger.file("quipu.toml", many);
        assert!(refused(&mut named.0.ledger.command(["run", "a15999", "x"])).contains("cannot read"));
        let lists = format!("read = [{}]", "\"a*\",".repeat(100_000));
        named.says(&lists);
        assert!(refused_by_all(named).contains("lists 100000"));
        assert!(begin.elapsed() < Duration::from_secs(90));
    });
}

pub(crate) fn agents_nested_without_end(_: &Ledger) {
    attacked(|named| {
        for text in [
            format!("a = {}", "[".repeat(500_000)),
            format!("a = {}", "{a=".repeat(200_000)),
            format!("[{}a]", "a.".repeat(400_000)),
            format!("{}a = 1", "a.".repeat(400_000)),
            "[[agents.support]]\n".repeat(50_000),
        ] {
            named.0.ledger.file("quipu.toml", text);
            refused_by_all(named);
        }
    });
}

pub(crate) fn agents_behind_links_and_devices(_: &Ledger) {
    attacked(|named| {
        let ledger = &named.0.ledger;
        let file = ledger.beside("quipu.toml");
        let elsewhere = ledger.file("elsewhere", format!("password = \"{CANARY}\"\n{CANARY}\n"));
        let circle = ledger.beside("circle");
        symlink(&circle, &circle).unwrap();
        let folder = ledger.beside("folder");
        fs::create_dir(&folder).unwrap();
        for target in [
            "/dev/zero".into(),
            "/dev/null".into(),
            "/proc/self/mem".into(),
            elsewhere,
            circle,
            folder,
            ledger.path().join("keys"),
        ] {
            fs::remove_file(&file).unwrap();
            symlink(&target, &file).unwrap();
            // An empty file names nobody, and is none to list.
            if target.ends_with("null") {
                refused(&mut ledger.command(["run", "support", "x"]));
                continue;
            }
            let said = refused_by_all(named);
            assert!(!said.contains(CANARY), "{said}");
        }
    });
}

pub(crate) fn agents_that_steer_a_terminal(_: &Ledger) {
    attacked(|named| {
        let steering = "\\u001b[2J\\u009b31m\\u202e\\u2066\\n\\r";
        for text in [
            NAMED.replace("agents.support", &format!("agents.\"{steering}\"")),
            NAMED.replace("agent:support", steering),
            NAMED.replace("\"home\"", &format!("\"{steering}\"")),
            format!("{NAMED}\"{steering}\" = 1"),
            format!("{NAMED}digest = \"{steering}\""),
            format!("{NAMED}secrets = \"{steering}\""),
            format!("{NAMED}# \u{1b}[2J\u{202e}\n"),
        ] {
            named.0.ledger.file("quipu.toml", &text);
            refused_by_all(named);
        }
        // A path may have anything in it, and is shown escaped.
        named.0.ledger.file(
            "quipu.toml",
            NAMED.replace("agents/support.wasm", &format!("{steering}.wasm")),
        );
        for args in [&["agents"][..], &["agents", "--json"]] {
            let ran = run(&mut named.0.ledger.command(args)).good();
            plain(&ran.out);
            plain(&ran.err);
        }
        refused(&mut named.0.ledger.command(["run", "support", "x"]));
    });
}

pub(crate) fn components_in_other_places(_: &Ledger) {
    attacked(|named| {
        let ledger = &named.0.ledger;
        let elsewhere = ledger.file("elsewhere", format!("{CANARY}\n"));
        symlink(&elsewhere, ledger.beside("agents/link.wasm")).unwrap();
        let up = "../".repeat(40);
        for component in [
            format!("{up}etc/passwd"),
            "/etc/shadow".into(),
            "/dev/zero".into(),
            "/proc/self/environ".into(),
            "agents/link.wasm".into(),
            "agents".into(),
            "ledger/keys".into(),
            "agents/../elsewhere".into(),
            String::new(),
            "agents/support.wasm/../support.wasm".into(),
        ] {
            ledger.file("quipu.toml", NAMED.replace("agents/support.wasm", &component));
            let mut run_it = ledger.command(["run", "support", "x"]);
            let said = refused(run_it.env("SECRET_OF_THE_HOST", CANARY));
            let approve = refused(&mut named.0.command(&["agent", "approve", "support", "--yes"]));
            let shown = run(&mut ledger.command(["agents"])).good();
            for text in [said, approve, shown.out] {
                assert!(!text.contains(CANARY) && !text.contains("root:"), "{component}: {text}");
            }
        }
    });
}

pub(crate) fn agents_granted_what_is_the_hosts(_: &Ledger) {
    attacked(|named| {
        for text in [
            NAMED.replace("agent:support", "host:quipu"),
            NAMED.replace("\"home\"", "\"quipu:ledger\""),
            format!("{NAMED}read = [\"quipu:*\"]"),
            format!("{NAMED}append = [\"quipu:ledger\"]"),
            format!("{NAMED}kinds = [\"quipu.agent\"]"),
            format!("{NAMED}limits.appends = 18446744073709551616"),
            format!("{NAMED}limits.memory-bytes = -1"),
        ] {
            named.0.ledger.file("quipu.toml", text);
            refused_by_all(named);
        }
        // What only reads everything, appends elsewhere or lasts longer is not run before somebody approves it.
        for more in [
            "read = [\"*\"]",
            "append = [\"team:log\"]",
            "limits.deadline-ms = 86400000",
            "supersede-others = true",
            "secrets = \"handle\"",
            "wasi = true",
        ] {
            named.says(more);
            let said = refused(&mut named.0.ledger.command(["run", "support", "x"]));
            assert!(said.contains("its grant is wider"), "{more}: {said}");
        }
    });
}
