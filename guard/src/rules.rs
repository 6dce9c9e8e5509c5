//! The rules of `secrets_scanner`, and a few of ours, each compiled when a text first has one of its keywords.
//!
//! All at once they take seconds to compile and most are never needed. The scanner itself runs a rule only over a text
//! that has one of its keywords, so nothing is missed; a test holds keywords and findings against the scanner's own.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{LazyLock, OnceLock},
};

use aho_corasick::AhoCorasick;
use secrets_scanner::{RuleEngine, ScanConfig, rules::BUNDLED_RULES};

use crate::{Match, Scanner, TooMuch, Work};

/// Ours, in the same form: tokens that are known by their shape alone and that the scanner does not know.
const OUR_RULES: &str = include_str!("rules.toml");

/// The [`Scanner`] in use. All values share one set of rules, which is made when it is first needed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules;

impl Scanner for Rules {
    fn scan(&self, text: &str, work: &mut Work) -> Result<Vec<Match>, TooMuch> {
        RULES.scan(text, work)
    }
}

impl Rules {
    /// How many rules there are.
    pub fn count() -> usize {
        RULES.rules.len()
    }

    /// Compiles all rules, which takes seconds, so that no text has to wait for one. For servers, on a thread of its own.
    pub fn warm() {
        for rule in &RULES.rules {
            rule.compiled();
        }
    }
}

static RULES: LazyLock<RuleSet> = LazyLock::new(RuleSet::new);

struct RuleSet {
    rules: Vec<Rule>,
    /// None could not be: then every rule is a candidate.
    keywords: Option<AhoCorasick>,
    /// Of each keyword, the rules that have it.
    of_keyword: Vec<Vec<u16>>,
    /// What is never a secret, whatever rule says so.
    allowed: OnceLock<Option<RuleEngine>>,
}

struct Rule {
    id: &'static str,
    toml: &'static str,
    compiled: OnceLock<Option<secrets_scanner::Scanner>>,
}

impl RuleSet {
    fn new() -> Self {
        let mut rules = Vec::new();
        let mut keywords = Vec::new();
        let mut of_keyword = Vec::<Vec<u16>>::new();
        let mut known = HashMap::new();
        for toml in tables(BUNDLED_RULES).chain(tables(OUR_RULES)) {
            let (Some(id), Ok(nth)) = (member(toml, "id").next(), u16::try_from(rules.len())) else {
                continue;
            };
            let mut keyed = false;
            for keyword in member(toml, "keywords") {
                let at = *known.entry(keyword).or_insert_with(|| {
                    keywords.push(keyword);
                    of_keyword.push(Vec::new());
                    of_keyword.len() - 1
                });
                if of_keyword[at].last() != Some(&nth) {
                    of_keyword[at].push(nth);
                }
                keyed = true;
            }
            // One rule has none: it looks at file names, of which there are none here.
            if keyed {
                rules.push(Rule {
                    id,
                    toml,
                    compiled: OnceLock::new(),
                });
            }
        }
        Self {
            rules,
            keywords: AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(&keywords)
                .ok(),
            of_keyword,
            allowed: OnceLock::new(),
        }
    }

    fn scan(&self, text: &str, work: &mut Work) -> Result<Vec<Match>, TooMuch> {
        let mut found = Vec::new();
        for nth in self.candidates(text) {
            let rule = &self.rules[nth];
            work.spend(text.len())?;
            let Some(scanner) = rule.compiled() else { continue };
            for finding in scanner.scan_bytes("", text.as_bytes()) {
                let range = finding.secret_start_offset..finding.secret_end_offset;
                if !self.is_allowed(rule.id, text, finding.start_offset..finding.end_offset, range.clone()) {
                    found.push(Match { rule: rule.id, range });
                }
            }
        }
        Ok(found)
    }

    /// Rules of which the text has a keyword, in their order.
    fn candidates(&self, text: &str) -> Vec<usize> {
        let Some(keywords) = &self.keywords else {
            return (0..self.rules.len()).collect();
        };
        let mut seen = vec![false; self.rules.len()];
        for found in keywords.find_overlapping_iter(text) {
            for rule in &self.of_keyword[found.pattern().as_usize()] {
                seen[usize::from(*rule)] = true;
            }
        }
        let nths = seen.iter().enumerate();
        nths.filter_map(|(nth, seen)| seen.then_some(nth)).collect()
    }

    /// What is on the list that the scanner has for all its rules, by what it says of the match and the secret.
    fn is_allowed(&self, rule: &str, text: &str, matched: Range<usize>, secret: Range<usize>) -> bool {
        let allowed = self.allowed.get_or_init(|| {
            let head = BUNDLED_RULES.split(TABLE).next().unwrap_or_default();
            // As it stands there, `false` anywhere in a secret would make it none.
            let head = head.replace(LOOSE, "(?i)^(?:true|false|null)$");
            RuleEngine::from_toml(&format!("rules = []\n{head}")).ok()
        });
        let bytes = text.as_bytes();
        allowed.as_ref().is_some_and(|engine| {
            // None of it speaks of the line.
            engine.is_match_globally_allowlisted(rule, "", &[], &bytes[matched], &bytes[secret])
        })
    }
}

impl Rule {
    /// None: it does not compile, which a test rules out.
    fn compiled(&self) -> Option<&secrets_scanner::Scanner> {
        let compile = || {
            // Some look only into files of a certain name; what is said may be the content of one.
            let lines = self.toml.lines().filter(|line| !line.starts_with("path = "));
            let toml = lines.fold(TABLE.to_owned(), |toml, line| toml + line + "\n");
            let scanner = secrets_scanner::Scanner::from_toml(&toml).ok()?;
            // For text that nobody vouches for: no word in it switches a rule off.
            Some(scanner.with_config(ScanConfig::proxy()))
        };
        self.compiled.get_or_init(compile).as_ref()
    }
}

/// What the scanner's list means to be whole words.
const LOOSE: &str = "(?i)^true|false|null$";
const TABLE: &str = "\n[[rules]]\n";

/// The text of each table of rules.
fn tables(toml: &'static str) -> impl Iterator<Item = &'static str> {
    toml.split(TABLE).skip(1)
}

/// The strings of a member of a table that has it on one line.
fn member(table: &'static str, name: &str) -> impl Iterator<Item = &'static str> {
    let line = table
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
    line.unwrap_or_default().split('"').skip(1).step_by(2)
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
