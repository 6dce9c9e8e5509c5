//! Who is heard through a statement: its own source, or those that its evidence goes back to.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

use rusqlite::{Transaction, params};

use crate::{
    confidence::{Voice, hear},
    error::Result,
    limits,
    retract::{Fates, Quarantines, Sees},
    saying::Saying,
    schema::{EVIDENCE, number, position},
    statements::Digest,
};

/// What a statement contributes, as far as a sight shows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Heard {
    /// Empty: it states nothing. It was withdrawn, or what it rests on was retracted, or it repeats what recall showed
    /// to the run that appended it.
    pub(crate) voices: Vec<Voice>,
    /// The last entry that has a say in this, the statement included.
    pub(crate) decided: u64,
    /// Entries that are not seen would have a say as well.
    pub(crate) more: bool,
    /// It repeats what recall showed to its run.
    pub(crate) echo: bool,
}

/// Whether an event counts in a signal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Counts {
    pub(crate) counts: bool,
    /// Who is heard through it; `None`: it is no statement.
    pub(crate) voices: Option<Vec<Voice>>,
    /// The last entry that has a say in this.
    pub(crate) decided: u64,
    /// Entries that are not seen would have a say as well.
    pub(crate) more: bool,
}

impl Counts {
    /// Of a statement. What nobody trusts at all is no sign of anything.
    pub(crate) fn of(heard: &Heard) -> Self {
        Self {
            counts: heard.voices.iter().any(|voice| voice.confidence > 0.0),
            voices: Some(heard.voices.clone()),
            decided: heard.decided,
            more: heard.more,
        }
    }
}

/// Listens to statements in a sight.
pub(crate) struct Hearing<'a> {
    tx: &'a Transaction<'a>,
    sees: &'a dyn Sees,
    fates: Fates<'a>,
}

/// An event on the way back from a statement.
#[derive(Default)]
struct Node {
    saying: Option<Saying>,
    /// Events that it rests on and that are on the way too.
    evidence: Vec<u64>,
    /// Some of its evidence was retracted.
    lost: bool,
    echo: bool,
    /// Some of what it rests on or may repeat is erased, or too far back: how sure that was, nobody knows.
    erased: bool,
}

/// What recall had shown to the run that then appended a statement.
#[derive(Default)]
struct Shown {
    /// The same text.
    same: bool,
    /// What is erased, and may have been the same.
    erased: bool,
}

/// The text of what recall showed and is erased.
pub(crate) const ERASED: Digest = [0; 16];

impl<'a> Hearing<'a> {
    pub(crate) fn new(tx: &'a Transaction<'a>, sees: &'a dyn Sees) -> Result<Self> {
        Ok(Self::under(tx, sees, Quarantines::load(tx)?))
    }

    /// Under quarantines that were loaded.
    pub(crate) fn under(tx: &'a Transaction<'a>, sees: &'a dyn Sees, quarantines: Rc<Quarantines>) -> Self {
        Self {
            tx,
            sees,
            fates: Fates::under(tx, sees, quarantines),
        }
    }

    /// Whether an event that matches a rule counts: a statement if somebody is heard through it.
    pub(crate) fn counts(&self, seq: u64) -> Result<Counts> {
        match Saying::load(self.tx, seq)?.filter(|saying| saying.states.is_some()) {
            Some(saying) => Ok(Counts::of(&self.hear(&saying)?)),
            None => {
                let fate = self.fates.of(seq)?;
                Ok(Counts {
                    counts: !fate.is_withdrawn(),
                    voices: None,
                    decided: seq.max(fate.decided),
                    more: fate.more,
                })
            }
        }
    }

    /// Whether an event is to be told: it is not withdrawn, and somebody is heard through it, if it is a statement.
    pub(crate) fn tells(&self, seq: u64) -> Result<bool> {
        Ok(!self.fates.of(seq)?.is_withdrawn() && self.counts(seq)?.counts)
    }

    /// Listens to a statement that is seen.
    pub(crate) fn hear(&self, saying: &Saying) -> Result<Heard> {
        let fate = self.fates.of(saying.seq)?;
        let mut heard = Heard {
            decided: saying.seq.max(fate.decided),
            more: fate.more,
            ..Heard::default()
        };
        let nodes = self.back(saying, &mut heard)?;
        heard.echo = nodes.get(&saying.seq).is_some_and(|node| node.echo);
        if !fate.is_withdrawn() {
            heard.voices = voices(&nodes, saying.seq);
        }
        Ok(heard)
    }

