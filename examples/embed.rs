//! A whole embedding: an agent answers over a ledger.
//!
//! `cargo run --example embed LEDGER AGENT.wasm "QUESTION"`

use quipu_host::{Actor, Grant, Ledger, Limits, OpenOptions, Outcome, Runtime, Scope};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [_, ledger, agent, question] = &std::env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: embed LEDGER AGENT.wasm QUESTION".into());
    };
    let ledger = Ledger::open(ledger.as_ref(), OpenOptions::default())?;
    let runtime = Runtime::new(ledger.clone(), Limits::default())?;
    let agent = runtime.load(&std::fs::read(agent)?)?;
    let grant = Grant::new(Actor::new("agent:support")?, Scope::new("customer:acme-inc")?);
    let report = runtime.run(&agent, &grant, question).await?;
    match report.outcome {
        Outcome::Ok(answer) => println!("{answer}"),
        other => eprintln!("run {}: {other:?}", report.run),
    }
    Ok(ledger.close()?)
}
