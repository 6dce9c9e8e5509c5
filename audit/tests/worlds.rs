//! Components of worlds that are not ours, made as a toolchain makes them.

use quipu_audit::{Audit, Rule, World, componentise, wit};
use wit_component::{StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve, SourceMap};

/// A component of the world `x`, which is written beside quipu's own.
fn component(world: &str) -> Vec<u8> {
    let (mut resolve, mut map) = (Resolve::default(), SourceMap::default());
    for (name, text) in wit() {
        map.push_str(name, *text);
    }
    map.push_str("x.wit", format!("world x {{ {world} }}"));
    let package = resolve.push_group(map.parse().unwrap()).unwrap();
    let world = resolve.select_world(&[package], Some("x")).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    componentise(&module).unwrap()
}

const HANDLE: &str = "use types.{run-info}; use read.{reader};
    export handle: func(run: run-info, memory: list<reader>, input: string) -> result<string, string>;";

#[test]
fn who_names_more_types_can_do_no_more() {
    for (world, fits) in [
        (format!("import read; import append; {HANDLE}"), World::Agent),
        (format!("import read; import recall; {HANDLE}"), World::Observer),
        (
            format!("import read; import append; use types.{{event, draft}}; use recall.{{fact}}; {HANDLE}"),
            World::Agent,
        ),
        (format!("import read; use types.{{event}}; {HANDLE}"), World::Observer),
        ("use types.{event}; export fold;".into(), World::Projection),
    ] {
        let audit = Audit::of(&component(&world)).unwrap();
        assert!(audit.conforms(), "{world}: {:?}", audit.findings);
        assert_eq!(audit.worlds, [fits], "{world}");
    }
}

#[test]
fn who_takes_a_function_more_does_not_conform() {
    for (world, rule) in [
        (
            format!("import read; import escape: func(); {HANDLE}"),
            Rule::ForeignImport,
        ),
        ("import read; export fold;".into(), Rule::WrongType),
        (
            "import append; use types.{run-info, draft}; use read.{reader};
          export compact: func(run: run-info, memory: reader) -> result<list<draft>, string>;"
                .into(),
            Rule::WrongType,
        ),
        ("export handle: func();".into(), Rule::WrongType),
    ] {
        let audit = Audit::of(&component(&world)).unwrap();
        assert!(!audit.conforms(), "{world}");
        assert!(
            audit.findings.iter().any(|finding| finding.rule == rule),
            "{world}: {:?}",
            audit.findings
        );
    }
}
