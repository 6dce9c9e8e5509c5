//! Events as a tree on a terminal.

use std::io::{self, Write};

use quipu_format::Event;

use crate::{
    render::{ACTOR, DIM, ID, said, seconds, text_chars},
    terminal::{Out, shortened},
};

/// What is still to be printed.
struct Branch<T> {
    node: T,
    /// What stands left of it, and left of what hangs below it.
    lead: String,
    below: String,
}

/// Prints a root and all that hangs on it. `line` prints a node behind its lead, and gives what hangs on that.
pub(crate) fn draw<T>(
    out: &mut Out,
    root: T,
    mut line: impl FnMut(&mut Out, &str, T) -> io::Result<Vec<T>>,
) -> io::Result<()> {
    // A stack and not recursion: a trail can be as long as a log.
    let mut stack = vec![Branch {
        node: root,
        lead: String::new(),
        below: String::new(),
    }];
    while let Some(Branch { node, lead, below }) = stack.pop() {
        let nodes = line(out, &lead, node)?;
        let last = nodes.len().saturating_sub(1);
        for (at, node) in nodes.into_iter().enumerate().rev() {
            let (branch, trunk) = if at == last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            stack.push(Branch {
                node,
                lead: format!("{below}{branch}"),
                below: format!("{below}{trunk}"),
            });
        }
    }
    Ok(())
}

/// An event behind its lead, and in a word how it comes here.
pub(crate) fn event_line(out: &mut Out, lead: &str, how: &str, event: &Event) -> io::Result<()> {
    let (id, actor, kind) = (event.envelope.id, &event.envelope.actor, &event.envelope.kind);
    let columns =
        lead.chars().count() + how.len() + 30 + 2 + 20 + 2 + actor.as_str().len() + 2 + kind.as_str().len() + 2;
    let text = said(event);
    let text = shortened(&text, text_chars(columns).min(100));
    writeln!(
        out,
        "{DIM}{lead}{how}{DIM:#}{ID}{id}{ID:#}  {DIM}{}{DIM:#}  {ACTOR}{actor}{ACTOR:#}  {kind}  {text}",
        seconds(event)
    )
}
