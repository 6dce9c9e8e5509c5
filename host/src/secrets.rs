//! The secret guard in front of a ledger: what it looks at, what it says, and handles in place of secrets.

use std::sync::Arc;

use quipu_format::Body;
use quipu_guard::{Entry, Guard, NoHandle};
use quipu_log::{Draft, Ledger, LedgerReader, Screen, Screened};
use serde_json::{Map, Value, json};

/// Keeps secrets (keys, tokens, passwords) out of a ledger, whose entries stay.
///
/// Attached to a ledger it looks at whatever is appended through it, by whomever, and refuses what has a secret in it. It
/// says by which rule and where, and never what. What the host records of a run is not refused: there a handle stands in a
/// secret's place, `secret://<rule>/<hash>`, as in whatever is appended under [`SecretsPolicy::Handle`](crate::SecretsPolicy).
///
/// Rules are compiled when a text first has a word that they look for; a server may call [`warm`](Self::warm) before.
#[derive(Debug, Default)]
pub struct SecretGuard {
    guard: Guard,
}

/// What runs record of themselves.
const RUN: &str = "quipu.run";

impl SecretGuard {
    /// Has all that is appended through a ledger looked at from now on.
    pub fn attach(ledger: &Ledger) -> Arc<Self> {
        let guard = Arc::new(Self::default());
        ledger.screen_by(guard.clone());
        guard
    }

    /// Compiles all rules, which takes seconds of a processor.
    pub fn warm() {
        quipu_guard::Rules::warm();
    }

    /// Refuses a text of a person's that has a secret in it; `what` is what the text is called.
    ///
    /// # Errors
    /// Where the secret is, for a person.
    pub fn check_text(&self, what: &str, text: &str) -> Result<(), String> {
        let found = self
            .guard
            .find_text(text)
            .map_err(|e| format!("the {what} cannot be checked for secrets: {e}"))?;
        found
            .first()
            .map_or(Ok(()), |finding| Err(refused(&finding.in_member(what))))
    }

    /// Refuses a body that has a secret in it, or has one together with what was looked at before in this actor's name.
    ///
    /// # Errors
    /// Where the secret is, for a person.
    pub fn check(&self, actor: &str, body: &Body) -> Result<(), String> {
        let source = source(body)?;
        let entry = entry(actor, source.as_deref(), body);
        self.guard
            .screen(&[entry])
            .map_err(|screened| refused(&screened.message))
    }

    /// A body with handles in place of all secrets that are found in it; none, if there are none.
    ///
    /// # Errors
    /// Where a handle cannot stand for what was found: for a person.
    pub fn handled(&self, body: &Body, ledger: &LedgerReader) -> Result<Option<Body>, String> {
        let handle = |rule: &str, secret: &str| ledger.secret_handle(rule, secret);
        let failed = |why: NoHandle| match why {
            NoHandle::TooMuch(why) => format!("this is not looked through to its end: {why}"),
            why => format!("this cannot be stored with handles: {why}"),
        };
        let source = source(body)?;
        let new_source = match &source {
            Some(source) => self.guard.handled(source, &handle).map_err(failed)?,
            None => None,
        };
        let payload = self.guard.handled(body.payload.get(), &handle).map_err(failed)?;
        if new_source.is_none() && payload.is_none() {
            return Ok(None);
        }
        let source = match new_source {
            Some(json) => Some(serde_json::from_str(&json).map_err(|e| e.to_string())?),
            None => body.source.clone(),
        };
        let payload = payload.as_deref().unwrap_or(body.payload.get());
        Body::new(source, payload).map(Some).map_err(|e| e.to_string())
    }

    /// Puts handles in place of secrets in those drafts that `which` chooses. What cannot be handled stays, to be refused.
    pub(crate) fn handle(&self, drafts: &mut [Draft], which: fn(&Draft) -> bool, ledger: &LedgerReader) {
        for draft in drafts.iter_mut().filter(|draft| which(draft)) {
            if is_record(draft) {
                self.handle_record(draft, ledger);
                continue;
            }
            if let Ok(Some(body)) = self.handled(&draft.body, ledger) {
                draft.body = body;
            }
        }
    }

