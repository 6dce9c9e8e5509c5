//! Rules that collapse a noisy stream into one signal: "asked about pricing", eight times, becomes the fact
//! "pricing-sensitive" with eight events as its evidence.
//!
//! What matches a rule is found when it is folded, so the rules are part of what the tables hold: other rules, and the
//! log is folded again. A signal holds in a sight if enough of the events that it shows match, none of them withdrawn,
//! repeated from recall or expired, and lie within the rule's days before the newest of them; and it holds as long after
//! that one. Its confidence is that of its evidence, by the same rule as that of any fact.

use std::{
    collections::HashSet,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use quipu_format::Hash;
use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use crate::{
    error::{Cause, Error, Result},
    limits,
    vectors::{self, Vectors},
};

/// The rules of a ledger that brings none.
const DEFAULT: &str = include_str!("noise.toml");
/// Name of the file in the ledger's folder that replaces them.
pub(crate) const FILE: &str = "noise.toml";

const DAY_MS: u64 = 86_400_000;

/// The rules, and the digest of the text that they were read from.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) rules: Vec<Rule>,
    pub(crate) digest: Hash,
    /// What words mean, where the ledger brings such a table.
    pub(crate) vectors: Option<Vectors>,
}

/// Rules that compaction is to go by in place of the ledger's.
#[derive(Debug, Clone)]
pub struct NoiseRules(pub(crate) Arc<Rules>);

impl NoiseRules {
    /// Reads the text of a file such as `noise.toml`; `name` is what messages call it.
    ///
    /// # Errors
    /// `Invalid`, naming what is wrong.
    pub fn parse(text: &str, name: &str) -> std::result::Result<Self, Error> {
        Ok(Self(Arc::new(Rules::parse(text, name)?)))
    }
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    name: String,
    pattern: Regex,
    kinds: HashSet<String>,
    pub(crate) count: usize,
    pub(crate) within_ms: u64,
    pub(crate) signal: String,
    pub(crate) tags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    rule: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    pattern: String,
    kinds: Vec<String>,
    count: usize,
    within: u32,
    signal: String,
    #[serde(default)]
    tags: Vec<String>,
}

impl Rules {
    /// Those of the ledger in a folder, or else the default ones.
    pub(crate) fn load(folder: &Path) -> Result<Self> {
        let rules = match Self::text(&folder.join(FILE)) {
            Ok(text) => Self::parse(&text, "noise.toml in the ledger's folder"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::parse(DEFAULT, "the default rules"),
            Err(error) => Err(Cause::Io("read noise.toml in the ledger's folder", error)),
        }?;
        Ok(Self {
            vectors: Vectors::load(folder)?,
            ..rules
        })
    }

    fn text(path: &Path) -> io::Result<String> {
        let (file, most) = (fs::metadata(path)?, limits::NOISE_BYTES as u64);
        // A pipe would be waited for, and a device may have no end.
        if !file.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        if file.len() > most {
            let why = format!("it has {} bytes; at most {most} fit", file.len());
            return Err(io::Error::other(why));
        }
        let mut text = String::new();
        fs::File::open(path)?.take(most + 1).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Digest of all that rows depend on besides the log.
    pub(crate) fn folded_by(&self) -> Hash {
        match &self.vectors {
            None => self.digest,
            Some(vectors) => Hash::of(&[self.digest.as_bytes(), vectors.sha256.as_bytes()]),
        }
    }

    /// `name` is what messages call the text.
    fn parse(text: &str, name: &str) -> Result<Self> {
        let wrong = |what: String| Cause::Invalid(format!("{name} is not good: {what}"));
        if text.len() > limits::NOISE_BYTES {
            return Err(wrong(format!(
                "it has {} bytes; at most {} fit",
                text.len(),
                limits::NOISE_BYTES
            )));
        }
        let file: Text = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if file.rule.len() > limits::NOISE_RULES {
            return Err(wrong(format!(
                "it has {} rules; at most {} fit",
                file.rule.len(),
                limits::NOISE_RULES
            )));
        }
        let mut names = HashSet::new();
        let rules = file.rule.into_iter().map(|rule| {
            let name = rule.name.clone();
            match names.insert(name.clone()) {
                true => Rule::new(rule).map_err(|what| wrong(format!("rule {name:?}: {what}"))),
                false => Err(wrong(format!("two rules are called {name:?}"))),
            }
        });
        Ok(Self {
            rules: rules.collect::<Result<_>>()?,
            digest: Hash::of(&[text.as_bytes()]),
            vectors: None,
        })
    }

    /// Whether a rule looks at events of this kind.
    pub(crate) fn look_at(&self, kind: &str) -> bool {
        self.rules.iter().any(|rule| rule.kinds.contains(kind))
    }

    /// The numbers of the rules that a text matches, said by an event of this kind.
    pub(crate) fn matching(&self, kind: &str, text: &str) -> Vec<usize> {
        let of_kind = self
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.kinds.contains(kind));
        let matching = of_kind.filter(|(_, rule)| rule.pattern.is_match(text));
        matching.map(|(number, _)| number).collect()
    }
}

/// The rules of a ledger, read again when their file changes: all processes that use the projection then have the same.
pub(crate) struct Watched {
    folder: PathBuf,
    read: Mutex<Option<Read>>,
}

/// What was read of files that were written then; or why that cannot be used, which does not change unless they do.
type Read = ([Stamp; 2], std::result::Result<Arc<Rules>, String>);

/// When the file was written, and its length; `None`: there is none.
type Stamp = Option<(SystemTime, u64)>;

impl Watched {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            read: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Result<Arc<Rules>> {
        let stamp = [FILE, vectors::FILE].map(|name| {
            let file = fs::metadata(self.folder.join(name)).ok()?;
            Some((file.modified().ok()?, file.len()))
        });
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rules)) = read.as_ref().filter(|(of, _)| *of == stamp) {
            return rules.clone().map_err(Cause::Invalid);
        }
        let rules = match Rules::load(&self.folder) {
            Ok(rules) => Ok(Arc::new(rules)),
            Err(Cause::Invalid(why)) => Err(why),
            // It may be readable the next time.
            Err(other) => return Err(other),
        };
        *read = Some((stamp, rules.clone()));
        rules.map_err(Cause::Invalid)
    }
}

