//! World `projection` as wit-bindgen gives it.

// Generated code calls across the component boundary, and exports unmangled names.
#![allow(unsafe_code, missing_docs, unreachable_pub, clippy::all)]

wit_bindgen::generate!({
    path: "wit",
    world: "projection",
    generate_all,
    pub_export_macro: true,
    default_bindings_module: "quipu_guest_projection::bindings",
});
