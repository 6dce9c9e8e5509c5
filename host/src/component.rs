use std::{fmt, sync::Arc};

use quipu_audit::{Anatomy, Port, PortKind, Wasm, componentise, interface, kind_of, memory_interface};
use quipu_format::Hash;

use crate::{Error, ErrorKind, Result};

/// The bytes of an agent, and what its outer type says of it. Cheap to clone.
#[derive(Clone)]
pub struct AgentComponent(Arc<Parts>);

struct Parts {
    bytes: Vec<u8>,
    sha256: Hash,
    imports: Vec<String>,
    foreign_imports: Vec<String>,
    exports: Vec<String>,
    /// It exports a function `handle`.
    handles: bool,
    /// It exports a function `compact`.
    compacts: bool,
    /// It exports the interface `fold`.
    #[cfg_attr(not(feature = "recall"), expect(dead_code, reason = "nothing is derived"))]
    folds: bool,
}

impl fmt::Debug for AgentComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentComponent")
            .field("sha256", &self.sha256())
            .field("world", &self.world())
            .finish_non_exhaustive()
    }
}

impl AgentComponent {
    /// Takes a component, or a core module with a component-type section (what `cargo build --target
    /// wasm32-unknown-unknown` makes of a guest), which it turns into a component.
    ///
    /// Refused is what exports no function `handle`. Imports are listed, and not judged: an application may offer
    /// more than memory.
    pub fn new(wasm: &[u8]) -> Result<Self> {
        let parts = Parts::of(wasm)?;
        if !parts.handles {
            return Err(refused(
                "the component exports no function `handle`: build it for world `agent` or `observer` of quipu:memory",
            ));
        }
        Ok(Self(Arc::new(parts)))
    }

    /// The component. It is what the digest is of, what the engine compiles and what the ledger keeps.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// SHA-256 of the component.
    pub fn sha256(&self) -> Hash {
        self.0.sha256
    }

    /// All that it imports, by name, in its own order: interfaces such as `quipu:memory/read@0.1.0`, functions, and
    /// names of types such as `reader`, which carry no function.
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// Those of its imports that are not `quipu:memory` 0.1's `types`, `read`, `recall` or `append`, nor names of
    /// types.
    pub fn foreign_imports(&self) -> &[String] {
        &self.0.foreign_imports
    }

    /// All that it exports, by name.
    pub fn exports(&self) -> &[String] {
        &self.0.exports
    }

    /// The narrowest world that it fits: `agent` if it imports `append`, else `observer`; `compactor` if that is all it
    /// exports.
    pub fn world(&self) -> &'static str {
        if self.0.compacts && !self.0.handles {
            return "compactor";
        }
        let appends = self
            .0
            .imports
            .iter()
            .any(|name| memory_interface(name) == Some("append"));
        if appends { "agent" } else { "observer" }
    }
}

/// The bytes of a compactor component: it reads a scope and proposes summaries. Cheap to clone.
#[cfg(feature = "recall")]
#[derive(Clone)]
pub struct CompactorComponent(pub(crate) AgentComponent);

#[cfg(feature = "recall")]
impl CompactorComponent {
    /// Takes a component, or a core module with a component-type section, which it turns into a component.
    ///
    /// Refused is what exports no function `compact`, and what imports anything but the interfaces `types` and `read`.
    pub fn new(wasm: &[u8]) -> Result<Self> {
        let parts = Parts::of(wasm)?;
        if !parts.compacts {
            return Err(refused(
                "the component exports no function `compact`: build it for world `compactor` of quipu:memory",
            ));
        }
        let is_more = |name: &&String| name.contains(':') && !matches!(memory_interface(name), Some("types" | "read"));
        let more: Vec<_> = parts
            .imports
            .iter()
            .filter(is_more)
            .chain(&parts.foreign_imports)
            .cloned()
            .collect();
        match more.is_empty() {
            true => Ok(Self(AgentComponent(Arc::new(parts)))),
            false => Err(refused(format!(
                "the component wants more than to read, and is not used: it imports {}",
                more.join(", ")
            ))),
        }
    }

    /// SHA-256 of the component.
    pub fn sha256(&self) -> Hash {
        self.0.sha256()
    }
}

/// The bytes of a projection component: a fold of events that imports no function. Cheap to clone.
#[cfg(feature = "recall")]
#[derive(Clone)]
pub struct ProjectionComponent(Arc<Parts>);

#[cfg(feature = "recall")]
impl ProjectionComponent {
    /// Takes a component, or a core module with a component-type section, which it turns into a component.
    ///
    /// Refused is what does not export the interface `fold`, and what imports anything but the interface `types`, which
    /// has no function: it could do more than derive.
    pub fn new(wasm: &[u8]) -> Result<Self> {
        let parts = Parts::of(wasm)?;
        if !parts.folds {
            return Err(refused(
                "the component does not export the interface fold: build it for world `projection` of quipu:memory",
            ));
        }
        let carries_functions = |name: &&String| name.contains(':') && memory_interface(name) != Some("types");
        let wanted: Vec<_> = parts.imports.iter().filter(carries_functions).cloned().collect();
        match wanted.is_empty() && parts.foreign_imports.is_empty() {
            true => Ok(Self(Arc::new(parts))),
            false => Err(refused(format!(
                "the component wants more than to derive, and is not used: it imports {}",
                if wanted.is_empty() {
                    parts.foreign_imports
                } else {
                    wanted
                }
                .join(", ")
            ))),
        }
    }

