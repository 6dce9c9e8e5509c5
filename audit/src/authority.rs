//! What calling a function lets a guest do: a short taxonomy, in plain words.

use serde::Serialize;

use crate::names::memory_interface;

/// What an import is good for. In the order in which reports list them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Authority {
    /// Reads memory whose handle the run was given.
    Reads,
    /// Asks what is derived from that memory.
    Recalls,
    /// Adds entries.
    Appends,
    /// Types alone: there is nothing to call.
    Types,
    /// Tells the time or waits.
    Clock,
    /// Gives random bytes.
    Randomness,
    /// Arguments, variables, standard streams, ending the process.
    Environment,
    /// Files and folders.
    Filesystem,
    /// Sockets, names and HTTP.
    Network,
    /// Starts other programs.
    Subprocess,
    /// Nothing is known of it.
    Unknown,
}

impl Authority {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Reads,
        Self::Recalls,
        Self::Appends,
        Self::Types,
        Self::Clock,
        Self::Randomness,
        Self::Environment,
        Self::Filesystem,
        Self::Network,
        Self::Subprocess,
        Self::Unknown,
    ];

    /// Of an imported interface, or of a function or value that is imported at the root, by its name.
    pub fn of(name: &str) -> Self {
        match memory_interface(name) {
            Some("read") => return Self::Reads,
            Some("recall") => return Self::Recalls,
            Some("append") => return Self::Appends,
            Some(_) => return Self::Types,
            None => {}
        }
        let Some(wasi) = name.strip_prefix("wasi:") else {
            return Self::Unknown;
        };
        let package = wasi.split(['/', '@']).next().unwrap_or_default();
        let interface = wasi.split(['/', '@']).nth(1).unwrap_or_default();
        match (package, interface) {
            ("clocks", _) | ("io", "poll") => Self::Clock,
            ("random", _) => Self::Randomness,
            ("cli", _) | ("io", _) | ("config", _) | ("logging", _) => Self::Environment,
            ("filesystem", _) => Self::Filesystem,
            ("sockets" | "http" | "tls", _) => Self::Network,
            ("process", _) => Self::Subprocess,
            _ => Self::Unknown,
        }
    }

    /// One of the words of the taxonomy.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reads => "reads granted memory",
            Self::Recalls => "recalls",
            Self::Appends => "appends",
            Self::Types => "pure types",
            Self::Clock => "clock",
            Self::Randomness => "randomness",
            Self::Environment => "environment",
            Self::Filesystem => "filesystem",
            Self::Network => "network",
            Self::Subprocess => "subprocess",
            Self::Unknown => "unknown",
        }
    }

    /// What it lets a guest do.
    pub fn allows(self) -> &'static str {
        match self {
            Self::Reads => "read the events of the scopes whose handles the run is given, as they were when it began",
            Self::Recalls => "ask for facts, search and explanations, over those same handles alone",
            Self::Appends => {
                "add entries, as the actor and to the scopes that the grant names. Superseding and retracting are entries too: what is recalled honours them, and reading shows all of it as before"
            }
            Self::Types => "call nothing: it has types alone",
            Self::Clock => "learn the time, measure how long things take, or wait",
            Self::Randomness => "get bytes that differ from run to run, so that a run cannot be repeated",
            Self::Environment => "see arguments and variables, use standard streams, or end the process",
            Self::Filesystem => "reach files and folders that the host opens for it",
            Self::Network => "send and receive over the network",
            Self::Subprocess => "start other programs",
            Self::Unknown => "do whatever the host puts behind it: nothing is known of it",
        }
    }

    /// What it does not let a guest do, where people might expect otherwise. None: nothing can be said of that.
    pub fn denies(self) -> Option<&'static str> {
        match self {
            Self::Reads => Some("open or list other scopes, see entries of the host, or change anything"),
            Self::Recalls => Some("learn of other scopes, not even by their part in a ranking"),
            Self::Appends => Some(
                "change, delete, hide or reorder what is there; choose seq, id, time, actor or run; use kinds outside the \
                 grant",
            ),
            Self::Types => Some("do anything"),
            Self::Clock | Self::Randomness | Self::Environment => Some("change what is in the ledger"),
            Self::Filesystem | Self::Network | Self::Subprocess | Self::Unknown => None,
        }
    }

    /// Whether it is about memory, or about nothing.
    pub fn is_memory(self) -> bool {
        matches!(self, Self::Reads | Self::Recalls | Self::Appends | Self::Types)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interface_has_its_word() {
        for (name, authority) in [
            ("quipu:memory/read@0.1.0", Authority::Reads),
            ("quipu:memory/recall@0.1.7", Authority::Recalls),
            ("quipu:memory/append@0.1.0", Authority::Appends),
            ("quipu:memory/types@0.1.0", Authority::Types),
            ("quipu:memory/append@0.2.0", Authority::Unknown),
            ("quipu:memory/admin@0.1.0", Authority::Unknown),
            ("wasi:clocks/monotonic-clock@0.2.6", Authority::Clock),
            ("wasi:io/poll@0.2.6", Authority::Clock),
            ("wasi:io/streams@0.2.6", Authority::Environment),
            ("wasi:random/insecure-seed@0.2.6", Authority::Randomness),
            ("wasi:cli/environment@0.2.6", Authority::Environment),
            ("wasi:filesystem/preopens@0.2.6", Authority::Filesystem),
            ("wasi:sockets/tcp@0.2.6", Authority::Network),
            ("wasi:http/outgoing-handler@0.2.6", Authority::Network),
            ("wasi:nn/inference@0.2.0", Authority::Unknown),
            ("wasix:clocks/wall-clock", Authority::Unknown),
            ("exec", Authority::Unknown),
        ] {
            assert_eq!(Authority::of(name), authority, "{name}");
        }
    }
}
