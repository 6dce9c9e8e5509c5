//! Events that are read and cut into words on one thread while another puts those before them into the tables.

use std::{ops::Range, sync::mpsc, thread};

use quipu_format::Event;
use quipu_log::LedgerReader;

use crate::{document::Document, error::Result, gist::Gist, noise::Rules, text::Analyzer};

/// An event, what of it can be searched, and what of it facts are made of.
pub(crate) struct Prepared {
    pub(crate) event: Event,
    pub(crate) document: Option<Document>,
    pub(crate) gist: Gist,
}

/// Events that go from one thread to the other at a time.
const STEP: usize = 256;
/// Bytes of payloads after which fewer go: what waits is a few MiB at most, however long the log.
const STEP_BYTES: usize = 1 << 20;

/// Gives `each` the entries of a range in their order, or why one cannot be read, until it wants no more or there is none.
pub(crate) fn for_each(
    ledger: &LedgerReader,
    range: Range<u64>,
    rules: &Rules,
    mut each: impl FnMut(quipu_log::Result<Prepared>) -> Result<bool>,
) -> Result<()> {
    let short = range.end.saturating_sub(range.start) <= STEP as u64;
    let mut analyzer = Analyzer::new();
    let mut events = ledger.events(range).map(|event| {
        event.map(|event| Prepared {
            document: Document::of(&event, &mut analyzer),
            gist: Gist::of(&event, rules),
            event,
        })
    });
    if short {
        for prepared in events {
            if !each(prepared)? {
                break;
            }
        }
        return Ok(());
    }
    thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel::<Vec<quipu_log::Result<Prepared>>>(2);
        scope.spawn(move || {
            loop {
                let (mut step, mut bytes) = (Vec::new(), 0);
                while step.len() < STEP
                    && bytes < STEP_BYTES
                    && let Some(prepared) = events.next()
                {
                    bytes += prepared.as_ref().map_or(0, bytes_of);
                    step.push(prepared);
                }
                // Nobody receives: enough, or it failed.
                if step.is_empty() || send.send(step).is_err() {
                    return;
                }
            }
        });
        for prepared in receive.into_iter().flatten() {
            if !each(prepared)? {
                break;
            }
        }
        Ok(())
    })
}

fn bytes_of(prepared: &Prepared) -> usize {
    prepared.event.payload().map_or(0, str::len)
}
