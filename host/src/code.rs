//! Compiled code, between who compiled it and who runs it. The one place where bytes become code that is run.

use std::hash::{Hash as _, Hasher};

use quipu_format::Hash;
use sha2::{Digest, Sha256};
use wasmtime::{Engine, component::Component};

use crate::{Error, ErrorKind, Result};

const MAGIC: &[u8; 8] = b"quipu\0\x01c";
const HEAD_BYTES: usize = MAGIC.len() + 32 + 32 + 8;

/// What code is of: which component, for which engine. Code of one is never run as another's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CodeOf {
    component: Hash,
    engine: Hash,
}

impl CodeOf {
    pub(crate) fn new(engine: &Engine, component: Hash) -> Self {
        let mut fingerprint = Fingerprint(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut fingerprint);
        let engine = Hash(fingerprint.0.finalize().into());
        Self { component, engine }
    }

    /// A name for files.
    pub(crate) fn name(self) -> String {
        Hash::of(&[self.component.as_bytes(), self.engine.as_bytes()]).to_hex()
    }
}

/// What tells two engines apart whose code does not fit each other, as 32 bytes.
struct Fingerprint(Sha256);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Nobody asks.
    fn finish(&self) -> u64 {
        0
    }
}

/// Code of a component: a head that says what it is of, and what the engine serialised.
///
/// Whoever makes one of bytes vouches that a compiler of ours wrote them: the bytes are run as they are.
#[derive(Clone)]
pub(crate) struct Code(Vec<u8>);

impl Code {
    /// Compiles in this process.
    pub(crate) fn compile(engine: &Engine, component: &[u8]) -> wasmtime::Result<Self> {
        let of = CodeOf::new(engine, Hash::of(&[component]));
        let code = engine.precompile_component(component)?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + code.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(of.component.as_bytes());
        bytes.extend_from_slice(of.engine.as_bytes());
        bytes.extend_from_slice(&(code.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&code);
        Ok(Self(bytes))
    }

    /// Of what a compiler of ours wrote; none where that is not whole, or of something else.
    pub(crate) fn vouched_for(bytes: Vec<u8>, of: CodeOf) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let rest = rest.strip_prefix(of.component.as_bytes())?;
        let rest = rest.strip_prefix(of.engine.as_bytes())?;
        let (length, code) = rest.split_first_chunk()?;
        (u64::from_le_bytes(*length) == code.len() as u64).then_some(Self(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the engine runs.
    pub(crate) fn load(&self, engine: &Engine) -> Result<Component> {
        let code = self.0.get(HEAD_BYTES..).unwrap_or_default();
        #[expect(
            unsafe_code,
            reason = "the engine takes code that another process compiled in no other way"
        )]
        // SAFETY: the bytes must be what `Engine::precompile_component` gave, unchanged. A `Code` is made in two ways: from
        // that function, or by `vouched_for`, which is called with the output of a compiler process that the host started
        // (its own executable, or one that the embedder named for this) and with what the host wrote into its cache,
        // authenticated by a key that is not in the cache. The engine itself refuses code of another version or other
        // settings.
        let component = unsafe { Component::deserialize(engine, code) };
        component.map_err(|error| Error::new(ErrorKind::Engine, format!("compiled code cannot be loaded: {error:#}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine;

    #[test]
    fn code_is_of_one_component_and_one_engine() {
        let engine = engine::on_demand().unwrap();
        let wasm = b"\0asm\x0d\0\x01\0";
        let code = Code::compile(&engine, wasm).unwrap();
        code.load(&engine).unwrap();
        let of = CodeOf::new(&engine, Hash::of(&[wasm]));
        let bytes = code.bytes().to_vec();
        assert!(Code::vouched_for(bytes.clone(), of).is_some());
        assert!(Code::vouched_for(bytes[..bytes.len() - 1].to_vec(), of).is_none());
        assert!(Code::vouched_for([&bytes[..], b"more"].concat(), of).is_none());
        assert!(Code::vouched_for(Vec::new(), of).is_none());
        assert!(Code::vouched_for(bytes.clone(), CodeOf::new(&engine, Hash::of(&[b"other"]))).is_none());
        let mut config = engine::config();
        config.epoch_interruption(false);
        let other = Engine::new(&config).unwrap();
        assert!(Code::vouched_for(bytes, CodeOf::new(&other, Hash::of(&[wasm]))).is_none());
        assert!(code.load(&other).is_err());
    }

    #[test]
    fn code_for_one_engine_of_ours_is_code_for_all() {
        let of = |engine: &Engine| CodeOf::new(engine, Hash::of(&[]));
        let pooling = engine::new(&quipu_format::Limits::default()).unwrap();
        assert_eq!(of(&engine::on_demand().unwrap()), of(&pooling));
    }
}
