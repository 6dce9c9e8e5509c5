//! An application with an engine, a WASI and a Store type of its own, which adds memory beside them. It knows quipu by
//! `quipu-host` alone.
//!
//! `quipu-stranger-embedding LEDGER AGENT.wasm QUESTION` prints what the agent answers and, after it, what the agent printed
//! to the application's WASI.

use std::{error::Error, path::Path};

use quipu_host::{
    Actor, AgentComponent, AgentPre, Grant, Ledger, Limits, Memory, OpenOptions, QuipuCtx, QuipuCtxView, Scope, Ticker,
    wasmtime::{
        Engine, Store,
        component::{Component, Linker, ResourceTable},
    },
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView, p2::pipe::MemoryOutputPipe};

/// What this application keeps for each instance.
struct Tenant {
    name: String,
    wasi: WasiCtx,
    memory: QuipuCtx,
    table: ResourceTable,
}

impl WasiView for Tenant {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

fn memory(tenant: &mut Tenant) -> QuipuCtxView<'_> {
    QuipuCtxView {
        ctx: &mut tenant.memory,
        table: &mut tenant.table,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [_, ledger, agent, question] = &std::env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: quipu-stranger-embedding LEDGER AGENT.wasm QUESTION".into());
    };
    let engine = Engine::new(&quipu_host::config())?;
    let _ticker = Ticker::start(&engine)?;
    let mut linker = Linker::<Tenant>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    quipu_host::add_to_linker(&mut linker, memory)?;

    let component = AgentComponent::new(&std::fs::read(agent)?)?;
    let compiled = Component::new(&engine, component.bytes())?;
    let agent = AgentPre::new(&component, linker.instantiate_pre(&compiled)?, memory)?;

    let ledger = Ledger::open(Path::new(ledger), OpenOptions::default())?;
    let shared = Memory::new(ledger.clone())?;
    let grant = Grant::new(Actor::new("agent:stranger")?, Scope::new("tenant:acme")?);
    let printed = MemoryOutputPipe::new(1 << 20);
    let tenant = Tenant {
        name: "acme".to_owned(),
        wasi: WasiCtx::builder().stdout(printed.clone()).build(),
        memory: QuipuCtx::new(&shared, &grant, &Limits::default())?,
        table: ResourceTable::new(),
    };
    let mut store = Store::new(&engine, tenant);
    let answer = agent.handle(&mut store, question).await?;
    let tenant = store.into_data();
    match answer {
        Ok(answer) => println!("{}: {answer}", tenant.name),
        Err(failure) => return Err(format!("the agent says: {failure}").into()),
    }
    print!("{}", String::from_utf8_lossy(&printed.contents()));
    Ok(ledger.close()?)
}
