//! The verdict: which worlds a component fits, what it can do, and what stands out.

use std::{borrow::Cow, collections::BTreeSet};

use quipu_format::{Hash, Limits};
use serde::Serialize;

use crate::{
    Result,
    anatomy::{Anatomy, Inner, InnerKind, Port, PortKind},
    authority::Authority,
    componentise::as_component,
    finding::{Finding, Rule, Severity},
    names::memory_interface,
    worlds::World,
};

/// What can be said of a component.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Audit {
    /// What is in it.
    pub anatomy: Anatomy,
    /// SHA-256 of the file, which is the component's unless that was made of a core module.
    pub file_sha256: Hash,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// It was a core module, and what is described is the component that was made of it.
    pub componentised: bool,
    /// The worlds that it fits, from the narrowest on; one that fits a narrower world is not listed for a wider one of the
    /// same entry.
    pub worlds: Vec<World>,
    /// Each function that it could call or that could be called, and what that means.
    pub functions: Vec<Function>,
    /// What stands out, the gravest first.
    pub findings: Vec<Finding>,
}

/// A function of the outer type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Function {
    /// The import or export that it belongs to, or is.
    pub port: String,
    /// Its name there; empty where the port is the function.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Of an import: what calling it is good for. Of an export: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<Authority>,
    /// Of an export: the host calls it.
    pub is_entry: bool,
}

impl Audit {
    /// Reads a component, or a core module with a component-type section, of which a component is made first.
    ///
    /// # Errors
    /// Where it is neither, or damaged, or larger than 256 MiB.
    pub fn of(wasm: &[u8]) -> Result<Self> {
        let component = as_component(wasm)?;
        let anatomy = Anatomy::of(&component)?;
        let (worlds, mut findings) = worlds(&component, &anatomy);
        findings.extend(beyond(&anatomy));
        findings.extend(notes(&anatomy));
        findings.sort_by_key(|finding| (finding.severity, finding.rule));
        Ok(Self {
            functions: functions(&anatomy),
            file_sha256: Hash::of(&[wasm]),
            file_bytes: wasm.len() as u64,
            componentised: matches!(component, Cow::Owned(_)),
            anatomy,
            worlds,
            findings,
        })
    }

    /// Whether it can do no more than a world of `quipu:memory` allows.
    pub fn conforms(&self) -> bool {
        let violates = |finding: &Finding| finding.severity == Severity::Violation;
        !self.worlds.is_empty() && !self.findings.iter().any(violates)
    }

    /// What it can do: of each import, once.
    pub fn authorities(&self) -> BTreeSet<Authority> {
        self.anatomy.calls().map(Port::authority).collect()
    }

    /// The verdict in a sentence or two, for people.
    pub fn sentence(&self) -> String {
        let has = self.authorities();
        if !self.conforms() {
            return self.refusal(&has);
        }
        if self.worlds == [World::Projection] {
            return "Can derive a state from the events that it is handed. Cannot read anything else, append, change, \
                    delete, hide or reorder anything. No clock, network, files, randomness."
                .into();
        }
        let mut can = Vec::new();
        if has.contains(&Authority::Reads) {
            can.push("read the scopes that it is handed");
        }
        if has.contains(&Authority::Recalls) {
            can.push(match can.is_empty() {
                true => "recall from the scopes that it is handed",
                false => "recall from them",
            });
        }
        if self.worlds.first() == Some(&World::Compactor) {
            can.push("propose summaries");
        }
        let appends = has.contains(&Authority::Appends);
        if appends {
            can.push("append");
        }
        let can = match can.as_slice() {
            [] => "Can answer, and nothing else.".to_owned(),
            [one] => format!("Can {one}."),
            [first, last] => format!("Can {first} and {last}."),
            [first, middle @ .., last] => format!("Can {first}, {} and {last}.", middle.join(", ")),
        };
        let cannot = match appends {
            true => "Cannot change, delete, hide or reorder anything.",
            false => "Cannot append, change, delete, hide or reorder anything.",
        };
        format!("{can} {cannot} No clock, network, files, randomness.")
    }

