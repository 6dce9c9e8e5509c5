//! A WASI 0.2 with nothing behind it, for components that ordinary toolchains built.
//!
//! There is no file, no network, no argument, no variable and no terminal; the standard input is at its end, and what goes to
//! the standard output is traced. The clock stands at the run's beginning, and goes on only when the guest waits, at once and
//! by as long as it waits. Random bytes come from a seed that the run's record holds. So a guest learns nothing of the
//! machine, and the same run again gives the same.

mod closed;
mod given;

use std::mem;

use quipu_format::limits;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wasmtime::component::{HasData, Linker};

use crate::{Error, ErrorKind, QuipuCtxView, Result};

pub(crate) use closed::close;

/// Whether an import is one that WASI gives, or closes, here.
pub(crate) fn is_known(import: &str) -> bool {
    given_interface(import).is_some() || closed::is_closed(import)
}

/// The package and interface of WASI 0.2 that an import names.
fn interface(import: &str) -> Option<(&str, &str)> {
    let (name, version) = import.strip_prefix("wasi:")?.split_once('@')?;
    let patch = version.strip_prefix("0.2.")?;
    let is_number = !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit());
    name.split_once('/').filter(|_| is_number)
}

fn given_interface(import: &str) -> Option<(&str, &str)> {
    let given = [
        ("io", "error"),
        ("io", "poll"),
        ("io", "streams"),
        ("cli", "exit"),
        ("cli", "stdin"),
        ("cli", "stdout"),
        ("cli", "stderr"),
        ("clocks", "monotonic-clock"),
        ("clocks", "wall-clock"),
        ("random", "random"),
        ("random", "insecure"),
        ("random", "insecure-seed"),
    ];
    interface(import).filter(|named| given.contains(named))
}

struct HasWasi;

impl HasData for HasWasi {
    type Data<'a> = QuipuCtxView<'a>;
}

/// Adds what WASI gives here. [`close`] adds the rest for a component.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> QuipuCtxView<'_>,
) -> wasmtime::Result<()> {
    use given::bindings::wasi::{cli, clocks, io, random};

    io::error::add_to_linker::<T, HasWasi>(linker, view)?;
    io::poll::add_to_linker::<T, HasWasi>(linker, view)?;
    io::streams::add_to_linker::<T, HasWasi>(linker, view)?;
    cli::exit::add_to_linker::<T, HasWasi>(linker, view)?;
    cli::stdin::add_to_linker::<T, HasWasi>(linker, view)?;
    cli::stdout::add_to_linker::<T, HasWasi>(linker, view)?;
    cli::stderr::add_to_linker::<T, HasWasi>(linker, view)?;
    clocks::monotonic_clock::add_to_linker::<T, HasWasi>(linker, view)?;
    clocks::wall_clock::add_to_linker::<T, HasWasi>(linker, view)?;
    random::random::add_to_linker::<T, HasWasi>(linker, view)?;
    random::insecure::add_to_linker::<T, HasWasi>(linker, view)?;
    random::insecure_seed::add_to_linker::<T, HasWasi>(linker, view)
}

/// What a run has of WASI.
#[derive(Default)]
pub(crate) struct Wasi {
    /// Where its random bytes come from.
    seed: [u8; 32],
    /// Blocks of random bytes that were made.
    blocks: u64,
    /// Nanoseconds that the guest waited.
    waited_ns: u64,
    out: Captured,
    err: Captured,
}

/// What a guest wrote to a stream.
#[derive(Default)]
struct Captured {
    /// What is not traced yet.
    line: Vec<u8>,
    bytes: usize,
}

impl Wasi {
    /// With a fresh seed.
    pub(crate) fn new() -> Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(|e| Error::new(ErrorKind::Engine, format!("the system gives no random bytes: {e}")))?;
        Ok(Self::seeded(seed))
    }

    /// With the seed of a recorded run.
    pub(crate) fn seeded(seed: [u8; 32]) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// What the run's first entry says of it, in its sealed body: who knows the seed knows each random byte.
    pub(crate) fn record(&self) -> Value {
        json!({ "seed": quipu_format::Hash(self.seed).to_hex() })
    }

    /// The next random bytes: SHA-256(seed ‖ number of the block), block by block. A call never ends within a block.
    fn random(&mut self, bytes: usize) -> Vec<u8> {
        let mut random = Vec::with_capacity(bytes);
        while random.len() < bytes {
            let block = Sha256::new()
                .chain_update(self.seed)
                .chain_update(self.blocks.to_le_bytes());
            self.blocks += 1;
            let block = block.finalize();
            random.extend_from_slice(&block[..block.len().min(bytes - random.len())]);
        }
        random
    }

    fn random_u64(&mut self) -> u64 {
        let bytes = self.random(8);
        bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Traces what is left of the streams.
    pub(crate) fn flush(&mut self) {
        self.out.flush("stdout");
        self.err.flush("stderr");
    }
}

impl Captured {
    fn write(&mut self, stream: &'static str, bytes: &[u8]) {
        let room = limits::STREAM_BYTES.saturating_sub(self.bytes);
        self.bytes = self.bytes.saturating_add(bytes.len());
        for byte in &bytes[..bytes.len().min(room)] {
            match byte {
                b'\n' => self.flush(stream),
                byte => self.line.push(*byte),
            }
        }
        if bytes.len() > room && room > 0 {
            self.flush(stream);
            tracing::info!(target: "guest", stream, "more than {} bytes: the rest is not traced", limits::STREAM_BYTES);
        }
    }

    fn flush(&mut self, stream: &'static str) {
        let line = mem::take(&mut self.line);
        if !line.is_empty() {
            tracing::info!(target: "guest", stream, "{}", quipu_format::escaped(&String::from_utf8_lossy(&line)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
        let wasi = |seed| Wasi {
            seed: [seed; 32],
            ..Wasi::default()
        };
        let (mut one, mut same, mut other) = (wasi(1), wasi(1), wasi(2));
        let bytes = one.random(100);
        assert_eq!(bytes.len(), 100);
        assert_eq!(bytes, same.random(100));
        assert_ne!(bytes, other.random(100));
        assert_ne!(bytes, one.random(100), "it goes on");
        assert_eq!(
            same.random(100),
            one.random(0).into_iter().chain(same_next()).collect::<Vec<_>>()
        );

        fn same_next() -> Vec<u8> {
            let mut again = Wasi {
                seed: [1; 32],
                ..Wasi::default()
            };
            again.random(100);
            again.random(100)
        }
    }

    #[test]
    fn only_wasi_0_2_is_known() {
        for (import, is) in [
            ("wasi:cli/stdout@0.2.0", true),
            ("wasi:cli/environment@0.2.6", true),
            ("wasi:sockets/tcp@0.2.6", true),
            ("wasi:filesystem/types@0.2.6", true),
            ("wasi:cli/stdout@0.3.0", false),
            ("wasi:cli/stdout@0.2.0-rc", false),
            ("wasi:cli/stdout", false),
            ("wasi:nn/tensor@0.2.0", false),
            ("wasix:cli/stdout@0.2.0", false),
            ("quipu:memory/read@0.1.0", false),
        ] {
            assert_eq!(is_known(import), is, "{import}");
        }
    }
}
