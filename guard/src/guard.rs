use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use crate::{
    Finding, Rules, Scanner, Work,
    json::{self, Text},
    search::{Found, Search},
    window::{Recent, Window},
};

/// A text has so much in it that may be a secret that it is not looked through to its end. It is to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuch;

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it has more that may be a secret than is looked through in one entry: split it")
    }
}

impl std::error::Error for TooMuch {}

/// Why no handles stand in place of a text's secrets. It is to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoHandle {
    /// It is not looked through to its end.
    TooMuch(TooMuch),
    /// With handles where they can stand, something of a secret is left: in a number, say, or in a name.
    Left,
}

impl fmt::Display for NoHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMuch(why) => why.fmt(f),
            Self::Left => f.write_str("it has a secret where no handle can stand, as in a number: leave that out"),
        }
    }
}

impl std::error::Error for NoHandle {}

impl From<TooMuch> for NoHandle {
    fn from(why: TooMuch) -> Self {
        Self::TooMuch(why)
    }
}

/// Finds secrets in entries before they are appended. Shared by all that append to a ledger.
pub struct Guard {
    scanner: Box<dyn Scanner>,
    recent: Mutex<Recent>,
}

/// What an entry is about to say.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Whose entries are looked at together.
    pub actor: &'a str,
    /// Where it was learned, as JSON.
    pub source: Option<&'a str>,
    /// What it says, as JSON.
    pub payload: &'a str,
}

/// Why an entry is refused. It says nothing of what is in it but where.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Which of the entries, counted from 0.
    pub entry: usize,
    /// For whoever wanted to append it.
    pub message: String,
}

