//! Trails as a graph in the language of Graphviz.

use std::{collections::HashSet, io::Write};

use quipu_projections::{Relation, Trail};

use crate::{
    render::{said, seconds},
    terminal::{Out, shortened},
};

/// Characters of an event's text.
const TEXT_CHARS: usize = 60;

/// Writes the events of all trails, each once, and an arrow from each event to what it leans on.
pub(crate) fn graph(out: &mut Out, trails: &[Trail]) -> std::io::Result<()> {
    writeln!(out, "digraph why {{\n  rankdir=LR;\n  node [shape=box];")?;
    let mut drawn = HashSet::new();
    for event in trails.iter().flat_map(|trail| &trail.events) {
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
    let mut drawn = HashSet::new();
    for link in trails.iter().flat_map(|trail| &trail.links) {
        let replaces = link.relation == Relation::Supersedes;
        if drawn.insert((link.later, link.earlier, replaces)) {
            let how = if replaces {
                " [style=dashed, label=\"replaces\"]"
            } else {
                ""
            };
            writeln!(out, "  \"{}\" -> \"{}\"{how};", link.later, link.earlier)?;
        }
    }
    writeln!(out, "}}")
}

/// Text within quotes: the language knows no other escapes there.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
