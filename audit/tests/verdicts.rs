//! What is said of components that no toolchain made: each is written by hand, in the text format.

use quipu_audit::{Audit, Authority, Change, Policy, Report, Rule, Severity, World};
use quipu_format::limits;

/// A component from its text.
fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|e| panic!("{e}"))
}

fn audit(text: &str) -> Audit {
    Audit::of(&component(text)).unwrap()
}

/// A component that exports the world's `fold` and has what `more` says beside it.
fn projection(more: &str) -> String {
    format!(
        r#"(component
            {more}
            (import "quipu:memory/types@0.1.0" (instance $types
                (type $source' (record (field "channel" (option string)) (field "conversation-id" (option string))
                    (field "message-id" (option string)) (field "extra" (option string))))
                (export "source" (type (eq $source')))))
        )"#
    )
}

fn rules(audit: &Audit, severity: Severity) -> Vec<Rule> {
    let of = audit.findings.iter().filter(|finding| finding.severity == severity);
    of.map(|finding| finding.rule).collect()
}

#[test]
fn what_is_imported_beside_memory_is_named_with_what_it_would_allow() {
    for (import, authority, said) in [
        (
            r#"(import "wasi:filesystem/types@0.2.6" (instance (export "stat" (func))))"#,
            Authority::Filesystem,
            "files",
        ),
        (
            r#"(import "wasi:sockets/tcp@0.2.6" (instance (export "connect" (func))))"#,
            Authority::Network,
            "network",
        ),
        (
            r#"(import "wasi:clocks/wall-clock@0.2.6" (instance (export "now" (func))))"#,
            Authority::Clock,
            "time",
        ),
        (
            r#"(import "wasi:random/random@0.2.6" (instance (export "get" (func))))"#,
            Authority::Randomness,
            "bytes",
        ),
        (
            r#"(import "wasi:cli/environment@0.2.6" (instance (export "get" (func))))"#,
            Authority::Environment,
            "variables",
        ),
        (
            r#"(import "quipu:memory/admin@0.1.0" (instance (export "delete" (func))))"#,
            Authority::Unknown,
            "looks like",
        ),
        (
            r#"(import "quipu:memory/append@0.2.0" (instance (export "append" (func))))"#,
            Authority::Unknown,
            "looks like",
        ),
        (
            r#"(import "qu1pu:memory/append@0.1.0" (instance (export "append" (func))))"#,
            Authority::Unknown,
            "looks like",
        ),
        (r#"(import "exec" (func))"#, Authority::Unknown, "nothing is known"),
        (
            r#"(import "inner" (component))"#,
            Authority::Unknown,
            "nothing is known",
        ),
        (
            r#"(import "code" (core module))"#,
            Authority::Unknown,
            "nothing is known",
        ),
        (
            r#"(import "a:b/empty" (instance))"#,
            Authority::Unknown,
            "nothing is known",
        ),
    ] {
        let audit = audit(&format!("(component {import})"));
        assert!(!audit.conforms(), "{import}");
        let found = audit
            .findings
            .iter()
            .find(|finding| finding.rule == Rule::ForeignImport);
        let message = &found
            .unwrap_or_else(|| panic!("{import}: {:?}", audit.findings))
            .message;
        assert!(message.contains(said), "{import}: {message}");
        assert!(audit.authorities().contains(&authority), "{import}");
        assert!(audit.sentence().contains(authority.word()), "{}", audit.sentence());
    }
}

#[test]
fn a_component_that_the_host_cannot_call_fits_nothing() {
    let audit = audit("(component)");
    assert!(!audit.conforms() && audit.worlds.is_empty());
    assert_eq!(rules(&audit, Severity::Violation), [Rule::NoEntry]);
}

#[test]
fn our_name_with_another_type_is_refused() {
    for import in [
        // It would append without saying what.
        r#"(import "quipu:memory/append@0.1.0" (instance (export "append" (func))))"#,
        // A function that there is not.
        r#"(import "quipu:memory/read@0.1.0" (instance (export "delete" (func (param "id" string)))))"#,
    ] {
        let text = format!(
            r#"(component {import}
                (core module $m (func (export "handle")))
                (core instance $i (instantiate $m))
                (func (export "handle") (canon lift (core func $i "handle"))))"#
        );
        let audit = audit(&text);
        assert!(!audit.conforms() && audit.worlds.is_empty(), "{import}");
        assert_eq!(rules(&audit, Severity::Violation), [Rule::WrongType], "{import}");
    }
}

#[test]
fn what_is_nested_is_walked_and_told_apart() {
    let audit = audit(
        r#"(component
            (component $hidden
                (import "wasi:filesystem/types@0.2.6" (instance $fs (export "stat" (func $stat))))
                (core module (import "env" "grow" (func)) (memory 2 4) (table 7 funcref) (func $f) (start $f)))
            (core module (memory 2000)))"#,
    );
    let paths: Vec<_> = audit.anatomy.inner.iter().map(|inner| inner.path.as_str()).collect();
    assert_eq!(paths, ["component 0", "component 0 / core module 0", "core module 0"]);
    assert!(
        audit.anatomy.imports.is_empty(),
        "what is nested asks for is none of the outer type's imports"
    );
    let nested = &audit.anatomy.inner[1];
    assert!(nested.starts && nested.imports == ["env grow"]);
    assert_eq!(
        (nested.memories[0].min_bytes, nested.memories[0].max_bytes),
        (128 << 10, Some(256 << 10))
    );
    assert_eq!(nested.tables[0].min_elements, 7);
    let notes = rules(&audit, Severity::Note);
    for rule in [Rule::Internal, Rule::StartFunction, Rule::Minimum] {
        assert!(notes.contains(&rule), "{rule:?} of {notes:?}");
    }
}

#[test]
fn concurrency_within_a_component_is_a_violation() {
    let audit = audit(
        r#"(component
            (core module $m (memory (export "m") 1))
            (core instance $i (instantiate $m))
            (core func (canon thread.yield))
            (core func (canon subtask.drop)))"#,
    );
    assert_eq!(audit.anatomy.async_builtins, ["thread.yield", "subtask.drop"]);
    assert!(rules(&audit, Severity::Violation).contains(&Rule::AsyncBuiltin));
}

#[test]
fn leftovers_of_tools_and_other_exports_are_told_apart() {
    let audit = audit(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (export "init" (func $f))
            (instance $exports)
            (export "exports" (instance $exports))
            (export "backdoor" (func $f)))"#,
    );
    let notes = rules(&audit, Severity::Note);
    assert_eq!(notes, [Rule::UnexpectedExport, Rule::ToolLeftover, Rule::ToolLeftover]);
    assert!(audit.findings.iter().any(|finding| finding.subject == "backdoor"));
    assert!(audit.functions.iter().all(|function| !function.is_entry));
}

