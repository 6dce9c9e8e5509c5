//! The worlds of `quipu:memory`, and whether a component fits one.

use std::sync::OnceLock;

use serde::Serialize;
use wit_parser::{Resolve, SourceMap, Type, TypeDef, TypeDefKind, TypeOwner, WorldId, WorldItem, WorldKey};

use crate::{
    Error, Result,
    anatomy::{Port, PortKind},
    componentise::as_component,
    names::interface,
    trusting::trusting,
};

/// The interface, file by file.
const FILES: [(&str, &str); 6] = [
    ("append.wit", include_str!("../wit/append.wit")),
    ("fold.wit", include_str!("../wit/fold.wit")),
    ("read.wit", include_str!("../wit/read.wit")),
    ("recall.wit", include_str!("../wit/recall.wit")),
    ("types.wit", include_str!("../wit/types.wit")),
    ("worlds.wit", include_str!("../wit/worlds.wit")),
];

/// A world of `quipu:memory`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum World {
    /// Derives state from events. It imports no function.
    Projection,
    /// Reads one scope and proposes summaries.
    Compactor,
    /// Reads and recalls.
    Observer,
    /// Reads, recalls and appends.
    Agent,
}

impl World {
    /// All, from the narrowest to the widest.
    pub const ALL: [Self; 4] = [Self::Projection, Self::Compactor, Self::Observer, Self::Agent];

    /// Its name in WIT.
    pub fn name(self) -> &'static str {
        match self {
            Self::Projection => "projection",
            Self::Compactor => "compactor",
            Self::Observer => "observer",
            Self::Agent => "agent",
        }
    }

    /// What the host calls of it.
    pub fn entry(self) -> &'static str {
        match self {
            Self::Projection => "quipu:memory/fold",
            Self::Compactor => "compact",
            Self::Observer | Self::Agent => "handle",
        }
    }

    /// Whether this export is what the host calls of it.
    pub(crate) fn enters(self, port: &Port) -> bool {
        match self {
            Self::Projection => port.kind == PortKind::Interface && interface(&port.name) == Some("fold"),
            _ => port.kind == PortKind::Function && port.name == self.entry(),
        }
    }

    /// Why the component does not fit; none: it does, and can be linked against the host.
    pub(crate) fn refuses(self, component: &[u8]) -> Option<String> {
        let (resolve, world) = match self.resolved() {
            Ok(resolved) => resolved,
            Err(error) => return Some(error.to_string()),
        };
        // By name first: nothing is decoded then.
        if wit_component::targets(resolve, world, component, false).is_ok() {
            return None;
        }
        // Then with versions that are compatible.
        match trusting(|| wit_component::targets(resolve, world, component, true)) {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(in_words(&format!("{error:#}"))),
            None => Some("its type cannot be said in WIT".to_owned()),
        }
    }

    fn resolved(self) -> Result<(&'static Resolve, WorldId)> {
        static RESOLVED: OnceLock<Result<(Resolve, wit_parser::PackageId)>> = OnceLock::new();
        let resolved = RESOLVED.get_or_init(|| {
            let mut resolve = Resolve::default();
            let mut map = SourceMap::default();
            for (name, text) in FILES {
                map.push_str(name, text);
            }
            let group = map.parse().map_err(|(_, e)| Error::new(format!("quipu's WIT: {e}")))?;
            let package = resolve
                .push_group(group)
                .map_err(|e| Error::new(format!("quipu's WIT: {e:#}")))?;
            name_types(&mut resolve);
            Ok((resolve, package))
        });
        let (resolve, package) = resolved.as_ref().map_err(Clone::clone)?;
        let world = resolve
            .select_world(&[*package], Some(self.name()))
            .map_err(|e| Error::new(format!("quipu's WIT: {e:#}")))?;
        Ok((resolve, world))
    }
}

/// Lets each world name all types of the interfaces that it imports: a component may name any of them at its root, where
/// there is nothing to call.
fn name_types(resolve: &mut Resolve) {
    let worlds: Vec<_> = resolve.worlds.iter().map(|(id, _)| id).collect();
    for world in worlds {
        let imports = resolve.worlds[world].imports.values();
        let interfaces = imports.filter_map(|item| match item {
            WorldItem::Interface { id, .. } => Some(&resolve.interfaces[*id]),
            _ => None,
        });
        let types: Vec<_> = interfaces.flat_map(|interface| interface.types.clone()).collect();
        for (name, of_id) in types {
            let key = WorldKey::Name(name.clone());
            if resolve.worlds[world].imports.contains_key(&key) {
                continue;
            }
            let of = &resolve.types[of_id];
            let span = of.span;
            let alias = TypeDef {
                name: Some(name),
                kind: TypeDefKind::Type(Type::Id(of_id)),
                owner: TypeOwner::World(world),
                ..of.clone()
            };
            let id = resolve.types.alloc(alias);
            resolve.worlds[world].imports.insert(key, WorldItem::Type { id, span });
        }
    }
}

/// What the validator says last is what does not fit; where in bytes that are not the component's, helps nobody.
fn in_words(error: &str) -> String {
    let last = error.lines().last().unwrap_or_default();
    let last = last.split(" (at offset").next().unwrap_or_default();
    match last.strip_prefix("missing import named ") {
        Some(name) => format!("that world does not offer {name}"),
        None => last.to_owned(),
    }
}

/// The whole interface in WIT, one text a file with its name.
pub fn wit() -> &'static [(&'static str, &'static str)] {
    &FILES
}

/// The type of a component in WIT, as tools print it; of a core module, that of the component that is made of it.
///
/// # Errors
/// Where it is no component, or has a type that WIT has no words for.
pub fn component_wit(wasm: &[u8]) -> Result<String> {
    let component = as_component(wasm)?;
    let print = || -> Result<String, String> {
        let words = |e| format!("{e:#}");
        let decoded = wit_component::decode(&component).map_err(words)?;
        let (resolve, package) = (decoded.resolve(), decoded.package());
        let others: Vec<_> = resolve
            .packages
            .iter()
            .map(|(id, _)| id)
            .filter(|id| *id != package)
            .collect();
        let mut printer = wit_component::WitPrinter::default();
        printer.print(resolve, package, &others).map_err(words)?;
        Ok(printer.output.to_string())
    };
    let printed = trusting(print).unwrap_or_else(|| Err("WIT has no words for it".into()));
    printed.map_err(|why| Error::new(format!("the component's type cannot be written in WIT: {why}")))
}
