//! Which entry took another back: so that nobody does it twice without being told.

use quipu_format::EventId;

use crate::{
    Error, Projections,
    error::{Cause, Result},
    retract::{Fates, Quarantines},
    view::View,
};

impl Projections {
    /// The newest entry that retracts an event and is not retracted itself, as far as the view shows. `None`: there is none;
    /// a quarantine may cover the event all the same.
    pub fn retracted_by(&self, view: &View, id: EventId) -> std::result::Result<Option<EventId>, Error> {
        let Some(seq) = self.ledger.find(id).map_err(Cause::from)? else {
            return Ok(None);
        };
        Ok(self.answer(|tx| {
            let sight = view.sight(tx, self.folded(tx)?)?;
            self.named(Fates::load(tx, &sight)?.retracted_by(seq)?)
        })?)
    }

    /// The newest entry that lifts a quarantine, or what lifted one, and is not lifted itself. `None`: there is none.
    pub fn lifted_by(&self, id: EventId) -> std::result::Result<Option<EventId>, Error> {
        let Some(seq) = self.ledger.find(id).map_err(Cause::from)? else {
            return Ok(None);
        };
        Ok(self.answer(|tx| self.named(Quarantines::load(tx)?.lifted_by(seq)))?)
    }

    fn named(&self, seq: Option<u64>) -> Result<Option<EventId>> {
        let event = seq.map(|seq| self.event(seq)).transpose()?.flatten();
        Ok(event.map(|event| event.envelope.id))
    }
}