    /// What it is good for, and of what nothing is known, the imports.
    fn named(&self, authority: Authority) -> String {
        if authority != Authority::Unknown {
            return authority.word().into();
        }
        let names = self.anatomy.calls().map(|port| port.name.as_str());
        let names = names.filter(|name| Authority::of(name) == authority);
        format!("{} ({})", authority.word(), names.collect::<Vec<_>>().join(", "))
    }

    fn refusal(&self, has: &BTreeSet<Authority>) -> String {
        let more = has.iter().filter(|has| !has.is_memory());
        let more: Vec<_> = more.map(|has| self.named(*has)).collect();
        let why = match (more.as_slice(), self.findings.first()) {
            ([], Some(finding)) => finding.message.clone(),
            ([], None) => "it fits no world of quipu:memory".into(),
            (more, _) => format!("it wants more than memory: {}", more.join(", ")),
        };
        format!("Does not conform: {why}{}", if why.ends_with('.') { "" } else { "." })
    }
}

/// The worlds that it fits, and why it fits none of those that it was meant for.
fn worlds(component: &[u8], anatomy: &Anatomy) -> (Vec<World>, Vec<Finding>) {
    let exports = |world: &World| anatomy.exports.iter().any(|port| world.enters(port));
    let meant: Vec<_> = World::ALL.into_iter().filter(exports).collect();
    if meant.is_empty() {
        let message =
            "it exports no function handle or compact and no interface fold, so the host could call nothing of it";
        return (Vec::new(), vec![Finding::new(Rule::NoEntry, "", message)]);
    }
    let (mut fits, mut refused) = (Vec::<World>::new(), Vec::new());
    for world in meant {
        if fits.iter().any(|narrower| narrower.entry() == world.entry()) {
            continue;
        }
        match world.refuses(component) {
            None => fits.push(world),
            Some(why) => refused.push((world, why)),
        }
    }
    // A world of another entry that it does not fit is none of the host's concern: nobody calls that entry then.
    let finding = match (fits.is_empty(), refused.pop()) {
        (true, Some((world, why))) => {
            let message = format!("it does not fit world {}: {why}", world.name());
            vec![Finding::new(Rule::WrongType, world.entry(), message)]
        }
        _ => Vec::new(),
    };
    (fits, finding)
}

/// Whether the host calls this export, in one world or another.
fn is_entry(port: &Port) -> bool {
    World::ALL.into_iter().any(|world| world.enters(port))
}

/// What the host does not offer: other imports than quipu's, and WebAssembly that its engine does not run.
fn beyond(anatomy: &Anatomy) -> Vec<Finding> {
    let mut findings: Vec<_> = anatomy
        .foreign()
        .map(|port| {
            let authority = Authority::of(&port.name);
            let alike = match looks_like_ours(&port.name) {
                true => ". The name looks like quipu's, and is not",
                false => "",
            };
            let message = format!(
                "it imports {} ({}), which would let it {}{alike}",
                port.name,
                authority.word(),
                authority.allows()
            );
            Finding::new(Rule::ForeignImport, &port.name, message)
        })
        .collect();
    if !anatomy.async_builtins.is_empty() {
        let names = anatomy.async_builtins.join(", ");
        let message = format!("it uses concurrency within a component, which the host does not offer: {names}");
        findings.push(Finding::new(Rule::AsyncBuiltin, &names, message));
    }
    if let Some(why) = &anatomy.unsupported {
        let message = format!("it is made of what the host does not offer: {why}");
        findings.push(Finding::new(Rule::Unsupported, "", message));
    }
    findings
}

