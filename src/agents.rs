use std::{collections::BTreeMap, io::Write, path::PathBuf};

use quipu_format::{AgentGrant, AgentName, Scope, ScopePattern, limits};
use quipu_host::{Agents, Candidate, NamedAgent, Reach, Standing};
use quipu_log::Governance;
use serde::Serialize;

use crate::{
    acting,
    failure::{Failure, Outcome, good},
    handed,
    ledger::LedgerDir,
    render::{BAD, DIM, GOOD, ID, json_line},
    terminal::{self, Out, counted},
};

/// Print which agents may run, and who can read and write what
///
/// Agents are named in `quipu.toml`. A line says how an agent stands (approved, changed, never approved), and what it can
/// do with each scope: `r`, read; `a`, append; `ra`, both. A `*` stands for all scopes that begin alike, whichever there
/// are when a run begins.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu agents
  quipu agents --json | jq -r 'select(.state != \"approved\") | .name'

In quipu.toml, beside the ledger's folder:
  [agents.support]
  component = \"agents/support.wasm\"
  actor = \"agent:support\"
  home = \"team:support\"
  read = [\"customer:*\"]
What else an agent may have: digest, append, kinds, supersede-others, secrets, wasi, limits; docs/REVIEWING.md.")]
pub(crate) struct Args {
    /// Print each agent as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Scopes that are shown of those that a beginning covers.
const SHOWN_SCOPES: usize = 8;

/// The file that names agents.
pub(crate) struct AgentsFile {
    path: PathBuf,
    agents: Agents,
}

impl AgentsFile {
    pub(crate) fn read(ledger: &LedgerDir) -> Result<Self, Failure> {
        let path = ledger.agents_path();
        if !path.exists() {
            return Err(Failure::cannot(format!(
                "there is no file {}, which names agents: `quipu agents --help` shows what stands in it, and --agents \
                 names another",
                path.display()
            )));
        }
        let text = handed::text(&path, limits::AGENTS_BYTES, "a file that names agents")?;
        let agents = Agents::parse(&text).map_err(|why| Failure::cannot(format!("{} {why}", path.display())))?;
        Ok(Self { path, agents })
    }

    pub(crate) fn agent(&self, name: &AgentName) -> Result<&NamedAgent, Failure> {
        self.agents.get(name).ok_or_else(|| {
            let names: Vec<_> = self.agents.iter().map(|agent| agent.name.as_str()).collect();
            let there = match names.is_empty() {
                true => "it names none".to_owned(),
                false => format!("it names {}", names.join(", ")),
            };
            let path = self.path.display();
            Failure::no(format!("{path} names no agent {name}: {there}"))
        })
    }

    /// The bytes of an agent's component.
    pub(crate) fn component(&self, agent: &NamedAgent) -> Result<Vec<u8>, Failure> {
        let path = self.path.parent().unwrap_or(&self.path).join(&agent.component);
        handed::read(&path, limits::COMPONENT_BYTES, "a component")
    }
}

#[derive(Serialize)]
struct AgentLine<'a> {
    name: &'a AgentName,
    state: &'static str,
    why: &'a [String],
    component: &'a PathBuf,
    /// Of the component as it is now; none: it cannot be read.
    sha256: Option<String>,
    grant: &'a AgentGrant,
    access: BTreeMap<&'a ScopePattern, &'static str>,
    covers: BTreeMap<&'a ScopePattern, &'a [Scope]>,
    /// What is approved, by whom and since when.
    approved: Option<serde_json::Value>,
}

/// An agent as it stands now.
struct Row<'a> {
    agent: &'a NamedAgent,
    state: &'static str,
    why: Vec<String>,
    sha256: Option<String>,
}

pub(crate) fn execute(args: &Args, ledger: &LedgerDir) -> Outcome {
    let file = AgentsFile::read(ledger)?;
    let reader = ledger.read()?;
    let governance = reader.governance_whole()?;
    let there: Vec<Scope> = reader.scopes().into_iter().map(|head| head.scope).collect();
    let reach = Reach::of(file.agents.iter().map(|agent| &agent.grant), &there);
    let rows: Vec<Row<'_>> = file.agents.iter().map(|agent| row(&file, agent, &governance)).collect();
    let mut out = terminal::out();
    match args.json {
        true => rows
            .iter()
            .try_for_each(|row| json(&mut out, row, &reach, &governance))?,
        false => matrix(&mut out, &file, &rows, &reach, &governance)?,
    }
    out.flush()?;
    good()
}

/// How each agent stands, and why, by name.
pub(crate) fn standings<'a>(
    file: &'a AgentsFile,
    governance: &'a Governance,
) -> impl Iterator<Item = (&'a AgentName, &'static str, Vec<String>)> {
    file.agents.iter().map(|agent| {
        let row = row(file, agent, governance);
        (&agent.name, row.state, row.why)
    })
}

