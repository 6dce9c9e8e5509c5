// Long because reading, checking and appending an import share one plan.

//! Brings events from elsewhere into a ledger: [`Plan::read`] checks a whole input, [`Plan::apply`] appends it.
//!
//! The ledger stamps imported events like all others. The `id`, `ts` and `actor` that they came with, and all that
//! the ledger has no place for, are kept in `source.original`. Each event carries an idempotency key made from
//! its original id, so an import that was broken off is finished by running it again.

mod events;
mod locomo;
mod members;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    fmt, mem,
    str::FromStr,
};

use quipu_format::{Actor, Body, Event, EventId, Kind, Scope, Source, Timestamp, limits};

use crate::{Draft, Error, ErrorKind, Ledger, LedgerReader, Receipt, Result};

/// Bytes of a batch, by a generous estimate of its lines: well below what one commit may hold.
const BATCH_BYTES: usize = limits::COMMIT_BYTES / 2;

/// What an input is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// One JSON object a line: `id`, `ts`, `actor`, `kind`, `scope`, `source`, `payload`, `evidence`, `supersedes`.
    /// `kind`, `scope` and `payload` must be there. This is also how events are printed as JSON.
    Events,
    /// A file of LoCoMo conversations (Maharana et al., ACL 2024): each turn becomes an event.
    Locomo,
}

/// Why a line of the input cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineError {
    /// Counted from 1.
    pub line: usize,
    /// For a person.
    pub message: String,
}

impl LineError {
    fn new(line: usize, message: impl fmt::Display) -> Self {
        Self {
            line,
            message: message.to_string(),
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for LineError {}

/// A whole input, checked; nothing of it is appended yet.
#[derive(Debug)]
pub struct Plan {
    items: Vec<Item>,
}

/// What a plan would append.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanSummary {
    /// How many events.
    pub events: usize,
    /// How many of them belong to each scope, by name.
    pub scopes: Vec<(Scope, usize)>,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Events that are new in the ledger.
    pub appended: usize,
    /// Events that an earlier import of the same input, by the same actor, had brought in.
    pub already: usize,
    /// The scopes that the input names.
    pub scopes: BTreeSet<Scope>,
}

/// An event as its input gives it, checked on its own. Its links are still the input's words.
struct Original {
    line: usize,
    id: Option<String>,
    key: String,
    scope: Scope,
    kind: Kind,
    body: Body,
    body_bytes: usize,
    evidence: Vec<String>,
    supersedes: Vec<String>,
}

/// An event of a plan. Its links are known to lead somewhere.
#[derive(Debug)]
struct Item {
    line: usize,
    key: String,
    scope: Scope,
    kind: Kind,
    body: Body,
    body_bytes: usize,
    evidence: Vec<Target>,
    supersedes: Vec<Target>,
}

/// What a link leads to.
#[derive(Debug, Clone, Copy)]
enum Target {
    /// An earlier event of the plan, whose new id is known once it is appended.
    Planned(usize),
    /// An event that the ledger holds.
    Held(EventId),
}

impl Plan {
    /// Reads and checks `input`. All lines that cannot be imported are reported, in order.
    ///
    /// `ledger` is asked for the events that evidence and superseded ids name, where the input does not hold them.
    pub fn read(format: Format, input: &[u8], ledger: &LedgerReader) -> std::result::Result<Self, Vec<LineError>> {
        let mut errors = Vec::new();
        let originals = match input {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                errors.push(LineError::new(1, "the input is UTF-16; save it as UTF-8"));
                Vec::new()
            }
            _ => {
                let input = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input);
                match format {
                    Format::Events => events::parse(input, &mut errors),
                    Format::Locomo => locomo::parse(input, &mut errors),
                }
            }
        };
        let items = link(originals, ledger, &mut errors);
        if errors.is_empty() {
            Ok(Self { items })
        } else {
            errors.sort_by_key(|error| error.line);
            Err(errors)
        }
    }

    /// What would be appended.
    pub fn summary(&self) -> PlanSummary {
        let mut scopes = BTreeMap::<&Scope, usize>::new();
        for item in &self.items {
            *scopes.entry(&item.scope).or_default() += 1;
        }
        PlanSummary {
            events: self.items.len(),
            scopes: scopes
                .into_iter()
                .map(|(scope, count)| (scope.clone(), count))
                .collect(),
        }
    }

