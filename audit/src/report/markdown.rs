use std::fmt::Write;

use quipu_format::escaped;

use super::{Report, inside};

pub(super) fn write(report: &Report<'_>) -> String {
    let mut out = String::new();
    let _ = fill(report, &mut out);
    out
}

fn fill(report: &Report<'_>, out: &mut String) -> std::fmt::Result {
    writeln!(out, "## {} {}\n", code(report.name), report.headline())?;
    writeln!(out, "{}\n", words(&report.audit.sentence()))?;
    if let Some((old, change)) = report.change {
        writeln!(out, "Beside {}:\n", code(old))?;
        if let Some(alike) = change.alike() {
            writeln!(out, "- {alike}")?;
        }
        for (way, each) in change.lines() {
            let way = if way == "wider" { "**wider**" } else { way };
            writeln!(out, "- {way}: {}", words(each))?;
        }
        writeln!(out)?;
    }
    let mut findings = report.findings().peekable();
    if findings.peek().is_some() {
        writeln!(out, "| | rule | what stands out |\n|---|---|---|")?;
        for finding in findings {
            let word = match finding.severity {
                crate::Severity::Violation => "**violation**",
                crate::Severity::Note => "note",
            };
            writeln!(
                out,
                "| {word} | `{}` | {} |",
                finding.rule.id(),
                words(&finding.message)
            )?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "| it can call | which | lets it | does not let it |\n|---|---|---|---|"
    )?;
    for (port, authority) in report.calls() {
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            code(&port.name),
            authority.word(),
            authority.allows(),
            authority.denies().unwrap_or("nothing can be said of that")
        )?;
    }
    writeln!(out)?;
    for (name, value) in report.facts() {
        writeln!(out, "- {name}: {}", code(&value))?;
    }
    for inner in &report.audit.anatomy.inner {
        writeln!(out, "- inside, {}: {}", inner.path, inside(inner))?;
    }
    Ok(())
}

/// A name from a component, as code: nothing in it is markup.
fn code(name: &str) -> String {
    format!("`{}`", escaped(name).replace('`', "'").replace('|', "\\|"))
}

/// Words that may quote a component.
fn words(text: &str) -> String {
    let mut words = String::new();
    for letter in escaped(text).chars() {
        if matches!(
            letter,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '!' | '&' | '~' | '@'
        ) {
            words.push('\\');
        }
        words.push(letter);
    }
    words
}
