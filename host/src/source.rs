//! Where a run's answers come from: from a ledger, or from the record of a run that is executed again. Everything else
//! of a host call is the same.

use quipu_log::{Draft, ErrorKind as Log, LedgerReader, Receipt};

use crate::{
    Memory, QuipuCtx, Refusal, bindings::agent::quipu::memory::types::ErrorKind, refusal::FULL, replay::Recorded,
};

pub(crate) enum Source {
    /// A ledger, to which the run appends.
    Live(Memory),
    /// What was recorded of a run; nothing is appended.
    Recorded(Box<Recorded>),
}

impl QuipuCtx {
    /// The log that the run reads.
    pub(crate) fn log(&self) -> &LedgerReader {
        match &self.source {
            Source::Live(memory) => memory.reader(),
            Source::Recorded(recorded) => recorded.log(),
        }
    }

    /// The record that the run is executed again from, if it is.
    pub(crate) fn recorded(&self) -> Option<&Recorded> {
        match &self.source {
            Source::Live(_) => None,
            Source::Recorded(recorded) => Some(recorded),
        }
    }

    /// What asks the ledger itself is never reached where a run is executed again.
    #[cfg(feature = "recall")]
    pub(crate) fn memory(&self) -> Result<&Memory, crate::run::Stop> {
        match &self.source {
            Source::Live(memory) => Ok(memory),
            Source::Recorded(_) => Err(crate::run::Stop::OutOfTurn),
        }
    }

    /// Appends a guest's drafts, or gives the receipts of the entries that they were.
    pub(crate) async fn append_drafts(&mut self, drafts: Vec<Draft>) -> Result<Vec<Receipt>, Refusal> {
        match &mut self.source {
            Source::Live(_) => {
                // How much is in a scope is for those who may read it.
                let read = drafts.iter().all(|draft| self.heads.contains_key(&draft.scope));
                self.append(drafts).await.map_err(|error| match error.kind() {
                    Log::Quota if !read => Refusal::new(ErrorKind::Quota, FULL),
                    _ => error.into(),
                })
            }
            Source::Recorded(recorded) => recorded.append(self.transcript.calls(), &drafts),
        }
    }

    /// Proves an entry, or repeats the proof that was given.
    pub(crate) async fn proof(&self, seq: u64) -> Result<String, Refusal> {
        match &self.source {
            Source::Live(memory) => Ok(memory.ledger().prove(seq).await?.to_string()),
            Source::Recorded(recorded) => recorded.proof(self.transcript.calls()),
        }
    }

    /// The ledger's head now, or the one that the run was told.
    pub(crate) async fn present(&self) -> Result<u64, Refusal> {
        match &self.source {
            Source::Live(memory) => Ok(memory.refresh().await?),
            Source::Recorded(recorded) => recorded.head(self.transcript.calls()),
        }
    }

    /// Puts handles in place of secrets, where the run's secrets were looked for.
    pub(crate) async fn handled(&self, drafts: Vec<Draft>) -> Vec<Draft> {
        match &self.source {
            Source::Live(memory) => memory.handled(drafts, |_| true).await,
            Source::Recorded(recorded) => recorded.handled(drafts),
        }
    }
}