    /// What a person or a guest said, as a member of a record of a run, with handles in place of secrets. None: it has none.
    pub(crate) fn said(&self, member: &str, text: &str, ledger: &LedgerReader) -> Option<String> {
        let handle = |rule: &str, secret: &str| ledger.secret_handle(rule, secret);
        let alone = json!({ member: text }).to_string();
        let handled = match self.guard.handled(&alone, &handle) {
            Ok(None) => return None,
            Ok(Some(handled)) => serde_json::from_str::<Map<String, Value>>(&handled)
                .ok()
                .and_then(|mut handled| match handled.remove(member)? {
                    Value::String(handled) => Some(handled),
                    _ => None,
                }),
            Err(why) => Some(format!("{WITHHELD}{why}")),
        };
        // A record must not be missing because no handle can stand in it.
        Some(handled.unwrap_or_else(|| WITHHELD.trim_end().into()))
    }

    /// Puts handles in place of secrets in what persons and guests say in a record of a run. What the host says there, seeds
    /// and hashes, is what the run is executed again from.
    fn handle_record(&self, draft: &mut Draft, ledger: &LedgerReader) {
        let Ok(mut record) = serde_json::from_str::<Map<String, Value>>(draft.body.payload.get()) else {
            return;
        };
        let mut changed = Vec::new();
        for member in SAID {
            let Some(Value::String(said)) = record.get_mut(member) else {
                continue;
            };
            if let Some(handled) = self.said(member, said, ledger) {
                *said = handled;
                changed.push(Value::from(member));
            }
        }
        if changed.is_empty() {
            return;
        }
        record.insert(HANDLED.into(), Value::Array(changed));
        if let Ok(body) = Body::new(draft.body.source.clone(), &Value::Object(record).to_string()) {
            draft.body = body;
        }
    }
}

/// Names the members of a record that are not as they were said.
const HANDLED: &str = "handled";
/// Members of the records of a run in which somebody else is quoted.
const SAID: [&str; 3] = ["error", "input", "output"];
/// How what stands for a text in a record begins where no handles can stand in it; why follows.
const WITHHELD: &str = "withheld: ";

impl Screen for SecretGuard {
    fn screen(&self, drafts: &[Draft]) -> Result<(), Screened> {
        // A run's own records have handles already.
        let theirs: Vec<&Draft> = drafts
            .iter()
            .filter(|draft| !is_record(draft) && !draft.actor.is_reserved())
            .collect();
        let failed = |message| Screened { message };
        let sources = theirs
            .iter()
            .map(|draft| source(&draft.body))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        // What is refused in a scope tells nothing of what its actor said in another.
        let whose: Vec<_> = theirs
            .iter()
            .map(|draft| format!("{} {}", draft.scope, draft.actor))
            .collect();
        let entries = theirs.iter().zip(&sources).zip(&whose);
        let entries: Vec<_> = entries
            .map(|((draft, source), whose)| entry(whose, source.as_deref(), &draft.body))
            .collect();
        self.guard.screen(&entries).map_err(|screened| {
            let which = if entries.len() > 1 {
                format!("draft {}: ", screened.entry)
            } else {
                String::new()
            };
            Screened {
                message: which + &refused(&screened.message),
            }
        })
    }
}

/// Whether the host writes it of a run, in the run's name.
pub(crate) fn is_record(draft: &Draft) -> bool {
    let kind = draft.kind.as_str();
    kind.strip_prefix(RUN)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn refused(place: &str) -> String {
    format!("this looks like a secret, and what is appended stays: {place}. Leave it out, or name where it is kept")
}

fn entry<'a>(actor: &'a str, source: Option<&'a str>, body: &'a Body) -> Entry<'a> {
    Entry {
        actor,
        source,
        payload: body.payload.get(),
    }
}

fn source(body: &Body) -> Result<Option<String>, String> {
    let source = body.source.as_ref().map(serde_json::to_string).transpose();
    source.map_err(|e| format!("the source is not JSON: {e}"))
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