    /// The statement and what it goes back to.
    fn back(&self, saying: &Saying, heard: &mut Heard) -> Result<BTreeMap<u64, Node>> {
        let ancestry: BTreeSet<u64> = ancestry(self.tx, saying.seq)?.into_iter().collect();
        let mut nodes = BTreeMap::new();
        for &seq in &ancestry {
            let said = match seq == saying.seq {
                true => Some(saying.clone()),
                false => Saying::load(self.tx, seq)?,
            };
            let shown = said
                .as_ref()
                .map_or(Ok(Shown::default()), |said| self.shown(said, heard))?;
            let repeats = said.as_ref().and_then(text).filter(|_| shown.same || shown.erased);
            let mut node = Node {
                saying: said,
                echo: shown.same,
                erased: shown.erased,
                ..Node::default()
            };
            let evidence = self.evidence(seq, heard)?;
            for (earlier, reserved) in evidence {
                // What is too far back is not listened to, and must not make anything surer by that.
                if !ancestry.contains(&earlier) {
                    node.erased |= !reserved;
                    continue;
                }
                let known = Saying::load(self.tx, earlier)?;
                // The host's own entries say nothing.
                node.erased |= known.is_none() && !reserved;
                // What repeats a text is not supported by the text that it repeats.
                if repeats.is_some() && known.as_ref().and_then(text) == repeats {
                    continue;
                }
                let fate = self.fates.retraction(earlier)?;
                heard.decided = heard.decided.max(fate.decided);
                heard.more |= fate.more;
                match fate.retracted {
                    true => node.lost = true,
                    false => node.evidence.push(earlier),
                }
            }
            nodes.insert(seq, node);
        }
        Ok(nodes)
    }

    /// What an entry names as evidence, as far as it is seen, and whether that is the host's own.
    fn evidence(&self, seq: u64, heard: &mut Heard) -> Result<Vec<(u64, bool)>> {
        let mut select = self.tx.prepare_cached(
            "SELECT earlier, scope, run, reserved FROM link JOIN entry ON entry.seq = earlier
             WHERE later = ?1 AND relation = ?2 ORDER BY earlier",
        )?;
        let mut rows = select.query(params![number(seq), EVIDENCE])?;
        let mut evidence = Vec::new();
        while let Some(row) = rows.next()? {
            let earlier = position(row.get(0)?)?;
            match self
                .sees
                .sees(row.get(1)?, earlier, row.get::<_, Option<[u8; 16]>>(2)?.as_ref())
            {
                true => evidence.push((earlier, row.get(3)?)),
                false => heard.more = true,
            }
        }
        Ok(evidence)
    }

    /// What recall had shown to the run that then appended a statement.
    fn shown(&self, saying: &Saying, heard: &mut Heard) -> Result<Shown> {
        let (Some(run), Some(states)) = (saying.run, &saying.states) else {
            return Ok(Shown::default());
        };
        let mut select = self.tx.prepare_cached(
            "SELECT event, scope, entry.run, text = ?2 FROM shown JOIN entry ON entry.seq = event
             WHERE shown.run = ?1 AND text IN (?2, ?4) AND told < ?3",
        )?;
        let mut rows = select.query(params![run, states.text, number(saying.seq), ERASED])?;
        let mut shown = Shown::default();
        while let Some(row) = rows.next()? {
            let event = position(row.get(0)?)?;
            match self
                .sees
                .sees(row.get(1)?, event, row.get::<_, Option<[u8; 16]>>(2)?.as_ref())
            {
                true if row.get(3)? => shown.same = true,
                true => shown.erased = true,
                false => heard.more = true,
            }
        }
        Ok(shown)
    }
}

/// An entry and what it goes back to along `evidence`: the nearest 256, itself the first. That is a function of envelopes
/// alone, and does not change with what is seen, erased or retracted.
pub(crate) fn ancestry(tx: &Transaction<'_>, of: u64) -> Result<Vec<u64>> {
    let mut select =
        tx.prepare_cached("SELECT earlier FROM link WHERE later = ?1 AND relation = ?2 ORDER BY earlier")?;
    let (mut order, mut walked) = (vec![of], 0);
    while let Some(&seq) = order.get(walked) {
        walked += 1;
        let earlier = select.query_map(params![number(seq), EVIDENCE], |row| row.get(0))?;
        for earlier in earlier {
            let earlier = position(earlier?)?;
            if order.len() < limits::DERIVATION && !order.contains(&earlier) {
                order.push(earlier);
            }
        }
    }
    Ok(order)
}

fn text(saying: &Saying) -> Option<Digest> {
    saying.states.map(|states| states.text)
}

/// The voices of an event: of what it rests on, heard through it; where it names nothing that is known, its own.
fn voices(nodes: &BTreeMap<u64, Node>, of: u64) -> Vec<Voice> {
    let mut all = HashMap::<u64, Vec<Voice>>::new();
    // What an event rests on is earlier.
    for (&seq, node) in nodes {
        let mut voices = Vec::new();
        let mut silent = node.lost || node.echo;
        if let Some(saying) = &node.saying {
            for earlier in &node.evidence {
                let known = nodes.get(earlier).is_some_and(|node| node.saying.is_some());
                let theirs = all.get(earlier).map_or(&[][..], Vec::as_slice);
                silent |= known && theirs.is_empty();
                theirs
                    .iter()
                    .for_each(|voice| hear(&mut voices, voice.through(saying.confidence)));
            }
            if voices.is_empty() && !silent {
                voices.push(Voice {
                    source: saying.source,
                    // It might have been anything, and what is erased must not make what is left surer.
                    confidence: if node.erased { 0.0 } else { saying.confidence },
                });
            }
        }
        all.insert(seq, voices);
    }
    all.remove(&of).unwrap_or_default()
}