#[test]
fn what_is_no_component_is_refused_in_words() {
    let whole = component("(component)");
    for (wasm, words) in [
        (b"".to_vec(), "does not begin as one"),
        (b"#!/bin/sh".to_vec(), "does not begin as one"),
        (b"\0asm\x01\0\0\0".to_vec(), "no function handle"),
        (b"\0asm\x0d\0\x01\0\xff\xff\xff".to_vec(), "cannot be read"),
        ([whole.as_slice(), b"\x07"].concat(), "cannot be read"),
        (vec![0; limits::COMPONENT_BYTES + 1], "bytes"),
    ] {
        match Audit::of(&wasm) {
            Err(error) => assert!(error.to_string().contains(words), "{error}"),
            Ok(audit) => assert!(
                !audit.conforms() && audit.sentence().contains(words),
                "{}",
                audit.sentence()
            ),
        }
    }
}

#[test]
fn no_prefix_and_no_changed_byte_makes_it_panic() {
    let whole = component(&projection(r#"(core module (func $f) (start $f))"#));
    for end in 0..whole.len() {
        // Where a section ends, what comes before it is whole, and exports nothing yet.
        assert!(
            !Audit::of(&whole[..end]).is_ok_and(|audit| audit.conforms()),
            "{end} bytes"
        );
    }
    let mut read = 0;
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            read += usize::from(Audit::of(&changed).is_ok());
        }
    }
    assert!(read > 0, "some change a name alone");
}

