//! Core modules changed at random by wasm-mutate and made components again, some of which are then changed as bytes:
//! whatever the audit says conforms must link into the world that it names, with nothing else offered.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Instant,
};

use quipu_audit::{Audit, World, componentise, wit};
use quipu_host::{
    QuipuCtx, QuipuCtxView, add_observer_to_linker, add_to_linker,
    bindings::{
        agent::{
            AgentPre,
            quipu::memory::{read, types},
        },
        compactor::CompactorPre,
        observer::ObserverPre,
        projection::ProjectionPre,
    },
};
use wasm_mutate::WasmMutate;
use wasmparser::{Parser, Payload};
use wasmtime::{
    Engine, OptLevel,
    component::{Component, HasData, Linker, ResourceTable},
};
use wit_component::{StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve, SourceMap, WorldId};

use crate::chance::{Chance, Until, told};

/// Worlds to build for, written beside quipu's own: those that fit one of them, and those that want more or are something
/// else.
const WORLDS: [&str; 16] = [
    "import read; import recall; import append; HANDLE",
    "import read; import append; HANDLE",
    "import read; import recall; HANDLE",
    "import read; HANDLE",
    "export fold;",
    "import read; use types.{run-info, draft}; use read.{reader}; export compact: func(run: run-info, memory: reader) -> result<list<draft>, string>;",
    "import read; import append; import escape: func(); HANDLE",
    "import read; import admin; HANDLE",
    "import read; import outside; HANDLE",
    "import read; export fold;",
    "import append; export fold;",
    "import recall; use types.{run-info, draft}; use read.{reader}; export compact: func(run: run-info, memory: reader) -> result<list<draft>, string>;",
    "export handle: func();",
    "import read; use read.{reader}; export handle: func(memory: list<reader>) -> string;",
    "import escape: func(path: string) -> string; import read; import recall; HANDLE",
    "import append; import backdoor: interface { use types.{event-id}; rewrite: func(id: event-id); } HANDLE",
];
const HANDLE: &str = "use types.{run-info}; use read.{reader};
    export handle: func(run: run-info, memory: list<reader>, input: string) -> result<string, string>;";
/// Interfaces that no host of ours offers.
const FOREIGN: &str = "package quipu:memory@0.1.0;
    interface admin { use types.{event-id}; delete: func(id: event-id); truncate: func(); }
    interface outside { get: func(url: string) -> string; now: func() -> u64; }";
/// Texts of components that are replaced by others of the same length.
const NAMES: [(&str, &str); 10] = [
    ("append@0.1.0", "append@0.2.0"),
    ("append@0.1.0", "append@1.1.0"),
    ("quipu:memory", "qu1pu:memory"),
    ("quipu:memory", "quipu:mem0ry"),
    ("/read@0.1.0", "/reed@0.1.0"),
    ("@0.1.0", "@0.1.9"),
    ("append-all", "delete-all"),
    ("read-back", "read-hack"),
    ("handle", "handla"),
    ("types@0.1.0", "typez@0.1.0"),
];
/// What the engine says of types that it was built without. They are within a module, and no matter of what it can reach.
const NO_GC: &str = "gc types are disallowed";
/// How often wasm-mutate is asked for one variant.
const TRIES: usize = 24;
/// Guests whose code is changed as well; they are built of the world `agent`.
const GUESTS: [&str; 3] = ["hoarder", "trapper", "smuggler"];

#[test]
fn what_was_changed_at_random_never_conforms_without_linking() {
    let tally = Variants::new().search(0, Until::seeds(600));
    println!("{tally:?}");
    // It would be no test if all were refused, or none.
    assert!(tally.conform > 50 && tally.refused > 50, "{tally:?}");
}

/// `cargo xtask fuzz modules`.
#[test]
#[ignore = "goes on for as long as it is told to"]
fn many() {
    let tally = Variants::new().search(told("QUIPU_FROM", 0), Until::told());
    println!("{tally:?}");
}

