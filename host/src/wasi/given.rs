//! The parts of WASI that do something: streams, clocks, randomness.
#![allow(unreachable_pub, reason = "what is generated names these types as public")]

use wasmtime::{
    Result,
    component::{Resource, ResourceTableError},
};

use self::bindings::wasi::{
    cli::{exit, stderr, stdin, stdout},
    clocks::{monotonic_clock, wall_clock},
    io::{error, poll, streams},
    random::{insecure, insecure_seed, random},
};
use crate::{QuipuCtxView, run::Stop};

pub(super) mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        reason = "generated from the WIT, which is documented"
    )]

    wasmtime::component::bindgen!({
        path: "src/wasi/wit",
        world: "given",
        imports: { default: trappable },
        with: {
            "wasi:io/error.error": super::Never,
            "wasi:io/poll.pollable": super::Awaited,
            "wasi:io/streams.input-stream": super::Input,
            "wasi:io/streams.output-stream": super::Output,
        },
    });
}

/// An error that a stream has: none has one.
pub enum Never {}

/// What a guest waits for: nanoseconds of its clock; 0 is there already.
pub struct Awaited(u64);

/// A stream that is at its end.
pub struct Input;

/// A stream that is traced.
#[derive(Clone, Copy)]
pub enum Output {
    Stdout,
    Stderr,
}

/// Bytes that a guest may write at once.
const WRITE_BYTES: u64 = 64 << 10;

type Written = Result<Result<(), streams::StreamError>>;

impl QuipuCtxView<'_> {
    fn wasi(&mut self) -> Result<&mut super::Wasi> {
        self.ctx.in_time()?;
        self.ctx.wasi.as_mut().ok_or_else(|| Stop::OutOfTurn.into())
    }

    /// The handle of something that was made for the guest. Past the run's limit of handles, it is ended.
    fn push<R: Send + 'static>(&mut self, what: R) -> Result<Resource<R>> {
        self.ctx.in_time()?;
        Ok(self.table.push(what)?)
    }

    fn drop_of<R: Send + 'static>(&mut self, handle: Resource<R>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }

    fn write_to(&mut self, stream: &Resource<Output>, bytes: &[u8]) -> Written {
        let stream = *self.table.get(stream)?;
        let wasi = self.wasi()?;
        match stream {
            Output::Stdout => wasi.out.write("stdout", bytes),
            Output::Stderr => wasi.err.write("stderr", bytes),
        }
        Ok(Ok(()))
    }

    fn zeroes(&mut self, stream: &Resource<Output>, bytes: u64) -> Written {
        let zeroes = vec![0; usize::try_from(bytes.min(WRITE_BYTES))?];
        self.write_to(stream, &zeroes)
    }

    fn random(&mut self, bytes: u64) -> Result<Vec<u8>> {
        let most = self.ctx.limits.host_call_bytes;
        match usize::try_from(bytes) {
            Ok(bytes) if bytes <= most => Ok(self.wasi()?.random(bytes)),
            _ => Err(wasmtime::Error::msg(format!(
                "it asked for more than {most} random bytes"
            ))),
        }
    }
}

impl error::Host for QuipuCtxView<'_> {}

impl error::HostError for QuipuCtxView<'_> {
    fn to_debug_string(&mut self, error: Resource<Never>) -> Result<String> {
        match *self.table.get(&error)? {}
    }

    fn drop(&mut self, error: Resource<Never>) -> Result<()> {
        self.drop_of(error)
    }
}

impl poll::Host for QuipuCtxView<'_> {
    /// Waits for the first: the guest's clock jumps there.
    fn poll(&mut self, awaited: Vec<Resource<Awaited>>) -> Result<Vec<u32>> {
        if awaited.is_empty() {
            return Err(wasmtime::Error::msg("it waits for nothing, without end"));
        }
        let at = awaited
            .iter()
            .map(|awaited| self.table.get(awaited).map(|awaited| awaited.0));
        let at = at.collect::<std::result::Result<Vec<_>, ResourceTableError>>()?;
        let wasi = self.wasi()?;
        wasi.waited_ns = wasi.waited_ns.max(at.iter().copied().min().unwrap_or(0));
        let now = wasi.waited_ns;
        Ok((0..).zip(at).filter(|(_, at)| *at <= now).map(|(nth, _)| nth).collect())
    }
}

impl poll::HostPollable for QuipuCtxView<'_> {
    fn ready(&mut self, awaited: Resource<Awaited>) -> Result<bool> {
        let at = self.table.get(&awaited)?.0;
        Ok(at <= self.wasi()?.waited_ns)
    }

    fn block(&mut self, awaited: Resource<Awaited>) -> Result<()> {
        let at = self.table.get(&awaited)?.0;
        let wasi = self.wasi()?;
        wasi.waited_ns = wasi.waited_ns.max(at);
        Ok(())
    }

    fn drop(&mut self, awaited: Resource<Awaited>) -> Result<()> {
        self.drop_of(awaited)
    }
}

impl streams::Host for QuipuCtxView<'_> {}

