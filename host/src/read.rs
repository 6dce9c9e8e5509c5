//! Interface `read`.

use std::ops::Range;

use quipu_format::{Envelope, Event, limits};
use quipu_log::{Direction, LedgerReader};
use wasmtime::component::Resource;

use crate::{
    QuipuCtx, QuipuCtxView, Reader, Refusal,
    bindings::agent::quipu::memory::{
        read,
        types::{self, ErrorKind, Page},
    },
    convert,
    memory::blocking,
    record::Answer,
    refusal::{DAMAGED, NOT_FOUND},
    run::Stop,
};

impl read::Host for QuipuCtxView<'_> {}

impl read::HostReader for QuipuCtxView<'_> {
    async fn scope(&mut self, reader: Resource<Reader>) -> wasmtime::Result<String> {
        let at = self.table.get(&reader)?;
        self.ctx.called("read.reader.scope", (&at.scope,))?;
        self.ctx.answered_plainly(&at.scope)?;
        Ok(at.scope.to_string())
    }

    async fn head(&mut self, reader: Resource<Reader>) -> wasmtime::Result<u64> {
        let at = self.table.get(&reader)?;
        self.ctx.called("read.reader.head", (&at.scope,))?;
        self.ctx.answered_plainly(&at.head)?;
        Ok(at.head)
    }

    async fn read(&mut self, reader: Resource<Reader>, start: Option<u64>, limit: u32) -> Result<Page, Refusal> {
        let at = self.table.get(&reader)?;
        self.ctx.called("read.reader.read", (&at.scope, start, limit))?;
        let page = self
            .ctx
            .page(at, start.unwrap_or(0)..u64::MAX, limit, Direction::Forward)
            .await;
        let page = page.map(|(page, nths)| self.ctx.gives(&at.scope, page, &nths));
        self.ctx.answered(page).await
    }

    async fn read_back(&mut self, reader: Resource<Reader>, end: Option<u64>, limit: u32) -> Result<Page, Refusal> {
        let at = self.table.get(&reader)?;
        self.ctx.called("read.reader.read-back", (&at.scope, end, limit))?;
        let page = self
            .ctx
            .page(at, 0..end.unwrap_or(u64::MAX), limit, Direction::Backward)
            .await;
        let page = page.map(|(page, nths)| self.ctx.gives(&at.scope, page, &nths));
        self.ctx.answered(page).await
    }

    async fn get(&mut self, reader: Resource<Reader>, id: String) -> Result<types::Event, Refusal> {
        let at = self.table.get(&reader)?;
        self.ctx.called("read.reader.get", (&at.scope, &id))?;
        let event = self.ctx.event(at, &id).map(|event| {
            let nth = event.envelope.nth;
            self.ctx.gives(&at.scope, convert::event(event), &[nth])
        });
        self.ctx.answered(event).await
    }

    async fn prove(&mut self, reader: Resource<Reader>, id: String) -> Result<String, Refusal> {
        let at = self.table.get(&reader)?;
        self.ctx.called("read.reader.prove", (&at.scope, &id))?;
        let proof = self.ctx.prove(at, &id).await;
        self.ctx.answered(proof).await
    }

    async fn refresh(&mut self, reader: Resource<Reader>) -> Result<u64, Refusal> {
        let at = self.table.get_mut(&reader)?;
        self.ctx.called("read.reader.refresh", (&at.scope,))?;
        let head = self.ctx.refresh(at).await;
        self.ctx.answered(head).await
    }

    async fn drop(&mut self, reader: Resource<Reader>) -> wasmtime::Result<()> {
        self.ctx.open.remove(&reader.rep());
        self.table.delete(reader)?;
        Ok(())
    }
}

impl QuipuCtx {
    /// The events of the reader's scope in the range: those below its head, and this run's own past it. `limit` is
    /// the guest's, and clamped here.
    /// With each event's `nth`.
    async fn page(
        &self,
        at: &Reader,
        range: Range<u64>,
        limit: u32,
        direction: Direction,
    ) -> Result<(Page, Vec<u32>), Refusal> {
        if limit == 0 {
            return Err(Refusal::new(
                ErrorKind::Invalid,
                "limit is the number of events wanted, from 1",
            ));
        }
        let mut events = Gathered::new(limit);
        let mut logged = range.start.min(at.head)..range.end.min(at.head);
        let mut own = range.start.max(at.head)..range.end.max(at.head);
        let next = match direction {
            Direction::Forward => {
                self.gather_logged(at, &mut logged, direction, &mut events).await?;
                if logged.is_empty() {
                    self.gather_own(at, &mut own, direction, &mut events).await?;
                }
                if logged.is_empty() {
                    self.owns_any(at, &own).then_some(own.start)
                } else {
                    Some(logged.start)
                }
            }
            Direction::Backward => {
                self.gather_own(at, &mut own, direction, &mut events).await?;
                if events.is_full() && self.owns_any(at, &own) {
                    Some(own.end)
                } else {
                    self.gather_logged(at, &mut logged, direction, &mut events).await?;
                    (!logged.is_empty()).then_some(logged.end)
                }
            }
        };
        let page = Page {
            events: events.events,
            next,
        };
        Ok((page, events.nths))
    }

