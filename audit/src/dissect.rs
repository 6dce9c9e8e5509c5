//! Taking a component's binary apart.

use quipu_format::{Hash, limits};
use wasmparser::{
    CanonicalFunction, KnownCustom, MemoryType, Parser, Payload, TableType, TypeRef, Validator, WasmFeatures,
    component_types::{ComponentEntityType, ComponentInstanceTypeId},
    types::Types,
};

use crate::{
    Error, Result,
    anatomy::{Anatomy, Inner, InnerKind, Memory, Port, PortKind, Table},
    componentise::{Wasm, kind_of},
    features::features,
    origin,
};

impl Anatomy {
    /// Reads a component. All of it is validated, code included, but nothing is compiled.
    ///
    /// # Errors
    /// Where it is none, or damaged, or larger than [`limits::COMPONENT_BYTES`].
    pub fn of(wasm: &[u8]) -> Result<Self> {
        if wasm.len() > limits::COMPONENT_BYTES {
            let message = format!(
                "the file has {} bytes, and components of at most {} are read",
                wasm.len(),
                limits::COMPONENT_BYTES
            );
            return Err(Error::new(message));
        }
        if kind_of(wasm) != Some(Wasm::Component) {
            return Err(Error::new(
                "the file is no WebAssembly component: it does not begin as one",
            ));
        }
        let unreadable = |e| Error::new(format!("the component cannot be read: {e}"));
        let validate = |features| Validator::new_with_features(features).validate_all(wasm);
        let (types, unsupported) = match validate(features()) {
            Ok(types) => (types, None),
            // What a host elsewhere could run is described all the same.
            Err(why) => (
                validate(WasmFeatures::all()).map_err(unreadable)?,
                Some(why.message().to_owned()),
            ),
        };
        let mut anatomy = Self {
            sha256: Hash::of(&[wasm]),
            bytes: wasm.len() as u64,
            imports: Vec::new(),
            exports: Vec::new(),
            inner: Vec::new(),
            async_builtins: Vec::new(),
            starts: false,
            unsupported,
            producers: Vec::new(),
            dependencies: Vec::new(),
        };
        let mut reader = Reader::default();
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload.map_err(unreadable)?;
            reader.take(payload, &types, &mut anatomy).map_err(unreadable)?;
        }
        anatomy.producers.sort();
        anatomy.producers.dedup();
        anatomy.dependencies.sort();
        anatomy.dependencies.dedup();
        Ok(anatomy)
    }
}

/// Where the parser is.
#[derive(Default)]
struct Reader {
    /// What is being read, from the outside in: positions in [`Anatomy::inner`].
    open: Vec<usize>,
    /// Components and core modules so far, in what is around them: one pair for the outer component and each that is
    /// open.
    counts: Vec<[usize; 2]>,
    /// A list of dependencies was there.
    has_dependencies: bool,
}

impl Reader {
    fn take(
        &mut self,
        payload: Payload<'_>,
        types: &Types,
        anatomy: &mut Anatomy,
    ) -> Result<(), wasmparser::BinaryReaderError> {
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                self.enter(InnerKind::CoreModule, unchecked_range, anatomy);
            }
            Payload::ComponentSection { unchecked_range, .. } => {
                self.enter(InnerKind::Component, unchecked_range, anatomy);
            }
            Payload::End(_) => {
                self.open.pop();
                self.counts.truncate(self.open.len() + 1);
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let name = import?.name.name;
                    match self.open.last() {
                        Some(&inner) => anatomy.inner[inner].imports.push(name.to_owned()),
                        None => {
                            let item = types.as_ref().component_item_for_import(name);
                            let port = item.map(|item| port(name, item.ty, types));
                            anatomy.imports.extend(port);
                        }
                    }
                }
            }
            Payload::ComponentExportSection(section) if self.open.is_empty() => {
                for export in section {
                    let name = export?.name.name;
                    let item = types.as_ref().component_item_for_export(name);
                    anatomy.exports.extend(item.map(|item| port(name, item.ty, types)));
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    let builtin = builtin(&function?);
                    let known = |builtin: &String| !anatomy.async_builtins.contains(builtin);
                    anatomy.async_builtins.extend(builtin.filter(known));
                }
            }
            Payload::ComponentStartSection { .. } => match self.open.last() {
                Some(&inner) => anatomy.inner[inner].starts = true,
                None => anatomy.starts = true,
            },
            Payload::CustomSection(section) => {
                if let KnownCustom::Producers(section) = section.as_known() {
                    anatomy.producers.extend(origin::producers(section));
                } else if section.name() == ".dep-v0" && !self.has_dependencies {
                    // The first, as their reader does; each can be as long again as the limit.
                    self.has_dependencies = true;
                    anatomy.dependencies = origin::dependencies(section.data());
                }
            }
            payload => {
                if let Some(&inner) = self.open.last() {
                    core(payload, &mut anatomy.inner[inner])?;
                }
            }
        }
        Ok(())
    }

    fn enter(&mut self, kind: InnerKind, range: std::ops::Range<u64>, anatomy: &mut Anatomy) {
        let depth = self.open.len();
        self.counts.resize(depth + 1, [0; 2]);
        let (word, count) = match kind {
            InnerKind::Component => ("component", &mut self.counts[depth][0]),
            InnerKind::CoreModule => ("core module", &mut self.counts[depth][1]),
        };
        let own = format!("{word} {count}");
        *count += 1;
        let path = match self.open.last() {
            Some(&around) => format!("{} / {own}", anatomy.inner[around].path),
            None => own,
        };
        self.open.push(anatomy.inner.len());
        anatomy.inner.push(Inner {
            path,
            kind,
            bytes: range.end - range.start,
            imports: Vec::new(),
            memories: Vec::new(),
            tables: Vec::new(),
            starts: false,
        });
    }
}