impl Rule {
    fn new(written: Written) -> std::result::Result<Self, String> {
        let pattern = RegexBuilder::new(&written.pattern)
            .size_limit(limits::NOISE_PATTERN_BYTES)
            .dfa_size_limit(limits::NOISE_PATTERN_BYTES)
            .build();
        if written.count == 0 || written.count > limits::NOISE_COUNT {
            return Err(format!(
                "count is a number of events, from 1 to {}",
                limits::NOISE_COUNT
            ));
        }
        if written.within == 0 {
            return Err("within is a number of days, from 1".to_owned());
        }
        if written.signal.trim().is_empty() {
            return Err("signal is the text of a fact, and is empty".to_owned());
        }
        Ok(Self {
            name: written.name,
            pattern: pattern.map_err(|error| error.to_string())?,
            kinds: written.kinds.into_iter().collect(),
            count: written.count,
            within_ms: u64::from(written.within) * DAY_MS,
            signal: written.signal,
            tags: written.tags,
        })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(name: &str) -> Regex {
        let rules = Rules::parse(DEFAULT, "").unwrap().rules;
        rules.into_iter().find(|rule| rule.name == name).unwrap().pattern
    }

    #[test]
    fn the_default_rules_match_what_they_are_for() {
        for text in [
            "asked about pricing",
            "Customer asked whether the price is final",
            "worried about costs",
        ] {
            assert!(pattern("pricing").is_match(text), "{text}");
        }
        assert!(!pattern("pricing").is_match("Prices invoices in euro"));
        assert!(pattern("outages").is_match("reported downtime again"));
        assert!(!pattern("outages").is_match("asked for a report"));
        assert!(pattern("refunds").is_match("Wants a refund for May"));
        assert!(!pattern("refunds").is_match("The refund was sent"));
    }

    #[test]
    fn rules_that_are_no_rules_are_refused_by_name() {
        let rule = |change: (&str, &str)| {
            let good = "[[rule]]\nname = \"n\"\npattern = \"p\"\nkinds = []\ncount = 1\nwithin = 1\nsignal = \"s\"\n";
            assert!(Rules::parse(good, "").is_ok());
            let error = Rules::parse(&good.replace(change.0, change.1), "").unwrap_err();
            error.to_string()
        };
        assert!(rule(("\"p\"", "\"(\"")).contains("rule \"n\""));
        assert!(
            rule(("\"p\"", "'(\\w{500}){500}'")).contains("size limit"),
            "no pattern takes all memory"
        );
        assert!(rule(("count = 1", "count = 0")).contains("count"));
        assert!(rule(("within = 1", "within = 0")).contains("within"));
        assert!(rule(("\"s\"", "\" \"")).contains("signal"));
        assert!(rule(("kinds", "sorts")).contains("sorts"));
        let many =
            "[[rule]]\nname = \"n\"\npattern = \"p\"\nkinds = []\ncount = 1\nwithin = 1\nsignal = \"s\"\n".repeat(2);
        assert!(Rules::parse(&many, "").unwrap_err().to_string().contains("two rules"));
        assert!(Rules::parse(&"#".repeat(limits::NOISE_BYTES + 1), "").is_err());
        assert!(Rules::parse("", "").unwrap().rules.is_empty());
    }
}