#[derive(Default, Debug)]
struct Tally {
    variants: u64,
    /// Made a component, and conform by the audit and by linking.
    conform: u64,
    /// Made a component that does not conform.
    refused: u64,
    /// Link, and do not conform all the same: the audit is the stricter one.
    stricter: u64,
    /// Conform by their type, and the engine does not take the garbage-collected types that wasm-mutate put in.
    uncompiled: u64,
    /// Cannot be read, or be made a component.
    unreadable: u64,
    /// wasm-mutate gave nothing, or panicked.
    unchanged: u64,
}

struct Data(QuipuCtx, ResourceTable);

fn view(data: &mut Data) -> QuipuCtxView<'_> {
    QuipuCtxView {
        ctx: &mut data.0,
        table: &mut data.1,
    }
}

struct HasMemory;

impl HasData for HasMemory {
    type Data<'a> = QuipuCtxView<'a>;
}

/// A core module and the world that it is built for.
struct Base {
    module: Vec<u8>,
    world: usize,
}

struct Variants {
    engine: Engine,
    agents: Linker<Data>,
    observers: Linker<Data>,
    compactors: Linker<Data>,
    worlds: Vec<(Resolve, WorldId)>,
    bases: Vec<Base>,
}

impl Variants {
    fn new() -> Self {
        // Only what is refused matters, not how quick it is.
        let engine = Engine::new(quipu_host::config().cranelift_opt_level(OptLevel::None)).unwrap();
        let linker = || Linker::new(&engine);
        let (mut agents, mut observers, mut compactors) = (linker(), linker(), linker());
        add_to_linker(&mut agents, view).unwrap();
        add_observer_to_linker(&mut observers, view).unwrap();
        types::add_to_linker::<Data, HasMemory>(&mut compactors, view).unwrap();
        read::add_to_linker::<Data, HasMemory>(&mut compactors, view).unwrap();
        let worlds: Vec<_> = WORLDS.iter().map(|body| resolved(body)).collect();
        let dummies = worlds.iter().enumerate().map(|(world, (resolve, id))| Base {
            module: dummy_module(resolve, *id, ManglingAndAbi::Legacy(LiftLowerAbi::Sync)),
            world,
        });
        let guests = GUESTS.iter().map(|name| Base {
            module: core_of(name),
            world: 0,
        });
        Self {
            agents,
            observers,
            compactors,
            bases: dummies.chain(guests).collect(),
            worlds,
            engine,
        }
    }

    fn search(&self, from: u64, until: Until) -> Tally {
        let (begin, mut tally) = (Instant::now(), Tally::default());
        for seed in (from..).take_while(|seed| until.goes_on(seed - from, 0)) {
            tally.variants += 1;
            let found = catch_unwind(AssertUnwindSafe(|| self.judge(seed, &mut tally)));
            match found {
                Ok(None) => {}
                Ok(Some(why)) => panic!("seed {seed}: a false \"conforms\": {why}"),
                Err(_) => panic!("seed {seed}: it panics"),
            }
            if tally.variants % 10_000 == 0 {
                eprintln!("{} s  {tally:?}", begin.elapsed().as_secs());
            }
        }
        tally
    }

    /// Why a variant conforms by the audit alone, if it does.
    fn judge(&self, seed: u64, tally: &mut Tally) -> Option<String> {
        let mut chance = Chance::new(seed);
        let Some(component) = self.variant(&mut chance) else {
            tally.unchanged += 1;
            return None;
        };
        let Some(component) = component else {
            tally.unreadable += 1;
            return None;
        };
        let Ok(audit) = Audit::of(&component) else {
            tally.unreadable += 1;
            return None;
        };
        let compiled = match Component::new(&self.engine, &component) {
            Ok(compiled) => compiled,
            Err(error) if audit.conforms() => {
                let why = format!("{error:#}");
                tally.uncompiled += 1;
                return (!why.contains(NO_GC)).then_some(why);
            }
            Err(_) => {
                tally.refused += 1;
                return None;
            }
        };
        if !audit.conforms() {
            let links = World::ALL.iter().any(|world| self.links(&compiled, *world).is_ok());
            tally.stricter += u64::from(links);
            tally.refused += u64::from(!links);
            return None;
        }
        tally.conform += 1;
        audit.worlds.iter().find_map(|world| {
            let error = self.links(&compiled, *world).err()?;
            Some(format!("{}: {error:#}", world.name()))
        })
    }

