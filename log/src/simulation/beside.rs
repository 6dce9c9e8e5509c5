//! Somebody who reads the ledger while another process writes it.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use quipu_format::Event;

use super::disk::{Disk, Process};
use crate::{LedgerReader, opening};

/// A reading process. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Beside(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    opened: Option<(Process, LedgerReader)>,
    /// Entries below it were looked at.
    seen: u64,
    served: Vec<Event>,
    failures: Vec<String>,
}

impl Beside {
    pub(super) fn open(&self, disk: &Disk) {
        let process = disk.process(false);
        let opened = opening::reader(process.folder(), Path::new(""));
        let mut state = self.0.lock().unwrap();
        state.seen = 0;
        state.opened = None;
        match opened {
            Ok(reader) => state.opened = Some((process, reader)),
            Err(e) => state.failures.push(format!("a reader cannot open the ledger: {e}")),
        }
        state.take();
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.lock().unwrap().opened.is_some()
    }

    /// The power is cut.
    pub(super) fn end(&self) {
        if let Some((process, _)) = self.0.lock().unwrap().opened.take() {
            process.end();
        }
    }

    /// Looks what there is to read.
    pub(super) fn look(&self) {
        self.0.lock().unwrap().look();
    }

    /// Looks at everything once more.
    pub(super) fn look_again(&self) {
        let mut state = self.0.lock().unwrap();
        state.seen = 0;
        state.take();
    }

    /// Entries that it has been served since it was last asked, and what it could not do.
    pub(super) fn tell(&self) -> (Vec<Event>, Vec<String>) {
        let mut state = self.0.lock().unwrap();
        (std::mem::take(&mut state.served), std::mem::take(&mut state.failures))
    }
}

impl State {
    fn look(&mut self) {
        let Some((_, reader)) = &self.opened else { return };
        if let Err(e) = reader.refresh() {
            self.failures.push(format!("a reader cannot look again: {e}"));
        }
        self.take();
    }

    fn take(&mut self) {
        let Some((_, reader)) = &self.opened else { return };
        for seq in self.seen..reader.head() {
            match reader.event(seq) {
                Ok(Some(event)) => self.served.push(event),
                Ok(None) => self.failures.push(format!("a reader lacks entry {seq}")),
                Err(e) => self.failures.push(format!("a reader cannot read entry {seq}: {e}")),
            }
            self.seen = seq + 1;
        }
    }
}
