//! From a core module to the component that it was built to be.

use std::borrow::Cow;

use wit_component::ComponentEncoder;

use crate::{Error, Result, trusting::trusting};

/// What a file is, by its preamble.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wasm {
    /// A core module: version 1, layer 0.
    Module,
    /// A component: layer 1.
    Component,
}

/// What the bytes are, if they are WebAssembly.
pub fn kind_of(wasm: &[u8]) -> Option<Wasm> {
    match wasm.strip_prefix(b"\0asm")?.get(..4)? {
        [1, 0, 0, 0] => Some(Wasm::Module),
        [_, 0, 1, 0] => Some(Wasm::Component),
        _ => None,
    }
}

/// The component that a file is, or that is made of it.
pub(crate) fn as_component(wasm: &[u8]) -> Result<Cow<'_, [u8]>> {
    match kind_of(wasm) {
        Some(Wasm::Module) => componentise(wasm).map(Cow::Owned),
        _ => Ok(Cow::Borrowed(wasm)),
    }
}

/// The component of a core module with a component-type section, which is what `cargo build --target
/// wasm32-unknown-unknown` makes of a guest. The same module gives the same bytes.
///
/// # Errors
/// Where the module has no such section or does not fit it.
pub fn componentise(module: &[u8]) -> Result<Vec<u8>> {
    let encode = || ComponentEncoder::default().validate(true).module(module)?.encode();
    let encoded = trusting(encode).ok_or_else(|| "its component-type section is malformed".to_owned());
    encoded
        .and_then(|encoded| encoded.map_err(|error| format!("{error:#}")))
        .map_err(|error| {
            Error::new(format!(
                "the core module cannot be made a component: {error}\n\
                 It must be built for wasm32-unknown-unknown against quipu's WIT, for example with quipu-guest."
            ))
        })
}
