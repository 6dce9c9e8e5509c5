//! What is in a component's binary: its outer type, and what is nested in it.

use quipu_format::Hash;
use serde::Serialize;

use crate::{
    authority::Authority,
    names::memory_interface,
    origin::{Dependency, Producer},
};

/// What is in a component.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Anatomy {
    /// SHA-256 of its bytes, unpadded base64url in JSON.
    pub sha256: Hash,
    /// How many bytes it has.
    pub bytes: u64,
    /// All that it imports, in its own order. What is not here it cannot reach.
    pub imports: Vec<Port>,
    /// All that it exports.
    pub exports: Vec<Port>,
    /// Components and core modules in it, in the order of the file.
    pub inner: Vec<Inner>,
    /// Builtins of the component model's concurrency that it uses, by name, each once.
    pub async_builtins: Vec<String>,
    /// The component itself has a start function.
    pub starts: bool,
    /// What it needs of WebAssembly that the host does not offer, as the validator says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<String>,
    /// What it says it was made by.
    pub producers: Vec<Producer>,
    /// What it says is in it.
    pub dependencies: Vec<Dependency>,
}

impl Anatomy {
    /// What it imports besides names of types.
    pub fn calls(&self) -> impl Iterator<Item = &Port> {
        self.imports.iter().filter(|port| port.kind != PortKind::Type)
    }

    /// What it imports that is none of quipu's interfaces, nor a name of a type.
    pub fn foreign(&self) -> impl Iterator<Item = &Port> {
        let is_ours = |port: &&Port| port.kind == PortKind::Interface && memory_interface(&port.name).is_some();
        self.calls().filter(move |port| !is_ours(port))
    }
}

/// An import or export of the outer type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Port {
    /// Its name, such as `quipu:memory/read@0.1.0`.
    pub name: String,
    /// What it is.
    pub kind: PortKind,
    /// Of an interface: its functions, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// Of an interface: its types, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

impl Port {
    /// What it is good for, as an import: one of quipu's interfaces of which it takes no function is of types alone.
    pub fn authority(&self) -> Authority {
        let is_types = self.functions.is_empty() && memory_interface(&self.name).is_some();
        match is_types || self.kind == PortKind::Type {
            true => Authority::Types,
            false => Authority::of(&self.name),
        }
    }
}

/// What an import or export is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PortKind {
    /// An instance: functions and types under one name.
    Interface,
    /// A function.
    Function,
    /// A type.
    Type,
    /// A core module.
    Module,
    /// A component.
    Component,
    /// A value.
    Value,
}

/// A component or core module that is nested in the component. Its imports are met by what is around it: it reaches
/// nothing that the outer type does not import.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Inner {
    /// Where it is, such as `core module 0` or `component 1 / core module 0`.
    pub path: String,
    /// What it is.
    pub kind: InnerKind,
    /// How many bytes it has.
    pub bytes: u64,
    /// What it imports, by name.
    pub imports: Vec<String>,
    /// Memories that it defines.
    pub memories: Vec<Memory>,
    /// Tables that it defines.
    pub tables: Vec<Table>,
    /// It has a start function: it runs as soon as it is instantiated, before any export is called.
    pub starts: bool,
}

/// What is nested.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum InnerKind {
    /// A core module.
    CoreModule,
    /// A component.
    Component,
}

/// A memory's limits, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Memory {
    /// It has at least so many from the beginning.
    pub min_bytes: u64,
    /// It never grows past so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Its addresses have 64 bits.
    pub is_64: bool,
    /// Threads may share it.
    pub is_shared: bool,
}

/// A table's limits, in elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Table {
    /// It has at least so many from the beginning.
    pub min_elements: u64,
    /// It never grows past so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_elements: Option<u64>,
}
