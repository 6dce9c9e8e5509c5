use serde::{Deserialize, Serialize};

use crate::{Envelope, Error, Hash, Result, Scope};

/// What an entry of kind `quipu.scopes` says: the root of the tree of scopes over the ledger's first entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeRoot {
    /// Entries that it covers: those whose `seq` is below.
    pub size: u64,
    /// Root of the tree of scopes over them.
    pub root: Hash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sys {
    scopes: ScopeRoot,
}

impl ScopeRoot {
    /// Kind of the entries that hold one.
    pub const KIND: &str = "quipu.scopes";

    /// What an envelope says. None: it is of another kind.
    ///
    /// # Errors
    /// It is of that kind, and its scope or `sys` is not what belongs to it; or it covers what comes after it.
    pub fn of(envelope: &Envelope) -> Result<Option<Self>> {
        if envelope.kind.as_str() != Self::KIND {
            return Ok(None);
        }
        let refused = |why: &str| Error::new(format!("entry {} is no root of scopes: {why}", envelope.seq));
        if envelope.scope != Scope::ledger() {
            return Err(refused("its scope is not quipu:ledger"));
        }
        let sys = envelope.sys.clone().unwrap_or_default();
        let Sys { scopes } = serde_json::from_value(sys).map_err(|e| refused(&e.to_string()))?;
        if scopes.size > envelope.seq {
            return Err(refused("it covers entries that come after it"));
        }
        Ok(Some(scopes))
    }

    /// The entry's `sys`.
    pub fn to_sys(&self) -> serde_json::Value {
        serde_json::json!({"scopes": {"size": self.size, "root": self.root}})
    }
}
