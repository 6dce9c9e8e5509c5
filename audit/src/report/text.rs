use std::fmt::Write;

use quipu_format::escaped;

use super::{Report, inside};
use crate::Authority;

pub(super) fn write(report: &Report<'_>) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = fill(report, &mut out);
    out
}

pub(super) fn brief(report: &Report<'_>) -> String {
    let mut out = String::new();
    let _ = begin(report, &mut out);
    out
}

fn begin(report: &Report<'_>, out: &mut String) -> std::fmt::Result {
    writeln!(out, "{}", escaped(&report.audit.sentence()))?;
    writeln!(out, "{}: {}", escaped(report.name), report.headline())?;
    if let Some((old, change)) = report.change {
        writeln!(out, "\nBeside {}", escaped(old))?;
        if let Some(alike) = change.alike() {
            writeln!(out, "  {alike}")?;
        }
        for (way, each) in change.lines() {
            writeln!(out, "  {way}: {}", escaped(each))?;
        }
    }
    let mut findings = report.findings().peekable();
    if findings.peek().is_some() {
        writeln!(out, "\nWhat stands out")?;
    }
    for finding in findings {
        let word = finding.severity.word();
        writeln!(out, "  {word} [{}] {}", finding.rule.id(), escaped(&finding.message))?;
    }
    Ok(())
}

fn fill(report: &Report<'_>, out: &mut String) -> std::fmt::Result {
    begin(report, out)?;
    writeln!(out)?;
    for (name, value) in report.facts() {
        writeln!(out, "{name}: {}", escaped(&value))?;
    }
    writeln!(out, "\nWhat it can call")?;
    let mut is_nothing = true;
    for (port, authority) in report.calls() {
        is_nothing = false;
        writeln!(out, "  {}: {}", escaped(&port.name), authority.word())?;
        for function in &port.functions {
            writeln!(out, "    {}", escaped(function))?;
        }
        if authority == Authority::Types {
            continue;
        }
        writeln!(out, "    lets it {}", authority.allows())?;
        if let Some(denies) = authority.denies() {
            writeln!(out, "    does not let it {denies}")?;
        }
    }
    if is_nothing {
        writeln!(out, "  nothing")?;
    }
    writeln!(out, "\nWhat can be called of it")?;
    for (name, is_entry) in report.entries() {
        writeln!(
            out,
            "  {}{}",
            escaped(&name),
            if is_entry { "" } else { " (the host never calls it)" }
        )?;
    }
    if !report.audit.anatomy.inner.is_empty() {
        writeln!(
            out,
            "\nInside: internal, and cannot be reached unless the outer type imports it"
        )?;
    }
    for inner in &report.audit.anatomy.inner {
        writeln!(out, "  {}: {}", inner.path, inside(inner))?;
    }
    Ok(())
}