    /// Takes events from one end of the range until enough are gathered or the range is empty.
    async fn gather_logged(
        &self,
        at: &Reader,
        range: &mut Range<u64>,
        direction: Direction,
        events: &mut Gathered,
    ) -> Result<(), Refusal> {
        while !range.is_empty() && !events.is_full() {
            self.in_time()?;
            let (reader, scope, wanted) = (self.log().clone(), at.scope.clone(), events.wanted());
            let (start, end) = (range.start, range.end);
            let page = blocking(move || reader.page(&scope, start..end, direction, wanted)).await?;
            if page.missing > 0 {
                tracing::error!(scope = %at.scope, missing = page.missing, "entries are damaged");
                return Err(Refusal::new(ErrorKind::Unavailable, DAMAGED));
            }
            let is_last = !page.more || page.events.is_empty();
            for event in page.events {
                if events.is_full() {
                    return Ok(());
                }
                pass(range, event.envelope.seq, direction);
                self.is_as_it_was(&event)?;
                events.push(event);
            }
            if is_last {
                range.start = range.end;
            }
        }
        Ok(())
    }

    /// The same of what this run appended and was told.
    async fn gather_own(
        &self,
        at: &Reader,
        range: &mut Range<u64>,
        direction: Direction,
        events: &mut Gathered,
    ) -> Result<(), Refusal> {
        while !events.is_full() {
            self.in_time()?;
            let own = self.own.range(range.clone()).filter(|(_, own)| own.scope == at.scope);
            let own = own.map(|(seq, _)| *seq);
            let wanted = events.wanted().min(OWN_AT_ONCE);
            let seqs: Vec<u64> = match direction {
                Direction::Forward => own.take(wanted).collect(),
                Direction::Backward => own.rev().take(wanted).collect(),
            };
            if seqs.is_empty() {
                break;
            }
            let reader = self.log().clone();
            let read = move || seqs.into_iter().map(|seq| Ok((seq, reader.event(seq)?))).collect();
            let read: quipu_log::Result<Vec<_>> = blocking(read).await;
            for (seq, event) in read? {
                if events.is_full() {
                    break;
                }
                pass(range, seq, direction);
                if let Some(event) = event {
                    self.is_as_it_was(&event)?;
                    events.push(event);
                }
            }
        }
        Ok(())
    }

    fn owns_any(&self, at: &Reader, range: &Range<u64>) -> bool {
        self.own.range(range.clone()).any(|(_, own)| own.scope == at.scope)
    }

    fn event(&self, at: &Reader, id: &str) -> Result<Event, Refusal> {
        let seq = self.seen(at, id)?;
        let event = self.log().event(seq)?;
        let event = event.ok_or_else(|| Refusal::new(ErrorKind::NotFound, NOT_FOUND))?;
        self.is_as_it_was(&event)?;
        Ok(event)
    }

    /// Where a run is executed again, what it was shown must not have been erased since.
    fn is_as_it_was(&self, event: &Event) -> Result<(), Stop> {
        match self.recorded() {
            Some(recorded) if is_shown(&event.envelope) => recorded.is_as_it_was(event),
            _ => Ok(()),
        }
    }

    /// The position of the event of that name, if the reader sees it. Its body is not opened: neither time nor damage
    /// of what the reader does not see may show.
    fn seen(&self, at: &Reader, id: &str) -> Result<u64, Refusal> {
        let not_found = || Refusal::new(ErrorKind::NotFound, NOT_FOUND);
        let log = self.log();
        let seq = log.find(convert::event_id(id)?)?.ok_or_else(not_found)?;
        if seq >= at.head && !self.own.contains_key(&seq) {
            return Err(not_found());
        }
        let envelope = envelope(log, seq).ok_or_else(not_found)?;
        if envelope.scope == at.scope && is_shown(&envelope) {
            Ok(seq)
        } else {
            Err(not_found())
        }
    }

    async fn prove(&mut self, at: &Reader, id: &str) -> Result<String, Refusal> {
        let seq = self.seen(at, id)?;
        let proof = self.proof(seq).await?;
        self.tell(Answer::Proof(proof.clone()))?;
        Ok(proof)
    }

