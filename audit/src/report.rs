//! An audit, for people and for programs.

mod html;
mod markdown;
mod sarif;
mod text;

use serde_json::{Value, json};

use crate::{
    Audit, Change, Finding,
    anatomy::{Inner, Port},
    authority::Authority,
};

/// What is reported of a component.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What the reader calls it: a file's name.
    pub name: &'a str,
    /// The audit.
    pub audit: &'a Audit,
    /// What a policy does not allow of it, from [`Policy::breaches`](crate::Policy::breaches).
    pub breaches: &'a [Finding],
    /// What it is compared with: that one's name, and the difference.
    pub change: Option<(&'a str, &'a Change)>,
}

impl Report<'_> {
    /// It conforms, keeps to the policy, and widens nothing: exit code 0.
    pub fn is_good(&self) -> bool {
        self.audit.conforms() && self.breaches.is_empty() && !self.change.is_some_and(|(_, change)| change.widens())
    }

    /// For a terminal or a file: no colours, and no character that would change what a terminal shows.
    pub fn text(&self) -> String {
        text::write(self)
    }

    /// The beginning of the text: the verdict, the difference, and what stands out.
    pub fn brief(&self) -> String {
        text::brief(self)
    }

    /// For a comment on a change, or a wiki.
    pub fn markdown(&self) -> String {
        markdown::write(self)
    }

    /// A page that needs nothing besides itself, and prints well.
    pub fn html(&self) -> String {
        html::write(self)
    }

    /// All of it for programs.
    pub fn json(&self) -> Value {
        json!({
            "name": self.name,
            "good": self.is_good(),
            "conforms": self.audit.conforms(),
            "verdict": self.audit.sentence(),
            "sha256": self.audit.file_sha256.to_hex(),
            "authorities": self.audit.authorities(),
            "audit": self.audit,
            "breaches": self.breaches,
            "comparedWith": self.change.map(|(name, change)| json!({"name": name, "change": change})),
        })
    }

    /// SARIF 2.1.0, which code hosts show beside a change.
    pub fn sarif(&self) -> Value {
        sarif::write(self)
    }

    /// The first line: whether it conforms, and to what.
    fn headline(&self) -> String {
        let worlds: Vec<_> = self.audit.worlds.iter().map(|world| world.name()).collect();
        match (self.audit.conforms(), self.breaches.is_empty()) {
            (true, true) => format!("conforms to world {}", worlds.join(" and ")),
            (true, false) => "breaks the policy".into(),
            (false, _) => "does not conform".into(),
        }
    }

    /// Everything that stands out, what the policy does not allow first.
    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.breaches.iter().chain(&self.audit.findings)
    }

    /// Names, each with what it says: digest, size and the like.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let anatomy = &self.audit.anatomy;
        let mut facts = vec![
            ("SHA-256", self.audit.file_sha256.to_hex()),
            ("size", format!("{} bytes", grouped(self.audit.file_bytes))),
        ];
        if self.audit.componentised {
            let made = format!(
                "{}, of the component that was made of this core module first",
                anatomy.sha256.to_hex()
            );
            facts.push(("SHA-256 when it runs", made));
        }
        if !anatomy.producers.is_empty() {
            let producers = anatomy.producers.iter().map(|producer| {
                let version = if producer.version.is_empty() {
                    String::new()
                } else {
                    format!(" {}", producer.version)
                };
                format!("{} {}{version}", producer.field, producer.name)
            });
            facts.push(("says it was made by", producers.collect::<Vec<_>>().join(", ")));
        }
        if !anatomy.dependencies.is_empty() {
            let list = anatomy
                .dependencies
                .iter()
                .map(|each| format!("{} {}", each.name, each.version));
            facts.push(("says it contains", list.collect::<Vec<_>>().join(", ")));
        }
        facts
    }

    /// What it can call: each import that is no type, what that is good for, and its functions.
    fn calls(&self) -> impl Iterator<Item = (&Port, Authority)> {
        self.audit.anatomy.calls().map(|port| (port, port.authority()))
    }

    /// What can be called of it, and whether the host does.
    fn entries(&self) -> Vec<(String, bool)> {
        let exports = self
            .audit
            .functions
            .iter()
            .filter(|function| function.authority.is_none());
        exports
            .map(|function| match function.name.as_str() {
                "" => (function.port.clone(), function.is_entry),
                name => (format!("{}#{name}", function.port), function.is_entry),
            })
            .collect()
    }
}

/// What is nested, in a line.
fn inside(inner: &Inner) -> String {
    let mut parts = vec![
        format!("{} bytes", grouped(inner.bytes)),
        counted(inner.imports.len(), "import"),
    ];
    for memory in &inner.memories {
        let most = memory.max_bytes.map_or("without a limit of its own".into(), |most| {
            format!("at most {}", grouped(most))
        });
        parts.push(format!("memory of {} bytes, {most}", grouped(memory.min_bytes)));
    }
    for table in &inner.tables {
        parts.push(format!("table of {} elements", grouped(table.min_elements)));
    }
    if inner.starts {
        parts.push("a start function".into());
    }
    parts.join(" · ")
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A number with a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