/// What a section of a core module says.
fn core(payload: Payload<'_>, inner: &mut Inner) -> Result<(), wasmparser::BinaryReaderError> {
    match payload {
        Payload::ImportSection(section) => {
            for import in section.into_imports() {
                let import = import?;
                inner.imports.push(format!("{} {}", import.module, import.name));
                match import.ty {
                    TypeRef::Memory(memory) => inner.memories.push(memory.into()),
                    TypeRef::Table(table) => inner.tables.push(table.into()),
                    _ => {}
                }
            }
        }
        Payload::MemorySection(section) => {
            for memory in section {
                inner.memories.push(memory?.into());
            }
        }
        Payload::TableSection(section) => {
            for table in section {
                inner.tables.push(table?.ty.into());
            }
        }
        Payload::StartSection { .. } => inner.starts = true,
        _ => {}
    }
    Ok(())
}

impl From<MemoryType> for Memory {
    fn from(memory: MemoryType) -> Self {
        let page = memory.page_size_log2.unwrap_or(16);
        let bytes = |pages: u64| pages.saturating_mul(1_u64.checked_shl(page).unwrap_or(u64::MAX));
        Self {
            min_bytes: bytes(memory.initial),
            max_bytes: memory.maximum.map(bytes),
            is_64: memory.memory64,
            is_shared: memory.shared,
        }
    }
}

impl From<TableType> for Table {
    fn from(table: TableType) -> Self {
        Self {
            min_elements: table.initial,
            max_elements: table.maximum,
        }
    }
}

fn port(name: &str, ty: ComponentEntityType, types: &Types) -> Port {
    let (mut functions, mut named) = (Vec::new(), Vec::new());
    let kind = match ty {
        ComponentEntityType::Instance(id) => {
            members(id, types, &mut functions, &mut named);
            PortKind::Interface
        }
        ComponentEntityType::Func(_) => PortKind::Function,
        ComponentEntityType::Type { .. } => PortKind::Type,
        ComponentEntityType::Module(_) => PortKind::Module,
        ComponentEntityType::Component(_) => PortKind::Component,
        ComponentEntityType::Value(_) => PortKind::Value,
    };
    Port {
        name: name.to_owned(),
        kind,
        functions,
        types: named,
    }
}

/// The functions and types of an instance.
fn members(id: ComponentInstanceTypeId, types: &Types, functions: &mut Vec<String>, named: &mut Vec<String>) {
    for (name, item) in &types[id].exports {
        match item.ty {
            ComponentEntityType::Type { .. } => named.push(name.clone()),
            // What could be called, or instantiated and then called. An instance in it is named, and not gone into: none of
            // ours has one, and names within names take room by their product.
            _ => functions.push(name.clone()),
        }
    }
}

/// The name of a builtin that belongs to the component model's concurrency.
fn builtin(function: &CanonicalFunction) -> Option<String> {
    match function {
        CanonicalFunction::Lift { .. }
        | CanonicalFunction::Lower { .. }
        | CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => None,
        other => {
            let name = format!("{other:?}");
            let end = name.find([' ', '{', '(']).unwrap_or(name.len());
            let mut words = String::new();
            for letter in name[..end].chars() {
                if letter.is_uppercase() && !words.is_empty() {
                    words.push('.');
                }
                words.extend(letter.to_lowercase());
            }
            Some(words)
        }
    }
}
