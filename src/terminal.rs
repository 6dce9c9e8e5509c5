//! What goes to the user: nothing that came from a log or a guest may steer a terminal.

use std::{
    borrow::Cow,
    io::{BufWriter, IsTerminal, StdoutLock, Write, stderr, stdout},
    time::{Duration, Instant},
};

use anstream::AutoStream;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
pub(crate) use quipu_format::{escaped, escaped_json, escaped_lines};

/// Buffered standard output, which shows colours on a terminal alone. Flush it before the command ends.
pub(crate) type Out = BufWriter<AutoStream<StdoutLock<'static>>>;

pub(crate) fn out() -> Out {
    BufWriter::new(AutoStream::auto(stdout().lock()))
}

/// The columns of the terminal on standard output; none where it is a file or a pipe.
pub(crate) fn columns() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(stdout())?;
    Some(width.0.into())
}

/// The first `limit` characters, with `…` where something was cut off.
pub(crate) fn shortened(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        None => Cow::Borrowed(text),
        Some(_) => {
            let end = text.char_indices().nth(limit.saturating_sub(1)).map_or(0, |(at, _)| at);
            Cow::Owned(format!("{}…", text[..end].trim_end()))
        }
    }
}

/// `1 event`, `2 events`, `2 entries`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    match noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o'])) {
        _ if count == 1 => format!("1 {noun}"),
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {noun}s"),
    }
}

/// A progress bar on a terminal's standard error, for what takes longer than a second; elsewhere it draws nothing.
/// It goes when it is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    begun: Instant,
}

impl Progress {
    pub(crate) fn new(what: &'static str) -> Self {
        Self::like(what, "{msg} [{bar:30}] {percent} %, {eta} left")
    }

    /// One that also says how many entries are done, and how fast.
    pub(crate) fn of_entries(what: &'static str) -> Self {
        Self::like(
            what,
            "{msg} [{bar:30}] {human_pos} of {human_len} entries, {per_sec}, {eta} left",
        )
    }

    fn like(what: &'static str, template: &str) -> Self {
        let bar = ProgressBar::hidden().with_message(what);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self {
            bar,
            begun: Instant::now(),
        }
    }

    pub(crate) fn show(&mut self, done: u64, total: u64) {
        if self.bar.is_hidden() && self.begun.elapsed() > Duration::from_secs(1) && stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Tells the user on standard error what is no failure.
pub(crate) fn warn(message: &str) {
    const WARNING: anstyle::Style = anstyle::AnsiColor::Yellow.on_default().bold();
    // If nobody reads it, the command goes on.
    let _ = writeln!(anstream::stderr(), "{WARNING}warning{WARNING:#}: {}", escaped(message));
}

/// The present, by the system's clock.
pub(crate) fn now() -> quipu_format::Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    quipu_format::Timestamp::from_ms(since.map_or(0, |since| since.as_millis() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_a_character() {
        assert_eq!(shortened("häuser", 6), "häuser");
        assert_eq!(shortened("häuser", 4), "häu…");
        assert_eq!(shortened("", 0), "");
    }
}
