//! SDK for compactors written in Rust: components that read one scope and propose summaries of it.
//!
//! ```
//! use quipu_guest_compactor::{Draft, Event, RunInfo, summary};
//!
//! quipu_guest_compactor::compactor!(compact);
//!
//! /// One summary of how many events there are.
//! fn compact(_run: RunInfo, events: Vec<Event>) -> Result<Vec<Draft>, String> {
//!     let newest: Vec<_> = events.iter().rev().take(256).collect();
//!     let text = format!("{} events came last", newest.len());
//!     Ok(vec![summary(&text, newest)])
//! }
//! ```
//!
//! Built like an agent: a `cdylib` for `wasm32-unknown-unknown`; `quipu compact --scope S --with FILE` runs it. The host checks
//! what it proposes: kind `memory.summary`, a text, and as evidence what it was given, at most 256 events. It is a crate of its
//! own because a component's world is made of all that its SDK knows.

pub mod bindings;

#[doc(inline)]
pub use bindings::quipu::memory::{
    read::Reader,
    types::{Draft, Event, EventId, RunInfo, Seq, Source, Timestamp},
};

/// All events of a reader's scope that were not erased, oldest first.
pub fn events(memory: &Reader) -> Result<Vec<Event>, String> {
    let (mut events, mut next) = (Vec::new(), None);
    loop {
        let page = memory.read(next, 1_000).map_err(|error| error.message)?;
        events.extend(page.events.into_iter().filter(|event| event.payload.is_some()));
        match page.next {
            Some(seq) => next = Some(seq),
            None => return Ok(events),
        }
    }
}

/// A summary of tier 1 with this text that covers these events.
pub fn summary<'a>(text: &str, covers: impl IntoIterator<Item = &'a Event>) -> Draft {
    let escaped: String = text.chars().map(escape).collect();
    Draft {
        kind: "memory.summary".to_owned(),
        payload: format!(r#"{{"text":"{escaped}","tier":1}}"#),
        source: None,
        evidence: covers.into_iter().map(|event| event.id.clone()).collect(),
        supersedes: Vec::new(),
        scope: None,
        key: None,
    }
}

/// A character as a JSON string has it.
fn escape(c: char) -> String {
    match c {
        '"' | '\\' => format!("\\{c}"),
        c if c < ' ' => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    }
}

/// Exports a function as a component of world `compactor`: `fn(RunInfo, Vec<Event>) -> Result<Vec<Draft>, String>`, where the
/// events are those of [`events`]. Once in a crate.
#[macro_export]
macro_rules! compactor {
    ($compact:path) => {
        const _: () = {
            struct Component;

            impl $crate::bindings::Guest for Component {
                fn compact(
                    run: $crate::RunInfo,
                    memory: $crate::Reader,
                ) -> ::std::result::Result<::std::vec::Vec<$crate::Draft>, ::std::string::String> {
                    $compact(run, $crate::events(&memory)?)
                }
            }

    $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_stands_in_a_payload_as_it_is() {
        let draft = super::summary("a \"b\" \\ c\nd", []);
        assert_eq!(draft.payload, r#"{"text":"a \"b\" \\ c\u000ad","tier":1}"#);
    }
}