impl streams::HostInputStream for QuipuCtxView<'_> {
    fn read(&mut self, _: Resource<Input>, _: u64) -> Result<Result<Vec<u8>, streams::StreamError>> {
        self.ctx.in_time()?;
        Ok(Err(streams::StreamError::Closed))
    }

    fn blocking_read(&mut self, stream: Resource<Input>, bytes: u64) -> Result<Result<Vec<u8>, streams::StreamError>> {
        self.read(stream, bytes)
    }

    fn skip(&mut self, _: Resource<Input>, _: u64) -> Result<Result<u64, streams::StreamError>> {
        self.ctx.in_time()?;
        Ok(Err(streams::StreamError::Closed))
    }

    fn blocking_skip(&mut self, stream: Resource<Input>, bytes: u64) -> Result<Result<u64, streams::StreamError>> {
        self.skip(stream, bytes)
    }

    fn subscribe(&mut self, _: Resource<Input>) -> Result<Resource<Awaited>> {
        self.push(Awaited(0))
    }

    fn drop(&mut self, stream: Resource<Input>) -> Result<()> {
        self.drop_of(stream)
    }
}

impl streams::HostOutputStream for QuipuCtxView<'_> {
    fn check_write(&mut self, _: Resource<Output>) -> Result<Result<u64, streams::StreamError>> {
        self.ctx.in_time()?;
        Ok(Ok(WRITE_BYTES))
    }

    fn write(&mut self, stream: Resource<Output>, bytes: Vec<u8>) -> Written {
        self.write_to(&stream, &bytes)
    }

    fn blocking_write_and_flush(&mut self, stream: Resource<Output>, bytes: Vec<u8>) -> Written {
        self.write_to(&stream, &bytes)
    }

    fn flush(&mut self, _: Resource<Output>) -> Written {
        self.ctx.in_time()?;
        Ok(Ok(()))
    }

    fn blocking_flush(&mut self, stream: Resource<Output>) -> Written {
        self.flush(stream)
    }

    fn subscribe(&mut self, _: Resource<Output>) -> Result<Resource<Awaited>> {
        self.push(Awaited(0))
    }

    fn write_zeroes(&mut self, stream: Resource<Output>, bytes: u64) -> Written {
        self.zeroes(&stream, bytes)
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Resource<Output>, bytes: u64) -> Written {
        self.zeroes(&stream, bytes)
    }

    fn splice(
        &mut self,
        _: Resource<Output>,
        from: Resource<Input>,
        bytes: u64,
    ) -> Result<Result<u64, streams::StreamError>> {
        streams::HostInputStream::skip(self, from, bytes)
    }

    fn blocking_splice(
        &mut self,
        _: Resource<Output>,
        from: Resource<Input>,
        bytes: u64,
    ) -> Result<Result<u64, streams::StreamError>> {
        streams::HostInputStream::skip(self, from, bytes)
    }

    fn drop(&mut self, stream: Resource<Output>) -> Result<()> {
        self.drop_of(stream)
    }
}

impl exit::Host for QuipuCtxView<'_> {
    fn exit(&mut self, _: std::result::Result<(), ()>) -> Result<()> {
        Err(wasmtime::Error::msg("it exited, instead of answering"))
    }

    fn exit_with_code(&mut self, _: u8) -> Result<()> {
        self.exit(Ok(()))
    }
}

impl stdin::Host for QuipuCtxView<'_> {
    fn get_stdin(&mut self) -> Result<Resource<Input>> {
        self.push(Input)
    }
}

impl stdout::Host for QuipuCtxView<'_> {
    fn get_stdout(&mut self) -> Result<Resource<Output>> {
        self.push(Output::Stdout)
    }
}

impl stderr::Host for QuipuCtxView<'_> {
    fn get_stderr(&mut self) -> Result<Resource<Output>> {
        self.push(Output::Stderr)
    }
}

impl monotonic_clock::Host for QuipuCtxView<'_> {
    fn now(&mut self) -> Result<u64> {
        Ok(self.wasi()?.waited_ns)
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<Awaited>> {
        self.push(Awaited(when))
    }

    fn subscribe_duration(&mut self, when: u64) -> Result<Resource<Awaited>> {
        let at = self.wasi()?.waited_ns.saturating_add(when);
        self.push(Awaited(at))
    }
}

impl wall_clock::Host for QuipuCtxView<'_> {
    /// The run's beginning, and what the guest waited since.
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        let waited_ns = self.wasi()?.waited_ns;
        let began_ms = self.ctx.now.as_ms();
        let ns = began_ms % 1_000 * 1_000_000 + waited_ns % 1_000_000_000;
        Ok(wall_clock::Datetime {
            seconds: began_ms / 1_000 + waited_ns / 1_000_000_000 + ns / 1_000_000_000,
            nanoseconds: u32::try_from(ns % 1_000_000_000)?,
        })
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime {
            seconds: 0,
            nanoseconds: 1_000_000,
        })
    }
}

impl random::Host for QuipuCtxView<'_> {
    fn get_random_bytes(&mut self, bytes: u64) -> Result<Vec<u8>> {
        self.random(bytes)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        Ok(self.wasi()?.random_u64())
    }
}

impl insecure::Host for QuipuCtxView<'_> {
    fn get_insecure_random_bytes(&mut self, bytes: u64) -> Result<Vec<u8>> {
        self.random(bytes)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        Ok(self.wasi()?.random_u64())
    }
}

impl insecure_seed::Host for QuipuCtxView<'_> {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        let wasi = self.wasi()?;
        Ok((wasi.random_u64(), wasi.random_u64()))
    }
}
