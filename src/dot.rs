//! Events and how they lean on each other, as a graph in the language of Graphviz.

use std::{collections::HashSet, io::Write};

use quipu_format::{Event, EventId};

use crate::{
    render::{said, seconds},
    terminal::{Out, shortened},
};

/// Characters of an event's text.
const TEXT_CHARS: usize = 60;

/// From an event to what it leans on.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Arrow {
    pub(crate) later: EventId,
    pub(crate) earlier: EventId,
    /// How; `None`: it names it as evidence.
    pub(crate) label: Option<String>,
}

/// Writes events, each once, and the arrows between them.
pub(crate) fn graph<'a>(
    out: &mut Out,
    name: &str,
    events: impl Iterator<Item = &'a Event>,
    arrows: impl Iterator<Item = Arrow>,
) -> std::io::Result<()> {
    writeln!(out, "digraph {name} {{\n  rankdir=LR;\n  node [shape=box];")?;
    let mut drawn = HashSet::new();
    for event in events {
        let envelope = &event.envelope;
        if drawn.insert(envelope.id) {
            let text = said(event);
            let text = shortened(&text, TEXT_CHARS);
            let label = [
                envelope.id.to_string(),
                format!("{} {}", seconds(event), envelope.actor),
                text.into_owned(),
            ];
            let label: Vec<_> = label.iter().map(|line| quoted(line)).collect();
            writeln!(out, "  \"{}\" [label=\"{}\"];", envelope.id, label.join("\\n"))?;
        }
    }
    let arrows: Vec<_> = arrows.collect();
    let mut drawn = HashSet::new();
    for arrow in arrows.iter().filter(|arrow| drawn.insert(*arrow)) {
        let how = arrow.label.as_ref().map_or(String::new(), |label| {
            format!(" [style=dashed, label=\"{}\"]", quoted(label))
        });
        writeln!(out, "  \"{}\" -> \"{}\"{how};", arrow.later, arrow.earlier)?;
    }
    writeln!(out, "}}")
}

/// Text within quotes: the language knows no other escapes there.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
