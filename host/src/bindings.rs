//! What `bindgen!` makes of the worlds. An application whose own world includes ours names these modules in its
//! `bindgen!`'s `with`, so that both speak of the same types.
#![allow(missing_docs, reason = "generated from the WIT, which is documented")]

/// World `agent`.
pub mod agent {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "agent",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "quipu:memory/read.reader": crate::Reader },
        trappable_error_type: { "quipu:memory/types.error" => crate::Refusal },
    });
}

/// World `observer`: the types of `agent`, without `append`.
pub mod observer {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "observer",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "quipu:memory/types": super::agent::quipu::memory::types,
            "quipu:memory/read": super::agent::quipu::memory::read,
            "quipu:memory/recall": super::agent::quipu::memory::recall,
        },
    });
}

/// World `compactor`: the types of `agent`, without `recall` and `append`.
#[cfg(feature = "recall")]
pub mod compactor {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "compactor",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "quipu:memory/types": super::agent::quipu::memory::types,
            "quipu:memory/read": super::agent::quipu::memory::read,
        },
    });
}

/// World `projection`: the types of `agent`.
#[cfg(feature = "recall")]
pub mod projection {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "projection",
        with: { "quipu:memory/types": super::agent::quipu::memory::types },
    });
}
