//! Which projection components a ledger has: its own entries say so, and their bytes are in its folder.

use std::collections::BTreeMap;

use quipu_format::{
    Actor, Body, Kind, ProjectionChange, ProjectionName, ProjectionSetting, Scope, ScopePattern, limits,
};
use quipu_log::{Direction, Draft, Ledger, LedgerReader, Receipt};

use crate::{Error, ErrorKind, ProjectionComponent, Result};

/// A projection component of a ledger, as the newest entry about it says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Added {
    /// Component, name and scopes.
    pub setting: ProjectionSetting,
    /// `seq` of the entry.
    pub seq: u64,
}

/// Keeps the component in the ledger's folder and has it go by this name, in place of one that did before. It is fed by
/// these scopes, or where there are none by all but the ledger's own. Returns when that is durable.
pub fn add_projection(
    ledger: &Ledger,
    name: ProjectionName,
    component: &ProjectionComponent,
    scopes: Vec<ScopePattern>,
) -> Result<Receipt> {
    let component = ledger.put_component(component.bytes())?;
    append(
        ledger,
        &ProjectionChange::Add(ProjectionSetting {
            component,
            name,
            scopes,
        }),
    )
}

/// Has nothing go by this name any more. Its bytes stay in the ledger's folder, as those of agents do.
pub fn remove_projection(ledger: &Ledger, name: ProjectionName) -> Result<Receipt> {
    append(ledger, &ProjectionChange::Remove(name))
}

fn append(ledger: &Ledger, change: &ProjectionChange) -> Result<Receipt> {
    let inner = |error: quipu_format::Error| Error::new(ErrorKind::Ledger, error.to_string());
    let sys = serde_json::json!({ ProjectionChange::MEMBER: change });
    ProjectionChange::parse(&sys[ProjectionChange::MEMBER]).map_err(inner)?;
    let (actor, kind) = (
        Actor::new("host:quipu").map_err(inner)?,
        Kind::new(ProjectionChange::KIND).map_err(inner)?,
    );
    let mut draft = Draft::new(Scope::ledger(), actor, kind, Body::new(None, "{}").map_err(inner)?);
    draft.sys = Some(sys);
    Ok(ledger.append_blocking(draft)?)
}

/// The projection components of a ledger, in the order of their names.
pub fn projections_of(ledger: &LedgerReader) -> Result<Vec<Added>> {
    let mut added = BTreeMap::new();
    let mut rest = 0..ledger.head();
    loop {
        let page = ledger.page(&Scope::ledger(), rest.clone(), Direction::Forward, limits::PAGE_EVENTS)?;
        for event in &page.events {
            if event.envelope.kind.as_str() != ProjectionChange::KIND {
                continue;
            }
            let sys = event.envelope.sys.as_ref();
            match sys.map(|sys| ProjectionChange::parse(&sys[ProjectionChange::MEMBER])) {
                Some(Ok(ProjectionChange::Add(setting))) => {
                    let seq = event.envelope.seq;
                    added.insert(setting.name.clone(), Added { setting, seq });
                }
                Some(Ok(change)) => drop(added.remove(change.name())),
                _ => tracing::warn!(
                    seq = event.envelope.seq,
                    "what is said of a projection component is not understood"
                ),
            }
        }
        match page.events.last() {
            Some(last) if page.more => rest.start = last.envelope.seq + 1,
            _ => break,
        }
    }
    Ok(added.into_values().collect())
}
