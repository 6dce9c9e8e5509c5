//! The limit that the processor sets to verifying: SHA-256 of what a verifier hashes, on all cores, and nothing else.

use std::{
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use quipu_format::{Hash, leaf_hash};

use crate::Result;

/// Bytes of an entry's envelope, and of its body's plaintext, about as they are for a payload of 512 bytes.
pub(crate) const LEAF_BYTES: usize = 500;
pub(crate) const BODY_BYTES: usize = 540;

const LENGTH: Duration = Duration::from_millis(500);

/// Leaves a second, and leaves each with its body a second.
pub(crate) fn limits(threads: usize) -> Result<(f64, f64)> {
    let leaf = || leaf_hash(black_box(&[b'x'; LEAF_BYTES]));
    // A commitment covers the salt, of 32 bytes, too.
    let body = || Hash::of(&[black_box(&[b's'; 32]), black_box(&[b'x'; BODY_BYTES])]);
    let leaves = rate(threads, || {
        black_box(leaf());
    })?;
    let both = rate(threads, || {
        black_box((leaf(), body()));
    })?;
    Ok((leaves, both))
}

/// Calls a second of all threads together.
fn rate(threads: usize, call: impl Fn() + Sync) -> Result<f64> {
    let calls = || {
        let (begin, mut calls) = (Instant::now(), 0);
        while begin.elapsed() < LENGTH {
            (0..1_000).for_each(|_| call());
            calls += 1_000;
        }
        f64::from(calls) / begin.elapsed().as_secs_f64()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(calls)).collect();
        let rates = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a hashing thread panicked"));
        Ok(rates.sum::<std::result::Result<f64, _>>()?)
    })
}
