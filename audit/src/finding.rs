//! What stands out in a component.

use serde::Serialize;

/// A finding: what it is about, by which rule, and how grave.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Finding {
    /// By which rule.
    pub rule: Rule,
    /// How grave.
    pub severity: Severity,
    /// The import, export or nested part that it is about.
    pub subject: String,
    /// What is the matter, in a sentence.
    pub message: String,
}

impl Finding {
    pub(crate) fn new(rule: Rule, subject: &str, message: impl Into<String>) -> Self {
        Self {
            rule,
            severity: rule.severity(),
            subject: subject.to_owned(),
            message: message.into(),
        }
    }
}

/// How grave a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// The component does not conform.
    Violation,
    /// It does not count against the component; a reviewer may want to know.
    Note,
}

impl Severity {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Violation => "violation",
            Self::Note => "note",
        }
    }
}

/// What findings are made by. Identifiers never change their meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rule {
    /// It imports what is none of quipu's interfaces.
    ForeignImport,
    /// It imports one of quipu's interfaces with another type, or fits no world.
    WrongType,
    /// It exports nothing that the host calls.
    NoEntry,
    /// It uses builtins of the component model's concurrency.
    AsyncBuiltin,
    /// It is made of WebAssembly that the host's engine does not run.
    Unsupported,
    /// It is more than the policy allows.
    Policy,
    /// It exports what the host never calls.
    UnexpectedExport,
    /// A build tool left an export that the host never calls.
    ToolLeftover,
    /// It runs code when it is instantiated.
    StartFunction,
    /// A memory or table that is large.
    Minimum,
    /// Something nested in it imports what the outer type does not.
    Internal,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::ForeignImport,
        Self::WrongType,
        Self::NoEntry,
        Self::AsyncBuiltin,
        Self::Unsupported,
        Self::Policy,
        Self::UnexpectedExport,
        Self::ToolLeftover,
        Self::StartFunction,
        Self::Minimum,
        Self::Internal,
    ];

    /// How grave what it finds is.
    pub fn severity(self) -> Severity {
        match self {
            Self::ForeignImport
            | Self::WrongType
            | Self::NoEntry
            | Self::AsyncBuiltin
            | Self::Unsupported
            | Self::Policy => Severity::Violation,
            Self::UnexpectedExport | Self::ToolLeftover | Self::StartFunction | Self::Minimum | Self::Internal => {
                Severity::Note
            }
        }
    }

    /// Its identifier.
    pub fn id(self) -> &'static str {
        match self {
            Self::ForeignImport => "foreign-import",
            Self::WrongType => "wrong-type",
            Self::NoEntry => "no-entry",
            Self::AsyncBuiltin => "async-builtin",
            Self::Unsupported => "unsupported",
            Self::Policy => "policy",
            Self::UnexpectedExport => "unexpected-export",
            Self::ToolLeftover => "tool-leftover",
            Self::StartFunction => "start-function",
            Self::Minimum => "minimum",
            Self::Internal => "internal",
        }
    }

    /// What it means, in a sentence.
    pub fn says(self) -> &'static str {
        match self {
            Self::ForeignImport => {
                "A component may import quipu:memory 0.1's types, read, recall and append, and nothing else."
            }
            Self::WrongType => {
                "What is imported and exported under quipu's names must have the types of a world of quipu:memory."
            }
            Self::NoEntry => "A component must export what the host calls: handle, compact, or the interface fold.",
            Self::AsyncBuiltin => "The host offers no concurrency within a component.",
            Self::Unsupported => {
                "The host runs WebAssembly 2.0 and a few additions: no 64-bit or shared memories, exceptions or garbage \
                 collection."
            }
            Self::Policy => "The policy allows less than this component can do.",
            Self::UnexpectedExport => {
                "An export that the host never calls is dead weight; it gives the component nothing."
            }
            Self::ToolLeftover => "Some build tools leave an export that the host never calls.",
            Self::StartFunction => "A start function runs when the component is instantiated, within the run's limits.",
            Self::Minimum => "What a memory or table takes at least counts against the run's limits.",
            Self::Internal => "What is nested reaches only what the outer type imports, whatever it asks for.",
        }
    }
}
