//! The interface as wit-bindgen gives it: for what the SDK does not cover. The SDK's [`Reader`](crate::Reader),
//! [`Event`](crate::Event), [`RunInfo`](crate::RunInfo) and the like are these very types.

// Generated code calls across the component boundary, and exports unmangled names.
#![allow(unsafe_code, missing_docs, unreachable_pub, clippy::all)]

/// World `observer`, and all the interfaces that both worlds import.
#[cfg(not(all(feature = "mock", not(target_family = "wasm"))))]
pub mod observer {
    wit_bindgen::generate!({
        path: "wit",
        world: "observer",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "quipu_guest::bindings::observer",
    });
}

#[cfg(not(all(feature = "mock", not(target_family = "wasm"))))]
pub use observer::quipu::memory::{read, recall, types};

/// The same over a [mock](crate::mock) of memory.
#[cfg(all(feature = "mock", not(target_family = "wasm")))]
pub mod observer {
    wit_bindgen::generate!({
        path: "wit",
        world: "observer",
        with: { "quipu:memory/read@0.1.0": crate::mock::read },
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "quipu_guest::bindings::observer",
    });
}

#[cfg(all(feature = "mock", not(target_family = "wasm")))]
pub use {
    crate::mock::{read, recall},
    observer::quipu::memory::types,
};

/// World `agent`: what it has beyond `observer`.
#[cfg(feature = "append")]
pub mod agent {
    wit_bindgen::generate!({
        path: "wit",
        world: "agent",
        with: {
            "quipu:memory/types@0.1.0": super::types,
            "quipu:memory/read@0.1.0": super::read,
            "quipu:memory/recall@0.1.0": super::recall,
        },
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "quipu_guest::bindings::agent",
    });
}

#[cfg(all(feature = "append", feature = "mock", not(target_family = "wasm")))]
pub use crate::mock::append;
#[cfg(all(feature = "append", not(all(feature = "mock", not(target_family = "wasm")))))]
pub use agent::quipu::memory::append;