    /// Looks at what each event says, which `revise` may replace, or refuse with a reason.
    ///
    /// # Errors
    /// All lines that are refused, in order; the plan is then of no use.
    pub fn revise(
        &mut self,
        revise: &mut dyn FnMut(&Body) -> std::result::Result<Option<Body>, String>,
    ) -> std::result::Result<(), Vec<LineError>> {
        let mut errors = Vec::new();
        for item in &mut self.items {
            match revise(&item.body) {
                Ok(None) => {}
                Ok(Some(body)) => match body.to_bytes() {
                    Ok(bytes) => (item.body_bytes, item.body) = (bytes.len(), body),
                    Err(error) => errors.push(LineError::new(item.line, error)),
                },
                Err(message) => errors.push(LineError::new(item.line, message)),
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Appends the events in the order of the input, stamped with `actor`, and calls `progress` with how many are
    /// durable and how many there are.
    ///
    /// It goes in batches. If one fails, those before it stay, and the same import run again goes on from there.
    pub fn apply(self, ledger: &Ledger, actor: &Actor, progress: &mut dyn FnMut(usize, usize)) -> Result<Imported> {
        self.apply_by(&mut |drafts| ledger.append_all_blocking(drafts), actor, progress)
    }

    /// The same, through whatever appends.
    pub(crate) fn apply_by(
        self,
        append: &mut Append<'_>,
        actor: &Actor,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Imported> {
        if actor.is_reserved() {
            let message = "actors that begin with host: are the ledger's own: name another one";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let scopes = self.items.iter().map(|item| item.scope.clone()).collect();
        let total = self.items.len();
        let mut batch = Batch {
            append,
            drafts: Vec::new(),
            lines: Vec::new(),
            bytes: 0,
            ids: Vec::new(),
            already: 0,
        };
        for item in self.items {
            if !batch.has_room_for(&item) {
                batch.flush()?;
                progress(batch.ids.len(), total);
            }
            batch.push(item, actor);
        }
        batch.flush()?;
        progress(batch.ids.len(), total);
        Ok(Imported {
            appended: total - batch.already,
            already: batch.already,
            scopes,
        })
    }
}

/// When an event happened: for an imported one the time that it came with, for all others when the ledger took it.
pub fn event_time(event: &Event) -> Timestamp {
    original(event, "ts")
        .and_then(|ts| Timestamp::parse_rfc3339(ts).ok())
        .unwrap_or(event.envelope.ts)
}

/// The actor that an imported event came with. The ledger did not see that actor: it only keeps what was said.
pub fn original_actor(event: &Event) -> Option<&str> {
    original(event, "actor")
}

/// A text of `source.original`. What a run appended has none: a guest can neither back-date what it says, nor lend
/// itself another's name.
fn original<'a>(event: &'a Event, member: &str) -> Option<&'a str> {
    let source = event.body()?.source.as_ref().filter(|_| event.envelope.run.is_none())?;
    source.extra.get("original")?.get(member)?.as_str()
}

/// Appends all drafts or none, durably.
type Append<'a> = dyn FnMut(Vec<Draft>) -> Result<Vec<Receipt>> + 'a;

/// Drafts on their way into the ledger, and what became of those before them.
struct Batch<'a> {
    append: &'a mut Append<'a>,
    drafts: Vec<Draft>,
    lines: Vec<usize>,
    bytes: usize,
    /// New ids of the events that are durable, in the order of the input.
    ids: Vec<EventId>,
    already: usize,
}

impl Batch<'_> {
    /// Whether the item fits, and rests on durable events alone: the ids of those in the batch are not known yet.
    fn has_room_for(&self, item: &Item) -> bool {
        let waits = |target: &Target| matches!(*target, Target::Planned(at) if at >= self.ids.len());
        self.drafts.is_empty()
            || self.drafts.len() < limits::DRAFTS
                && self.bytes + item.line_bytes() <= BATCH_BYTES
                && !item.evidence.iter().chain(&item.supersedes).any(waits)
    }

    fn push(&mut self, item: Item, actor: &Actor) {
        self.bytes += item.line_bytes();
        self.lines.push(item.line);
        let mut draft = Draft::new(item.scope, actor.clone(), item.kind, item.body);
        draft.evidence = item.evidence.into_iter().map(|target| self.id(target)).collect();
        draft.supersedes = item.supersedes.into_iter().map(|target| self.id(target)).collect();
        draft.key = Some(item.key);
        self.drafts.push(draft);
    }

    /// `has_room_for` has seen to it that planned targets are durable.
    fn id(&self, target: Target) -> EventId {
        match target {
            Target::Planned(at) => self.ids[at],
            Target::Held(id) => id,
        }
    }

    fn flush(&mut self) -> Result<()> {
        if self.drafts.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let lines = mem::take(&mut self.lines);
        let receipts = (self.append)(mem::take(&mut self.drafts)).map_err(|error| {
            let (first, last) = (lines.first().unwrap_or(&0), lines.last().unwrap_or(&0));
            let done = self.ids.len();
            Error::new(
                error.kind(),
                format!("the import stopped in lines {first} to {last}; the {done} events before them are in the ledger. {error}"),
            )
        })?;
        self.already += receipts.iter().filter(|receipt| receipt.repeated).count();
        self.ids.extend(receipts.iter().map(|receipt| receipt.id));
        Ok(())
    }
}

impl Item {
    /// An upper estimate of the bytes of its line: the sealed body in base64, the envelope's members, its links.
    fn line_bytes(&self) -> usize {
        self.body_bytes / 3 * 4 + 1024 + 33 * (self.evidence.len() + self.supersedes.len())
    }
}

/// Refuses what comes from the line on: to resume an import, all its keys must be remembered.
fn too_many(line: usize) -> LineError {
    let most = limits::REMEMBERED_KEYS;
    LineError::new(
        line,
        format_args!("one import takes at most {most} events; split the input here"),
    )
}

/// The idempotency key of the event that its input calls `id`.
fn import_key(id: &str) -> std::result::Result<String, String> {
    const PREFIX: &str = "import:";
    let most = limits::KEY_BYTES - PREFIX.len();
    match id.len() {
        0 => Err("`id` is empty; leave it out or give it a name".to_owned()),
        length if length > most => Err(format!("`id` has {length} bytes; at most {most} are taken")),
        _ => Ok(format!("{PREFIX}{id}")),
    }
}

/// Makes a body, and gives the bytes of its plaintext. What it makes can also be read back: an input that is nested
/// nearly too deep to be read would be too deep once it lies in `source.original`.
fn body(source: Source, payload: &str) -> std::result::Result<(Body, usize), String> {
    let checked = || {
        let body = Body::new(Some(source), payload)?;
        let plaintext = body.to_bytes()?;
        Body::parse(&plaintext)?;
        Ok((body, plaintext.len()))
    };
    checked().map_err(|error: quipu_format::Error| error.to_string())
}

/// Finds what each link leads to: an earlier event of the input, or else one of the ledger.
fn link(originals: Vec<Original>, ledger: &LedgerReader, errors: &mut Vec<LineError>) -> Vec<Item> {
    let mut lines = Vec::with_capacity(originals.len());
    let mut by_id = HashMap::with_capacity(originals.len());
    for (at, original) in originals.iter().enumerate() {
        lines.push(original.line);
        let Some(id) = &original.id else { continue };
        match by_id.entry(id.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(at);
            }
            Entry::Occupied(entry) => errors.push(LineError::new(
                original.line,
                format_args!(
                    "id {id:?} is also on line {}; an id names one event. Leave one of the two lines out",
                    lines[*entry.get()]
                ),
            )),
        }
    }
    let mut items = Vec::with_capacity(originals.len());
    for (at, original) in originals.into_iter().enumerate() {
        let mut follow = |member: &str, ids: Vec<String>| -> Vec<Target> {
            if ids.len() > limits::LINKS {
                errors.push(LineError::new(
                    original.line,
                    format_args!(
                        "`{member}` names {} events; at most {} are taken",
                        ids.len(),
                        limits::LINKS
                    ),
                ));
                return Vec::new();
            }
            let targets = ids.iter().map(|id| match by_id.get(id) {
                Some(&to) if to < at => Ok(Target::Planned(to)),
                Some(&to) if to == at => Err(format!("`{member}` names the event itself")),
                Some(&to) => Err(format!(
                    "`{member}` names {id:?}, which comes later, on line {}; an event can rest on earlier ones alone",
                    lines[to]
                )),
                None => held(id, ledger).map_err(|why| format!("`{member}` names {id:?}, {why}")),
            });
            let (targets, refused): (Vec<_>, Vec<_>) = targets.partition(|target| target.is_ok());
            errors.extend(
                refused
                    .into_iter()
                    .filter_map(Result::err)
                    .map(|why| LineError::new(original.line, why)),
            );
            targets.into_iter().filter_map(Result::ok).collect()
        };
        let evidence = follow("evidence", original.evidence);
        let supersedes = follow("supersedes", original.supersedes);
        items.push(Item {
            line: original.line,
            key: original.key,
            scope: original.scope,
            kind: original.kind,
            body_bytes: original.body_bytes,
            body: original.body,
            evidence,
            supersedes,
        });
    }
    items
}

fn held(id: &str, ledger: &LedgerReader) -> std::result::Result<Target, String> {
    let unknown = "which is neither on an earlier line nor an event of this ledger";
    let id = EventId::from_str(id).map_err(|_| unknown)?;
    match ledger.find(id) {
        Ok(Some(_)) => Ok(Target::Held(id)),
        Ok(None) => Err(unknown.to_owned()),
        Err(error) => Err(format!("which could not be looked up: {error}")),
    }
}