    async fn refresh(&mut self, at: &mut Reader) -> Result<u64, Refusal> {
        at.head = self.present().await?.max(at.head);
        self.heads.insert(at.scope.clone(), at.head);
        self.tell(Answer::Head(at.head))?;
        Ok(at.head)
    }
}

/// Whether guests are shown the event. The host's own entries are not for them: a run is recorded in its home scope,
/// with names of events and scopes that others who read that scope were never granted.
pub(crate) fn is_shown(envelope: &Envelope) -> bool {
    !envelope.kind.is_reserved()
}

/// The envelope there. One that cannot be read belongs to no known scope, so it is of nobody's reader: guests are not
/// told of it, and the operator is.
pub(crate) fn envelope(log: &LedgerReader, seq: u64) -> Option<Envelope> {
    log.envelope(seq).unwrap_or_else(|error| {
        tracing::error!(%error, "an envelope cannot be read");
        None
    })
}

/// Entries of the run's own that are read in one go; each may have a mebibyte.
const OWN_AT_ONCE: usize = 16;

/// Shortens the range by all up to and with `seq`.
fn pass(range: &mut Range<u64>, seq: u64, direction: Direction) {
    match direction {
        Direction::Forward => range.start = seq.saturating_add(1),
        Direction::Backward => range.end = seq,
    }
}

/// Events of one page.
struct Gathered {
    events: Vec<types::Event>,
    nths: Vec<u32>,
    bytes: usize,
    limit: usize,
}

impl Gathered {
    /// `limit` is the guest's.
    fn new(limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(limits::PAGE_EVENTS);
        Self {
            events: Vec::new(),
            nths: Vec::new(),
            bytes: 0,
            limit,
        }
    }

    fn wanted(&self) -> usize {
        self.limit - self.events.len()
    }

    fn is_full(&self) -> bool {
        self.wanted() == 0 || self.bytes >= limits::PAGE_BYTES
    }

    fn push(&mut self, event: Event) {
        if is_shown(&event.envelope) {
            self.nths.push(event.envelope.nth);
            let event = convert::event(event);
            self.bytes += convert::content_bytes(&event);
            self.events.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        time::{Duration, Instant},
    };

    use quipu_format::{Actor, Body, Kind, Limits, Scope};
    use quipu_log::{CreateOptions, Draft, Ledger};

    use super::*;
    use crate::{Grant, Memory, ctx::Stage};

    /// A page that leaves a damaged entry out must not look like the whole of a memory.
    #[tokio::test]
    async fn a_page_with_an_entry_that_cannot_be_read_is_refused_and_not_shortened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let ledger = Ledger::create(&path, CreateOptions::new("example.com/test")).unwrap();
        let (scope, actor) = (Scope::new("home").unwrap(), Actor::new("agent:test").unwrap());
        for text in ["before", "damaged", "behind"] {
            let body = Body::new(None, &format!(r#"{{"text":"{text}"}}"#)).unwrap();
            let draft = Draft::new(scope.clone(), actor.clone(), Kind::new("memory.write").unwrap(), body);
            ledger.append(draft).await.unwrap();
        }
        let head = ledger.reader().head();
        let memory = Memory::new(ledger).unwrap();
        let mut ctx = QuipuCtx::new(&memory, &Grant::new(actor, scope.clone()), &Limits::default()).unwrap();
        (ctx.stage, ctx.deadline) = (Stage::Running, Instant::now() + Duration::from_secs(600));
        let at = Reader { scope, head };
        let (page, nths) = ctx.page(&at, 0..u64::MAX, 10, Direction::Forward).await.unwrap();
        assert_eq!((page.events.len(), &nths[..]), (3, &[0, 1, 2][..]));

        // Entry 0 is the ledger's first; the line of entry 2 is the third.
        let segment = path.join("log/00000000000000000000.log");
        let mut bytes = fs::read(&segment).unwrap();
        let start = bytes
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .nth(1)
            .unwrap()
            .0;
        bytes[start + 20] ^= 1;
        fs::write(&segment, bytes).unwrap();
        for direction in [Direction::Forward, Direction::Backward] {
            for limit in [1, 2, 10] {
                // The first of three that are wanted one by one is good, and is given; nothing is passed over.
                let page = ctx.page(&at, 0..u64::MAX, limit, direction).await;
                match page {
                    Ok((page, _)) => assert_eq!((limit, page.events.len()), (1, 1)),
                    Err(refusal) => {
                        let told = refusal.told().unwrap();
                        assert_eq!((told.kind, told.message.as_str()), (ErrorKind::Unavailable, DAMAGED));
                        continue;
                    }
                }
                let rest = match direction {
                    Direction::Forward => 2..u64::MAX,
                    Direction::Backward => 0..3,
                };
                assert!(ctx.page(&at, rest, limit, direction).await.is_err(), "{direction:?}");
            }
        }
    }
}