    /// The component. It is what the digest is of, what the engine compiles and what the ledger keeps.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// SHA-256 of the component.
    pub fn sha256(&self) -> Hash {
        self.0.sha256
    }
}

impl Parts {
    fn of(wasm: &[u8]) -> Result<Self> {
        let bytes = match kind_of(wasm) {
            Some(Wasm::Component) => wasm.to_vec(),
            Some(Wasm::Module) => componentise(wasm).map_err(|error| refused(error.to_string()))?,
            None => return Err(refused("the file is not WebAssembly: it does not begin with \\0asm")),
        };
        Self::read(bytes)
    }

    /// Reads the outer type, as an audit does: what that says conforms is what is accepted here.
    fn read(bytes: Vec<u8>) -> Result<Self> {
        let anatomy = Anatomy::of(&bytes).map_err(|error| refused(error.to_string()))?;
        if let Some(why) = anatomy.unsupported {
            return Err(refused(format!(
                "the component is made of what the host does not offer: {why}"
            )));
        }
        let is_function = |name: &str| {
            let exports = |port: &Port| port.name == name && port.kind == PortKind::Function;
            anatomy.exports.iter().any(exports)
        };
        let is_fold = |port: &Port| port.kind == PortKind::Interface && interface(&port.name) == Some("fold");
        Ok(Self {
            sha256: anatomy.sha256,
            foreign_imports: anatomy.foreign().map(|port| port.name.clone()).collect(),
            handles: is_function("handle"),
            compacts: is_function("compact"),
            folds: anatomy.exports.iter().any(is_fold),
            imports: names(anatomy.imports),
            exports: names(anatomy.exports),
            bytes,
        })
    }
}

fn names(ports: Vec<Port>) -> Vec<String> {
    ports.into_iter().map(|port| port.name).collect()
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Component, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_agent_is_refused_in_words() {
        for (wasm, words) in [
            (&b""[..], "not WebAssembly"),
            (b"#!/bin/sh", "not WebAssembly"),
            (b"\0asm\x01\0\0\0", "handle"),
            (b"\0asm\x0d\0\x01\0", "handle"),
            (b"\0asm\x0d\0\x01\0\xff\xff\xff", "cannot be read"),
            (b"\0asm\x01\0\0\0\xff\xff", "cannot be made a component"),
        ] {
            let error = AgentComponent::new(wasm).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Component);
            assert!(error.to_string().contains(words), "{wasm:?}: {error}");
        }
    }

    /// A component that WIT cannot express.
    fn importing_a_type_of_function() -> Vec<u8> {
        [
            b"\0asm\x0d\0\x01\0".as_slice(),
            // A type: an instance that exports, as `f`, the type of a function without parameters and result.
            b"\x07\x0f\x01\x42\x02\x01\x40\0\x01\0\x04\0\x01f\x03\0\0",
            // It is imported.
            b"\x0a\x0a\x01\0\x05a:b/c\x05\0",
        ]
        .concat()
    }

    #[test]
    fn an_interface_that_exports_a_type_of_function_is_read() {
        let wasm = importing_a_type_of_function();
        let error = AgentComponent::new(&wasm).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Component);
        assert!(error.to_string().contains("handle"), "{error}");
        let parts = Parts::read(wasm).unwrap();
        assert_eq!(parts.foreign_imports, ["a:b/c"]);
    }

    /// A core module whose component-type section holds this component.
    fn module_of_type(component: &[u8]) -> Vec<u8> {
        let name = b"component-type:x";
        let mut section = vec![u8::try_from(name.len()).unwrap()];
        section.extend_from_slice(name);
        section.extend_from_slice(component);
        let mut wasm = b"\0asm\x01\0\0\0\0".to_vec();
        wasm.push(u8::try_from(section.len()).unwrap());
        wasm.extend_from_slice(&section);
        wasm
    }

    #[test]
    fn a_module_whose_world_has_such_an_interface_is_refused() {
        let error = AgentComponent::new(&module_of_type(&importing_a_type_of_function()))
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::Component);
        assert!(error.to_string().contains("cannot be made a component"), "{error}");
    }

    /// The encoder asserts that the component type which such a section exports has an export itself: a world.
    #[test]
    fn a_module_at_which_the_encoder_panics_is_refused() {
        let empty_world = [
            b"\0asm\x0d\0\x01\0".as_slice(),
            // A type: a component without imports and exports. It is exported as `x`.
            b"\x07\x03\x01\x41\0",
            b"\x0b\x07\x01\0\x01x\x03\0\0",
        ]
        .concat();
        let error = AgentComponent::new(&module_of_type(&empty_world)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Component);
        assert!(
            error.to_string().contains("component-type section is malformed"),
            "{error}"
        );
    }
}