/// Whether somebody who reads quickly would take a foreign name for one of quipu's.
fn looks_like_ours(name: &str) -> bool {
    let plain: String = name
        .chars()
        .map(|letter| match letter {
            '0' => 'o',
            '1' | 'l' => 'i',
            letter => letter.to_ascii_lowercase(),
        })
        .filter(char::is_ascii_alphanumeric)
        .collect();
    plain.contains("quipu") || plain.contains("memoryappend") || plain.contains("memoryread")
}

/// What a reviewer may want to know.
fn notes(anatomy: &Anatomy) -> Vec<Finding> {
    let mut notes = of_exports(anatomy);
    if anatomy.starts {
        let message = "the component has a start function, which runs when it is instantiated";
        notes.push(Finding::new(Rule::StartFunction, "", message));
    }
    for inner in &anatomy.inner {
        of_inner(inner, anatomy, &mut notes);
    }
    notes
}

fn of_exports(anatomy: &Anatomy) -> Vec<Finding> {
    let mut notes = Vec::new();
    for port in &anatomy.exports {
        if is_entry(port) || port.kind == PortKind::Type || memory_interface(&port.name) == Some("types") {
            continue;
        }
        notes.push(match (port.name.as_str(), port.kind) {
            ("init", PortKind::Function) | ("exports", PortKind::Interface) => {
                let tool = if port.name == "init" {
                    "componentize-qjs"
                } else {
                    "componentize-py"
                };
                let message = format!("it exports {}, which {tool} leaves and the host never calls", port.name);
                Finding::new(Rule::ToolLeftover, &port.name, message)
            }
            _ => {
                let message = format!("it exports {}, which the host never calls", port.name);
                Finding::new(Rule::UnexpectedExport, &port.name, message)
            }
        });
    }
    notes
}

fn of_inner(inner: &Inner, anatomy: &Anatomy, notes: &mut Vec<Finding>) {
    // As a run has it, unless its grant says otherwise.
    let most = Limits::default().memory_bytes as u64;
    if inner.starts {
        let message = format!(
            "{} has a start function, which runs when it is instantiated",
            inner.path
        );
        notes.push(Finding::new(Rule::StartFunction, &inner.path, message));
    }
    for memory in &inner.memories {
        if memory.min_bytes > most {
            let message = format!(
                "a memory of {} takes at least {} bytes, more than the {most} that a run gets unless its grant says otherwise",
                inner.path, memory.min_bytes
            );
            notes.push(Finding::new(Rule::Minimum, &inner.path, message));
        }
    }
    for table in &inner.tables {
        // An element takes a pointer at least.
        if table.min_elements.saturating_mul(8) > most {
            let message = format!(
                "a table of {} takes at least {} elements, more than fit the {most} bytes that a run gets unless its grant \
                 says otherwise",
                inner.path, table.min_elements
            );
            notes.push(Finding::new(Rule::Minimum, &inner.path, message));
        }
    }
    if inner.kind == InnerKind::Component {
        let beyond = inner.imports.iter().filter(|name| name.contains(':'));
        let is_imported = |name: &&String| anatomy.imports.iter().any(|port| port.name == **name);
        for name in beyond.filter(|name| !is_imported(name)) {
            let message = format!(
                "{} imports {name}, and the outer type does not: internal, it is met from within and reaches nothing outside",
                inner.path
            );
            notes.push(Finding::new(Rule::Internal, name, message));
        }
    }
}

fn functions(anatomy: &Anatomy) -> Vec<Function> {
    let mut functions = Vec::new();
    let mut add = |port: &Port, authority: Option<Authority>, is_entry: bool| {
        let mut push = |name: &str| {
            functions.push(Function {
                port: port.name.clone(),
                name: name.to_owned(),
                authority,
                is_entry,
            });
        };
        match port.kind {
            PortKind::Type => {}
            PortKind::Interface => port.functions.iter().for_each(|name| push(name)),
            _ => push(""),
        }
    };
    for port in &anatomy.imports {
        add(port, Some(port.authority()), false);
    }
    for port in &anatomy.exports {
        add(port, None, is_entry(port));
    }
    functions
}
