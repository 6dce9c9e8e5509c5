//! Text that tells nothing of this machine and its user.

use std::{collections::HashMap, env, path::Path};

/// Replaces what would tell of this machine, its user or their secrets by placeholders. The same path is the same
/// placeholder as long as the process lives, so that traces can still be followed.
pub(crate) struct Sanitiser {
    /// What is replaced wherever it stands, the longest first.
    known: Vec<(String, &'static str)>,
    /// Other absolute paths, by their number.
    paths: HashMap<String, usize>,
}

/// Names of environment variables that hold what nobody else may see have one of these in them.
const SECRET: [&str; 9] = [
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSPHRASE",
    "PASSWD",
    "CREDENTIAL",
    "_KEY",
    "_PASS",
    "DATABASE_URL",
];

/// Bytes of the shortest token that is replaced: of a shorter one every second word would be a part.
const TOKEN_BYTES: usize = 6;

impl Sanitiser {
    /// For this process: its host, user, folders and environment.
    pub(crate) fn of_this_process(ledger: &Path) -> Self {
        let mut known = Vec::new();
        let mut add = |text: String, placeholder| {
            // The root folder is everybody's.
            if text.len() > 1 {
                known.push((text, placeholder));
            }
        };
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let ledger = crate::traces::absolute(ledger);
        add(text(&ledger), "<ledger>");
        if let Ok(ledger) = ledger.canonicalize() {
            add(text(&ledger), "<ledger>");
        }
        if let Ok(folder) = env::current_dir() {
            add(text(&folder), "<folder>");
        }
        add(
            rustix::system::uname().nodename().to_string_lossy().into_owned(),
            "<host>",
        );
        for (name, value) in env::vars_os() {
            let (name, value) = (
                name.to_string_lossy().to_uppercase(),
                value.to_string_lossy().into_owned(),
            );
            match name.as_str() {
                "HOME" => add(value, "<home>"),
                "USER" | "LOGNAME" => add(value, "<user>"),
                "HOSTNAME" => add(value, "<host>"),
                _ if value.len() >= TOKEN_BYTES && SECRET.iter().any(|word| name.contains(word)) => {
                    add(value, "<token>");
                }
                _ => {}
            }
        }
        Self::new(known)
    }

    fn new(mut known: Vec<(String, &'static str)>) -> Self {
        known.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self {
            known,
            paths: HashMap::new(),
        }
    }

    pub(crate) fn sanitised(&mut self, text: &str) -> String {
        let mut rest = text;
        let mut done = String::with_capacity(text.len());
        while let Some(first) = rest.chars().next() {
            let last = done.chars().next_back();
            let after_word = last.is_some_and(is_of_word);
            // Asked first, so that a long run of letters and strokes is read once.
            let may_begin = !last.is_some_and(is_of_path_or_more);
            if let Some((bytes, placeholder)) = self.known_at(rest, after_word) {
                done.push_str(placeholder);
                rest = &rest[bytes..];
            } else if let Some(path) = may_begin.then(|| path_at(rest)).flatten() {
                let next = self.paths.len() + 1;
                let number = *self.paths.entry(path.to_owned()).or_insert(next);
                done.push_str(&format!("<path:{number}>"));
                rest = &rest[path.len()..];
            } else {
                done.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        done
    }

    /// What is known and begins here, with its length. A name is a whole word; a path or token may be a part of one.
    fn known_at(&self, rest: &str, after_word: bool) -> Option<(usize, &'static str)> {
        let found = self.known.iter().find(|(text, placeholder)| {
            let Some(behind) = rest.strip_prefix(text.as_str()) else {
                return false;
            };
            // A port, or the end of a clause, stands behind a colon.
            let ends = || !behind.starts_with(|letter| is_of_word(letter) && letter != ':');
            match *placeholder {
                "<token>" => true,
                "<host>" | "<user>" => !after_word && ends(),
                _ => ends(),
            }
        });
        found.map(|(text, placeholder)| (text.len(), *placeholder))
    }
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | ':')
}

/// What no path begins behind.
fn is_of_path_or_more(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | '>' | '/' | '.')
}

/// The absolute path of two parts or more that begins here.
fn path_at(rest: &str) -> Option<&str> {
    let is_of_path =
        |letter: char| letter.is_alphanumeric() || matches!(letter, '/' | '.' | '_' | '-' | '+' | '@' | '~');
    rest.strip_prefix('/')?;
    let end = rest.find(|letter| !is_of_path(letter)).unwrap_or(rest.len());
    let path = rest[..end].trim_end_matches(['.', '/']);
    (path.matches('/').count() >= 2).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_of_machine_and_user_has_placeholders() {
        let known = [
            ("/users/kim", "<home>"),
            ("/users/kim/memory", "<ledger>"),
            ("box17", "<host>"),
            ("kim", "<user>"),
            ("hunter2-hunter2", "<token>"),
        ];
        let mut sanitiser = Sanitiser::new(known.map(|(text, place)| (text.to_owned(), place)).to_vec());
        for (text, expected) in [
            ("opened /users/kim/memory/log on box17", "opened <ledger>/log on <host>"),
            ("as kim, not kimberly", "as <user>, not kimberly"),
            ("in /users/kim/x", "in <home>/x"),
            ("auth=hunter2-hunter2!", "auth=<token>!"),
            ("cannot read /srv/a/b: no", "cannot read <path:1>: no"),
            ("/srv/a/c and \"/srv/a/b\".", "<path:2> and \"<path:1>\"."),
            (
                "quipu:memory/read@0.1.0 and/or 1/2",
                "quipu:memory/read@0.1.0 and/or 1/2",
            ),
            ("actor operator:kim", "actor operator:kim"),
            ("connect to box17:8080", "connect to <host>:8080"),
            ("kim: cannot read:/srv/a/b", "<user>: cannot read:<path:1>"),
            ("in /users/kimberly/x", "in <path:3>"),
            ("", ""),
        ] {
            assert_eq!(sanitiser.sanitised(text), expected);
        }
    }

    #[test]
    fn a_long_line_is_read_once() {
        let mut sanitiser = Sanitiser::new(Vec::new());
        for part in ["/", "a/", "//a"] {
            let line = part.repeat(64 << 10);
            let begun = std::time::Instant::now();
            assert!(sanitiser.sanitised(&line).len() <= line.len() + 10);
            assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{part}");
        }
    }
}