fn row<'a>(file: &AgentsFile, agent: &'a NamedAgent, governance: &Governance) -> Row<'a> {
    let candidate = file.component(agent).and_then(|wasm| Ok(Candidate::new(&wasm)?));
    let sha256 = candidate
        .as_ref()
        .ok()
        .map(|candidate| candidate.component().sha256().to_hex());
    let (state, why) = match (candidate, governance.agent(&agent.name)) {
        (Ok(candidate), _) => match agent.standing(&candidate, governance) {
            Standing::Approved(_) => ("approved", Vec::new()),
            Standing::Changed(_, why) => ("changed", why),
            _ => ("never approved", Vec::new()),
        },
        (Err(why), None) => ("never approved", vec![why.message().to_owned()]),
        (Err(why), Some(_)) => ("changed", vec![why.message().to_owned()]),
    };
    Row {
        agent,
        state,
        why,
        sha256,
    }
}

fn json(out: &mut Out, row: &Row<'_>, reach: &Reach, governance: &Governance) -> std::io::Result<()> {
    let agent = row.agent;
    let access = reach
        .columns()
        .map(|(column, _)| (column, Reach::access(&agent.grant, column)));
    let access: BTreeMap<_, _> = access.filter(|(_, access)| !access.is_empty()).collect();
    let covers = reach.columns().filter(|(column, _)| access.contains_key(column));
    let line = AgentLine {
        name: &agent.name,
        state: row.state,
        why: &row.why,
        component: &agent.component,
        sha256: row.sha256.clone(),
        grant: &agent.grant,
        covers: covers
            .filter_map(|(column, covered)| Some((column, covered?)))
            .collect(),
        access,
        approved: governance.agent(&agent.name).map(|state| serde_json::json!(state)),
    };
    json_line(out, &line)
}

fn matrix(
    out: &mut Out,
    file: &AgentsFile,
    rows: &[Row<'_>],
    reach: &Reach,
    governance: &Governance,
) -> std::io::Result<()> {
    if rows.is_empty() {
        writeln!(out, "{} names no agent", file.path.display())?;
    } else {
        let names = rows.iter().map(|row| row.agent.name.as_str().len());
        let wide = names.max().unwrap_or_default().max("agent".len());
        let columns: Vec<_> = reach
            .columns()
            .map(|(column, _)| (column, column.to_string()))
            .collect();
        let header: Vec<_> = columns.iter().map(|(_, name)| name.as_str()).collect();
        writeln!(
            out,
            "{DIM}{:wide$}  {:14}{DIM:#}  {}",
            "agent",
            "state",
            header.join("  ")
        )?;
        for Row { agent, state, .. } in rows {
            let style = if *state == "approved" { GOOD } else { BAD };
            write!(
                out,
                "{ID}{:wide$}{ID:#}  {style}{state:14}{style:#}",
                agent.name.as_str()
            )?;
            let cells = columns.iter().map(|(column, name)| {
                let access = Reach::access(&agent.grant, column);
                format!("  {access:width$}", width = name.len())
            });
            writeln!(out, "{}", cells.collect::<String>().trim_end())?;
        }
        writeln!(out)?;
    }
    for (column, covered) in reach.columns().filter_map(|(column, covered)| Some((column, covered?))) {
        let mut shown: Vec<_> = covered.iter().take(SHOWN_SCOPES).map(Scope::to_string).collect();
        if covered.len() > SHOWN_SCOPES {
            shown.push(format!("and {} more", covered.len() - SHOWN_SCOPES));
        }
        let colon = if shown.is_empty() { "" } else { ": " };
        let count = counted(covered.len(), "scope");
        writeln!(
            out,
            "{DIM}{column} covers {count} now{colon}{}{DIM:#}",
            shown.join(", ")
        )?;
    }
    for Row { agent, .. } in rows.iter().filter(|row| row.agent.grant.wasi) {
        writeln!(out, "{DIM}{} has a WASI with nothing behind it{DIM:#}", agent.name)?;
    }
    for Row { agent, state, why, .. } in rows.iter().filter(|row| row.state != "approved") {
        let why = if why.is_empty() {
            state.to_string()
        } else {
            why.join("; ")
        };
        let name = &agent.name;
        let why = terminal::escaped(&why);
        writeln!(
            out,
            "{name} is not run: {why}. To approve it: `quipu agent approve {name}`"
        )?;
    }
    for state in governance
        .agents()
        .filter(|state| file.agents.get(&state.approval.name).is_none())
    {
        let (name, since) = (&state.approval.name, acting::by(&state.since));
        writeln!(
            out,
            "{name} is approved since {since}, and the file does not name it: `quipu agent withdraw {name}` ends that"
        )?;
    }
    Ok(())
}