impl Default for Guard {
    fn default() -> Self {
        Self::new(Rules)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// Bytes of a value that is looked at by itself. A shorter one is a secret only by its name.
const VALUE_BYTES: usize = 16;

impl Guard {
    /// In front of a scanner.
    pub fn new(scanner: impl Scanner + 'static) -> Self {
        Self {
            scanner: Box::new(scanner),
            recent: Mutex::default(),
        }
    }

    /// All that looks like a secret in a JSON text, in order.
    ///
    /// # Errors
    /// Where that is too much work.
    pub fn find(&self, json: &str) -> Result<Vec<Finding>, TooMuch> {
        self.find_in(json, &json::texts(json), &mut Work::of_a_draft(), false)
    }

    /// The same for a text that is no JSON; ranges are in bytes of the text.
    ///
    /// # Errors
    /// Where that is too much work.
    pub fn find_text(&self, text: &str) -> Result<Vec<Finding>, TooMuch> {
        let mut work = Work::of_a_draft();
        let mut search = Search::new(&*self.scanner, &mut work, false);
        search.look(text, &Some)?;
        let mut findings: Vec<_> = search
            .found
            .into_iter()
            .map(|found| finding(text, &[], found, false))
            .collect();
        findings.sort_by_key(|finding| finding.range.start);
        Ok(findings)
    }

    /// Refuses entries that are to be appended together, in order, if there is a secret in one of them, or in one
    /// together with what its actor said last. If there is none, they are what their actors said last.
    ///
    /// # Errors
    /// The first entry with a secret in it.
    pub fn screen(&self, entries: &[Entry<'_>]) -> Result<(), Refused> {
        let hasher = self.recent().hasher();
        let mut windows = HashMap::<&str, Window>::new();
        let bytes = entries
            .iter()
            .map(|entry| entry.payload.len() + entry.source.map_or(0, str::len));
        let mut work = Work::of_drafts(bytes.sum());
        for (nth, entry) in entries.iter().enumerate() {
            let refused = |message| Refused { entry: nth, message };
            for (member, json) in [("source", entry.source), ("payload", Some(entry.payload))] {
                let Some(json) = json else { continue };
                let texts = json::texts(json);
                let found = self
                    .find_in(json, &texts, &mut work, true)
                    .map_err(|e| refused(e.to_string()))?;
                if let Some(finding) = found.first() {
                    return Err(refused(finding.in_member(member)));
                }
                if member == "payload" {
                    let window = windows
                        .entry(entry.actor)
                        .or_insert_with(|| self.recent().of(entry.actor));
                    let opened = json::opened(json);
                    let (junctions, tails) = window.meet(json, &opened, &texts, &hasher);
                    let mut search = Search::new(&*self.scanner, &mut work, true);
                    for junction in junctions {
                        // Of interest is only what is in both.
                        let here = |range: Range<usize>| {
                            let both = range.start < junction.at && range.end > junction.at;
                            both.then(|| opened.source(junction.head..junction.head + range.end - junction.at))
                        };
                        search.look(&junction.text, &here).map_err(|e| refused(e.to_string()))?;
                    }
                    if let Some(found) = search.found.pop() {
                        return Err(refused(finding(json, &texts, found, true).in_member(member)));
                    }
                    window.push(json, tails, &hasher);
                }
            }
        }
        let mut recent = self.recent();
        for (actor, window) in windows {
            recent.keep(actor.to_owned(), window);
        }
        Ok(())
    }

    /// A JSON text with handles in place of all that looks like a secret in it, none if there is nothing. `handle` makes
    /// one of the rule and the secret, decoded: equal secrets are to give equal handles, which tell nothing of them.
    ///
    /// # Errors
    /// Where it is too much work, or something would be left: in a number, say.
    pub fn handled(&self, json: &str, handle: &dyn Fn(&str, &str) -> String) -> Result<Option<String>, NoHandle> {
        let texts = json::texts(json);
        let mut found = self.find_in(json, &texts, &mut Work::of_a_draft(), false)?;
        if found.is_empty() {
            return Ok(None);
        }
        // Where several rules see one, it has the handle of that which sees most of it.
        found.sort_by_key(|finding| (finding.range.start, std::cmp::Reverse(finding.range.end)));
        let mut handled = String::with_capacity(json.len());
        let mut at = 0;
        for (place, handle) in places(&texts, &found, handle) {
            handled.push_str(&json[at..place.start]);
            handled.push_str(&handle);
            at = place.end;
        }
        handled.push_str(&json[at..]);
        let left = self.find_in(&handled, &json::texts(&handled), &mut Work::of_a_draft(), true)?;
        if left.is_empty() {
            Ok(Some(handled))
        } else {
            Err(NoHandle::Left)
        }
    }

    fn find_in(&self, json: &str, texts: &[Text], work: &mut Work, first: bool) -> Result<Vec<Finding>, TooMuch> {
        let opened = json::opened(json);
        let mut search = Search::new(&*self.scanner, work, first);
        let values = texts
            .iter()
            .filter(|text| !text.is_name)
            .map(|text| opened.places(&text.range));
        let values: Vec<_> = values.collect();
        // Each by itself, for what begins or ends with the text, and all with their names, which tell what is a secret.
        for value in values.iter().filter(|value| value.len() >= VALUE_BYTES) {
            let place = |range: Range<usize>| Some(opened.source(value.start + range.start..value.start + range.end));
            search.look(&opened.text[value.clone()], &place)?;
        }
        let named = json::without_rests(&opened.text, &values);
        search.look(&named.text, &|range| Some(opened.source(named.source(range))))?;
        let split = json::between_values(json, texts);
        search.through(json, split, &Some, |search, text, back| search.look(text, back))?;
        let mut findings: Vec<_> = search
            .found
            .into_iter()
            .map(|found| finding(json, texts, found, false))
            .collect();
        findings.sort_by_key(|finding| finding.range.start);
        Ok(findings)
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn finding(json: &str, texts: &[Text], found: Found, begun_before: bool) -> Finding {
    let range = on_text(json, found.range);
    Finding {
        rule: found.rule,
        field: json::field(json, texts, &range),
        range,
        begun_before,
        value: found.value,
    }
}

/// A range of whole characters, of at least one where there is one.
fn on_text(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start.min(text.len().saturating_sub(1)));
    let end = text.ceil_char_boundary(range.end.max(start + 1).min(text.len()));
    start..end
}

/// The parts of strings that findings cover, in order, each with a handle in its place.
fn places(texts: &[Text], found: &[Finding], handle: &dyn Fn(&str, &str) -> String) -> Vec<(Range<usize>, String)> {
    let mut places = Vec::<(Range<usize>, String)>::new();
    let mut from = 0;
    for text in texts {
        while found
            .get(from)
            .is_some_and(|finding| finding.range.end <= text.range.start)
        {
            from += 1;
        }
        for finding in found[from..]
            .iter()
            .take_while(|finding| finding.range.start < text.range.end)
        {
            // A name between two parts of a secret is none.
            let in_name = finding.range.start >= text.range.start && finding.range.end <= text.range.end;
            if text.is_name && !in_name {
                continue;
            }
            let start = finding.range.start.max(text.range.start);
            let end = finding.range.end.min(text.range.end);
            if start >= end {
                continue;
            }
            match places.last_mut().filter(|(last, _)| start < last.end) {
                Some((last, _)) => last.end = last.end.max(end),
                None => places.push((start..end, handle(finding.rule, &finding.value))),
            }
        }
    }
    places
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