#[test]
fn a_policy_names_what_it_does_not_allow_and_one_that_is_misspelt_is_refused() {
    let audit = audit(&projection(r#"(core module (func $f) (start $f))"#));
    let breaches = |policy: &str| Policy::parse(policy).unwrap().breaches(&audit).len();
    assert_eq!(breaches(""), 0);
    assert_eq!(breaches("interfaces = [\"types\"]"), 0);
    assert_eq!(breaches("interfaces = [\"read\"]"), 1);
    assert_eq!(breaches("worlds = [\"observer\"]"), 1);
    assert_eq!(breaches("max_bytes = 10"), 1);
    assert_eq!(breaches("max_bytes = 100000"), 0);
    assert_eq!(breaches(&format!("digests = [\"{}\"]", "0".repeat(64))), 1);
    let hex = audit.file_sha256.to_hex().to_uppercase();
    assert_eq!(breaches(&format!("digests = [\"{hex}\"]")), 0);
    assert_eq!(breaches(&format!("digests = [\"{}\"]", audit.anatomy.sha256)), 0);
    assert_eq!(breaches("deny = [\"start-function\"]"), 1);
    for misspelt in [
        "interface = []",
        "interfaces = [\"raed\"]",
        "worlds = [\"agents\"]",
        "deny = [\"start\"]",
        "digests = [\"00\"]",
        "max_bytes = -1",
        "=",
    ] {
        assert!(Policy::parse(misspelt).is_err(), "{misspelt}");
    }
}

#[test]
fn a_difference_says_what_is_wider_and_what_is_narrower() {
    let with = audit(r#"(component (import "wasi:random/random@0.2.6" (instance (export "get" (func)))))"#);
    let without = audit("(component)");
    let wider = Change::between(&without, &with);
    assert_eq!(wider.widened, ["wasi:random/random@0.2.6#get (randomness)"]);
    assert!(wider.widens() && wider.narrowed.is_empty());
    let narrower = Change::between(&with, &without);
    assert!(!narrower.widens() && narrower.narrowed == wider.widened);
    let same = Change::between(&with, &with);
    assert!(same.is_same && !same.widens());
    // An interface without a function is still something more.
    let empty = audit(r#"(component (import "a:b/empty" (instance)))"#);
    assert!(Change::between(&without, &empty).widens());
}

#[test]
fn no_report_carries_what_would_steer_its_reader() {
    let hostile = "x<script>alert(1)</script>\u{1b}[2J\u{202e}|`\n# big";
    let audit = audit(r#"(component (core module (import "<b>\1b[31m" "\e2\80\ae|`*" (func))))"#);
    let report = Report {
        name: hostile,
        audit: &audit,
        breaches: &[],
        change: None,
    };
    for text in [report.text(), report.markdown(), report.html()] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }
    assert!(!report.html().contains("<script>") && !report.html().contains("<b>\\"));
    assert!(!report.markdown().contains("\n# big"));
    let sarif = report.sarif();
    let uri = sarif["runs"][0]["artifacts"][0]["location"]["uri"].as_str().unwrap();
    assert!(
        uri.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)),
        "{uri}"
    );
}

#[test]
fn a_world_is_fitted_by_its_narrowest_name() {
    // Nothing but types imported, nothing exported: it fits no entry.
    assert!(audit(&projection("")).worlds.is_empty());
    assert_eq!(
        World::ALL.map(World::name),
        ["projection", "compactor", "observer", "agent"]
    );
}

#[test]
fn names_within_names_and_huge_memories_take_no_room() {
    // Two thousand functions in an instance with a name of 60,000 bytes: 120 MB, if each had the whole name.
    let long = "a".repeat(60_000);
    let functions: String = (0..2_000).map(|n| format!(r#"(export "f{n}" (func))"#)).collect();
    let text = format!(r#"(component (import "a:b/c" (instance (export "{long}" (instance {functions})))))"#);
    let port = audit(&text).anatomy.imports.remove(0);
    assert_eq!(port.functions, [long]);
    let audit = audit("(component (core module (memory i64 0x1000000000000)))");
    assert_eq!(audit.anatomy.inner[0].memories[0].min_bytes, u64::MAX);
}

#[test]
fn a_compactor_in_place_of_an_observer_can_do_more() {
    let (mut observer, mut compactor) = (audit("(component)"), audit("(component)"));
    observer.worlds = vec![World::Observer];
    compactor.worlds = vec![World::Compactor];
    assert_eq!(Change::between(&observer, &compactor).widened, ["is called as compact"]);
}

#[test]
fn what_the_host_does_not_run_is_a_violation_and_still_described() {
    for (core, said) in [
        ("(memory i64 1)", "64-bit"),
        ("(memory 1 1 shared)", "threads"),
        ("(tag)", "exceptions"),
    ] {
        let audit = audit(&format!("(component (core module {core}))"));
        assert!(
            rules(&audit, Severity::Violation).contains(&Rule::Unsupported),
            "{core}"
        );
        let finding = audit.findings.iter().find(|finding| finding.rule == Rule::Unsupported);
        assert!(finding.unwrap().message.contains(said), "{core}: {finding:?}");
        assert_eq!(audit.anatomy.inner.len(), 1);
    }
    assert!(!rules(&audit("(component (core module (memory 1)))"), Severity::Violation).contains(&Rule::Unsupported));
}