    /// The oracle: the linker of that world, with nothing besides.
    fn links(&self, component: &Component, world: World) -> wasmtime::Result<()> {
        match world {
            World::Agent => AgentPre::new(self.agents.instantiate_pre(component)?).map(drop),
            World::Observer => ObserverPre::new(self.observers.instantiate_pre(component)?).map(drop),
            World::Compactor => CompactorPre::new(self.compactors.instantiate_pre(component)?).map(drop),
            World::Projection => {
                let nothing = Linker::<Data>::new(&self.engine);
                ProjectionPre::new(nothing.instantiate_pre(component)?).map(drop)
            }
            _ => unreachable!("a world more"),
        }
    }

    /// None: nothing was changed. Within: it is no component any more.
    fn variant(&self, chance: &mut Chance) -> Option<Option<Vec<u8>>> {
        // A real guest is a hundred times larger than a dummy, and takes so much longer to compile.
        let dummies = self.bases.len() - GUESTS.len();
        let base = match chance.once_in(40) {
            true => &self.bases[dummies + chance.below(GUESTS.len())],
            false => &self.bases[chance.below(dummies)],
        };
        let mut module = base.module.clone();
        let (wanted, mut made) = (1 + chance.below(4), 0);
        // What a seed asks of a module is often not there to be changed.
        for _ in 0..TRIES {
            let seed = chance.next();
            let changed = catch_unwind(|| {
                let mut mutate = WasmMutate::default();
                mutate.seed(seed).fuel(1_000).preserve_semantics(seed.is_multiple_of(3));
                mutate.run(&module).ok()?.next()?.ok()
            });
            if let Some(changed) = changed.ok().flatten() {
                module = changed;
                made += 1;
            }
            if made == wanted {
                break;
            }
        }
        if made == 0 {
            return None;
        }
        let world = match chance.once_in(8) {
            true => chance.below(self.worlds.len()),
            false => base.world,
        };
        let (resolve, id) = &self.worlds[world];
        if embed_component_metadata(&mut module, resolve, *id, StringEncoding::UTF8, false).is_err() {
            return Some(None);
        }
        let Ok(mut component) = componentise(&module) else {
            return Some(None);
        };
        match chance.below(4) {
            0 => {
                let (from, to) = chance.of(&NAMES);
                replace(&mut component, from.as_bytes(), to.as_bytes(), chance);
            }
            1 if chance.once_in(2) => {
                let at = chance.below(component.len());
                component[at] ^= 1 << chance.below(8);
            }
            _ => {}
        }
        Some(Some(component))
    }
}

/// Replaces one place or all of them.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8], chance: &mut Chance) {
    let places = bytes.windows(from.len()).enumerate();
    let mut places: Vec<_> = places.filter(|(_, at)| *at == from).map(|(at, _)| at).collect();
    if !places.is_empty() && chance.once_in(2) {
        places = vec![*chance.of(&places)];
    }
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

fn resolved(body: &str) -> (Resolve, WorldId) {
    let (mut resolve, mut map) = (Resolve::default(), SourceMap::default());
    for (name, text) in wit() {
        map.push_str(name, *text);
    }
    map.push_str("foreign.wit", FOREIGN);
    map.push_str("x.wit", format!("world x {{ {} }}", body.replace("HANDLE", HANDLE)));
    let package = resolve.push_group(map.parse().unwrap()).unwrap();
    let world = resolve.select_world(&[package], Some("x")).unwrap();
    (resolve, world)
}

/// The first core module in a guest that `cargo xtask guests` built: its own code.
fn core_of(name: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/guests")
        .join(name)
        .with_extension("wasm");
    let bytes = fs::read(&file).unwrap_or_else(|error| panic!("guest {name} ({error}): run `cargo xtask guests`"));
    let module = Parser::new(0).parse_all(&bytes).find_map(|payload| match payload {
        Ok(Payload::ModuleSection {
            unchecked_range: range, ..
        }) => Some(bytes[range.start as usize..range.end as usize].to_vec()),
        _ => None,
    });
    module.unwrap_or_else(|| panic!("{name} has no core module"))
}
