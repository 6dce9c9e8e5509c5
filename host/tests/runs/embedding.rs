//! Memory in an application with an engine, a linker and store data of its own.

use quipu_host::{AgentComponent, AgentPre, Limits, Memory, QuipuCtx, QuipuCtxView, Ticker, add_to_linker};
use wasmtime::{
    Engine, Store,
    component::{Component, Linker, ResourceTable},
};

use crate::guests::{House, grant, guest, kinds, limits};

struct Tenant {
    name: &'static str,
    quipu: QuipuCtx,
    table: ResourceTable,
}

fn memory(tenant: &mut Tenant) -> QuipuCtxView<'_> {
    QuipuCtxView {
        ctx: &mut tenant.quipu,
        table: &mut tenant.table,
    }
}

struct Application {
    house: House,
    memory: Memory,
    engine: Engine,
    _ticker: Ticker,
}

impl Application {
    fn new() -> Self {
        let house = House::new();
        let engine = Engine::new(&quipu_host::config()).unwrap();
        Self {
            memory: house.runtime.memory().clone(),
            _ticker: Ticker::start(&engine).unwrap(),
            engine,
            house,
        }
    }

    fn agent(&self, name: &str) -> AgentPre<Tenant> {
        let component = AgentComponent::new(&guest(name)).unwrap();
        let compiled = Component::new(&self.engine, component.bytes()).unwrap();
        let mut linker = Linker::new(&self.engine);
        add_to_linker(&mut linker, memory).unwrap();
        AgentPre::new(&component, linker.instantiate_pre(&compiled).unwrap(), memory).unwrap()
    }

    fn store(&self, limits: &Limits) -> Store<Tenant> {
        let quipu = QuipuCtx::new(&self.memory, &grant(), limits).unwrap();
        Store::new(
            &self.engine,
            Tenant {
                name: "acme",
                quipu,
                table: ResourceTable::new(),
            },
        )
    }
}

#[tokio::test]
async fn an_agent_runs_in_the_applications_store_and_leaves_no_handle() {
    let application = Application::new();
    for (name, input) in [("echo", "hello"), ("hoarder", "leak")] {
        let mut store = application.store(&Limits::default());
        let answer = application
            .agent(name)
            .handle(&mut store, input)
            .await
            .unwrap()
            .unwrap();
        assert!(answer.contains(if name == "echo" { "hello" } else { "held" }));
        let tenant = store.into_data();
        assert_eq!(tenant.name, "acme");
        assert!(tenant.table.is_empty(), "{name}");
        let events = application.house.events_of(tenant.quipu.run());
        assert_eq!(kinds(&events).last(), Some(&"quipu.run.end"));
    }
}

#[tokio::test]
async fn the_inner_error_is_the_guests_and_the_outer_a_trap_or_the_deadline() {
    let application = Application::new();
    let trapper = application.agent("trapper");
    let mut store = application.store(&Limits::default());
    assert!(
        trapper
            .handle(&mut store, "error")
            .await
            .unwrap()
            .unwrap_err()
            .contains("gave up")
    );
    let mut store = application.store(&Limits::default());
    assert!(
        trapper
            .handle(&mut store, "panic")
            .await
            .unwrap_err()
            .to_string()
            .contains("unreachable")
    );
    let mut store = application.store(&limits(|l| l.deadline_ms = 100));
    let late = application.agent("spin").handle(&mut store, "").await.unwrap_err();
    assert!(late.to_string().contains("deadline"), "{late}");
    assert_eq!(kinds(&application.house.events()).last(), Some(&"quipu.run.end"));
}

#[tokio::test]
async fn a_context_serves_one_run() {
    let application = Application::new();
    let echo = application.agent("echo");
    let mut store = application.store(&Limits::default());
    echo.handle(&mut store, "once").await.unwrap().unwrap();
    let head = application.house.ledger.reader().head();
    echo.handle(&mut store, "twice").await.unwrap_err();
    assert_eq!(application.house.ledger.reader().head(), head);
}

#[tokio::test]
async fn memory_is_limited_in_an_engine_without_a_pool_too() {
    let application = Application::new();
    let mut store = application.store(&limits(|l| l.memory_bytes = 8 << 20));
    let answer = application
        .agent("hog")
        .handle(&mut store, "polite")
        .await
        .unwrap()
        .unwrap();
    let allocated = serde_json::from_str::<serde_json::Value>(&answer).unwrap()["allocated_bytes"]
        .as_u64()
        .unwrap();
    assert!((4 << 20..8 << 20).contains(&allocated), "{allocated}");
}
