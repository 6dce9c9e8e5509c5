use std::fmt::Write;

use quipu_format::escaped;

use super::{Report, inside};
use crate::Severity;

/// Black on white and one page wide, also on paper; dark where the reader has it so.
const STYLE: &str = "\
:root{color-scheme:light dark;--line:#c8c8c8;--dim:#5c5c5c;--good:#0a6b2d;--bad:#a4161a;--back:#fff;--ink:#1a1a1a}
@media (prefers-color-scheme:dark){:root{--line:#484848;--dim:#a8a8a8;--good:#6fcf8f;--bad:#ff8a80;--back:#161616;--ink:#ececec}}
@media print{:root{--line:#c8c8c8;--dim:#5c5c5c;--good:#0a6b2d;--bad:#a4161a;--back:#fff;--ink:#000}body{margin:0}}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;background:var(--back);color:var(--ink)}
h1{font-size:1.4rem;margin:0;overflow-wrap:anywhere}h2{font-size:1.1rem;margin:2rem 0 .5rem}
.verdict{font-size:1.15rem;border-left:.4rem solid var(--good);padding:.5rem 1rem;margin:1rem 0}.bad .verdict{border-color:var(--bad)}
.good h1 b{color:var(--good)}.bad h1 b{color:var(--bad)}
table{border-collapse:collapse;width:100%;font-size:.95rem}th,td{text-align:left;vertical-align:top;padding:.35rem .6rem .35rem 0;border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--dim)}tr{break-inside:avoid}code{font:.9em ui-monospace,monospace;overflow-wrap:anywhere}
.violation{color:var(--bad);font-weight:600}.dim{color:var(--dim)}li{margin:.15rem 0}";

pub(super) fn write(report: &Report<'_>) -> String {
    let mut out = String::new();
    let _ = fill(report, &mut out);
    out
}

fn fill(report: &Report<'_>, out: &mut String) -> std::fmt::Result {
    let name = text(report.name);
    let class = if report.is_good() { "good" } else { "bad" };
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>Audit of {name}</title><style>{STYLE}</style></head>\n<body class=\"{class}\">\n\
         <h1><code>{name}</code> <b>{}</b></h1>\n<p class=\"verdict\">{}</p>\n",
        text(&report.headline()),
        text(&report.audit.sentence())
    )?;
    if let Some((old, change)) = report.change {
        writeln!(out, "<h2>Beside <code>{}</code></h2>\n<ul>", text(old))?;
        if let Some(alike) = change.alike() {
            writeln!(out, "<li>{alike}</li>")?;
        }
        for (way, each) in change.lines() {
            let class = match way {
                "wider" => "violation",
                "noted" => "dim",
                _ => "",
            };
            writeln!(out, "<li><span class=\"{class}\">{way}</span> {}</li>", text(each))?;
        }
        writeln!(out, "</ul>")?;
    }
    let mut findings = report.findings().peekable();
    if findings.peek().is_some() {
        writeln!(
            out,
            "<h2>What stands out</h2>\n<table><tr><th></th><th>rule</th><th></th></tr>"
        )?;
        for finding in findings {
            let word = match finding.severity {
                Severity::Violation => "<span class=\"violation\">violation</span>",
                Severity::Note => "<span class=\"dim\">note</span>",
            };
            let (rule, message) = (finding.rule.id(), text(&finding.message));
            writeln!(
                out,
                "<tr><td>{word}</td><td><code>{rule}</code></td><td>{message}</td></tr>"
            )?;
        }
        writeln!(out, "</table>")?;
    }
    writeln!(
        out,
        "<h2>What it can call</h2>\n<table><tr><th>import</th><th>lets it</th><th>does not let it</th></tr>"
    )?;
    for (port, authority) in report.calls() {
        let functions: Vec<_> = port
            .functions
            .iter()
            .map(|name| format!("<code>{}</code>", text(name)))
            .collect();
        writeln!(
            out,
            "<tr><td><code>{}</code><br>{}<br><span class=\"dim\">{}</span></td><td>{}</td><td>{}</td></tr>",
            text(&port.name),
            authority.word(),
            functions.join(", "),
            text(authority.allows()),
            text(authority.denies().unwrap_or("nothing can be said of that"))
        )?;
    }
    if report.calls().next().is_none() {
        writeln!(out, "<tr><td colspan=\"3\">nothing</td></tr>")?;
    }
    writeln!(out, "</table>\n<h2>What can be called of it</h2>\n<ul>")?;
    for (name, is_entry) in report.entries() {
        let never = if is_entry {
            ""
        } else {
            " <span class=\"dim\">the host never calls it</span>"
        };
        writeln!(out, "<li><code>{}</code>{never}</li>", text(&name))?;
    }
    writeln!(out, "</ul>\n<h2>The file</h2>\n<table>")?;
    for (name, value) in report.facts() {
        writeln!(out, "<tr><th>{name}</th><td><code>{}</code></td></tr>", text(&value))?;
    }
    writeln!(out, "</table>")?;
    if !report.audit.anatomy.inner.is_empty() {
        writeln!(
            out,
            "<h2>Inside</h2>\n<p class=\"dim\">Internal: it cannot be reached unless the outer type imports it.</p>\n<table>"
        )?;
        for inner in &report.audit.anatomy.inner {
            writeln!(
                out,
                "<tr><th>{}</th><td>{}</td></tr>",
                text(&inner.path),
                text(&inside(inner))
            )?;
        }
        writeln!(out, "</table>")?;
    }
    writeln!(out, "</body></html>")
}

/// Text from a component: nothing in it is markup.
fn text(text: &str) -> String {
    let mut safe = String::new();
    for letter in escaped(text).chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}
