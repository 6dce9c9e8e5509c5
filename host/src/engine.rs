//! How the engine is set up.

use quipu_format::Limits;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmFeatures};

use crate::{
    Error, ErrorKind, Result,
    limiter::{INSTANCES_PER_STORE, MEMORIES_PER_STORE, TABLE_ELEMENTS, TABLES_PER_STORE},
};

/// Memories in the pool: as many runs of ordinary components may go on at once.
pub(crate) const MEMORIES: u32 = 1_000;

/// Bytes of a freed memory, and of a freed table, that are zeroed in place and not given back to the system.
const MEMORY_KEPT_BYTES: usize = 64 << 10;
const TABLE_KEPT_BYTES: usize = 8 << 10;

/// An engine for runs within these limits. Where the address space is too small for a pool of instances, they are
/// allocated one by one, which is slower and otherwise the same.
pub(crate) fn new(limits: &Limits) -> Result<Engine> {
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    Engine::new(&config).or_else(|error| {
        tracing::warn!(%error, "no pool of instances");
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        Engine::new(&config).map_err(failed)
    })
}

/// An engine whose instances are few and allocated one by one.
pub(crate) fn on_demand() -> Result<Engine> {
    Engine::new(&config()).map_err(failed)
}

/// What makes runs interruptible, and the same on every machine: with it, executing a recorded run again gives the
/// same drafts. An application with an engine of its own starts from here.
pub fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    // What an audit calls unsupported must be what the engine refuses.
    config.wasm_features(WasmFeatures::all(), false);
    for (name, _) in quipu_audit::features().iter_names() {
        if let Some(feature) = WasmFeatures::from_name(name) {
            config.wasm_features(feature, true);
        }
    }
    config
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(MEMORIES)
        .total_core_instances(MEMORIES * INSTANCES_PER_STORE)
        .total_memories(MEMORIES)
        .total_tables(MEMORIES * TABLES_PER_STORE)
        .total_stacks(MEMORIES)
        .max_core_instances_per_component(INSTANCES_PER_STORE)
        .max_memories_per_component(MEMORIES_PER_STORE)
        .max_tables_per_component(TABLES_PER_STORE)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(limits.memory_bytes)
        .linear_memory_keep_resident(MEMORY_KEPT_BYTES)
        .table_keep_resident(TABLE_KEPT_BYTES);
    pool
}

pub(crate) fn failed(error: wasmtime::Error) -> Error {
    Error::new(
        ErrorKind::Engine,
        format!("the WebAssembly engine cannot be set up: {error:#}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_knows_each_feature_of_an_audit_by_its_name() {
        for (name, _) in quipu_audit::features().iter_names() {
            assert!(WasmFeatures::from_name(name).is_some(), "{name}");
        }
        Engine::new(&config()).unwrap();
    }

    /// An engine of these settings and an audit say the same of each core module, as a part of a component.
    #[test]
    fn what_an_audit_calls_unsupported_is_what_the_engine_refuses() {
        let engine = Engine::new(&config()).unwrap();
        for (module, is_supported) in [
            ("(memory 1)", true),
            ("(memory 1) (memory 1)", true),
            ("(memory i64 1)", false),
            ("(memory 1 1 shared)", false),
            ("(memory 1 1 (pagesize 1))", false),
            ("(table i64 1 funcref)", false),
            ("(func (param v128) (result v128) local.get 0)", true),
            ("(func (result i32) return_call 0)", true),
            (
                "(global (import \"a\" \"b\") i32) (global i32 (i32.add (global.get 0) (i32.const 1)))",
                true,
            ),
            ("(tag)", false),
            ("(func (param externref))", false),
            ("(func (param (ref null func)))", true),
            ("(func (param (ref func)))", false),
            ("(type (struct))", false),
            ("(func (param i31ref))", false),
            (
                "(func (result i64 i64) i64.const 1 i64.const 1 i64.const 1 i64.const 1 i64.add128)",
                false,
            ),
        ] {
            let text = format!("(component (core module {module}))");
            let wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let anatomy = quipu_audit::Anatomy::of(&wasm).unwrap();
            let compiled = engine.precompile_component(&wasm);
            assert_eq!(
                anatomy.unsupported.is_none(),
                is_supported,
                "{text}: {:?}",
                anatomy.unsupported
            );
            assert_eq!(compiled.is_ok(), is_supported, "{text}: {:?}", compiled.err());
        }
    }
}
