use wasmparser::WasmFeatures;

/// What core modules and components may be made of: WebAssembly 2.0 with tail calls, longer constant expressions, several
/// memories and relaxed SIMD; no 64-bit or shared memories, exceptions, typed references or garbage collection.
///
/// The host's engine is set up with these and no others, so that what conforms here is what runs there.
pub const fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        .difference(WasmFeatures::GC_TYPES)
        .union(WasmFeatures::TAIL_CALL)
        .union(WasmFeatures::EXTENDED_CONST)
        .union(WasmFeatures::MULTI_MEMORY)
        .union(WasmFeatures::RELAXED_SIMD)
        .union(WasmFeatures::COMPONENT_MODEL)
}
