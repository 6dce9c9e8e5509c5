// Long because both ends of one conversation are here: who asks, and the process that is asked.

//! Compiling components: in this process, or in one of its own that has little to lose.

use std::{
    ffi::OsString,
    fmt::Display,
    io::{self, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use quipu_format::{CompileLimits, Hash, limits};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, setrlimit};
use wasmtime::{Engine, component::Component};

use crate::{
    AgentComponent, CodeCache, Confinement, Error, ErrorKind, Result,
    code::{Code, CodeOf},
    engine,
};

/// How components become code. The default compiles in this process and keeps nothing.
///
/// A compiler is large, and who sends a component chooses what it works on. [`helper`](Self::helper) has another process do
/// it, within [`CompileLimits`]: one that is made to eat memory or time ends alone. Cheap to clone; clones share what they
/// have made ready.
#[derive(Clone, Default)]
pub struct Compiler {
    helper: Option<Arc<(PathBuf, Vec<OsString>)>>,
    cache: Option<CodeCache>,
    limits: CompileLimits,
    /// What [`prepare`](Self::prepare) made.
    ready: Arc<Mutex<Option<(CodeOf, Code)>>>,
}

impl Compiler {
    /// Compiles in this process.
    pub fn in_process() -> Self {
        Self::default()
    }

    /// Starts this program with these arguments for each component. It must call [`serve_compiler`] before anything else,
    /// and be one that you trust as much as your own: the code that it writes is run.
    pub fn helper(program: impl Into<PathBuf>, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self {
            helper: Some(Arc::new((program.into(), args))),
            ..Self::default()
        }
    }

    /// Keeps the code, and takes what was kept.
    #[must_use]
    pub fn cached(mut self, cache: CodeCache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Within these limits; they bound a helper, and the size of a component in any case.
    #[must_use]
    pub fn limited(mut self, limits: CompileLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Compiles an agent ahead of time, so that loading it needs neither the helper nor the cache: a process may confine
    /// itself in between. The last one is kept. Returns it as it was read, for
    /// [`Runtime::load_component`](crate::Runtime::load_component).
    ///
    /// # Errors
    /// Where it is no agent, or cannot be compiled within the limits.
    pub fn prepare(&self, wasm: &[u8]) -> Result<AgentComponent> {
        let component = AgentComponent::new(wasm)?;
        self.prepare_component(&component)?;
        Ok(component)
    }

    /// The same of one that was read before.
    ///
    /// # Errors
    /// Where it cannot be compiled within the limits.
    pub fn prepare_component(&self, component: &AgentComponent) -> Result<()> {
        let engine = engine::on_demand()?;
        let of = CodeOf::new(&engine, component.sha256());
        let code = self.code(&engine, component.bytes(), of)?;
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some((of, code));
        Ok(())
    }

    /// What the engine runs.
    pub(crate) fn compile(&self, engine: &Engine, component: &[u8]) -> Result<Component> {
        if self.helper.is_none() && self.cache.is_none() {
            self.fits(component)?;
            return Component::new(engine, component).map_err(refused);
        }
        let of = CodeOf::new(engine, Hash::of(&[component]));
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match ready.filter(|(ready, _)| *ready == of) {
            Some((_, code)) => code.load(engine),
            None => self.code(engine, component, of)?.load(engine),
        }
    }

    fn code(&self, engine: &Engine, component: &[u8], of: CodeOf) -> Result<Code> {
        if let Some(code) = self.cache.as_ref().and_then(|cache| cache.get(of)) {
            return Ok(code);
        }
        self.fits(component)?;
        let code = match &self.helper {
            None => Code::compile(engine, component).map_err(refused)?,
            Some(helper) => self.compile_apart(&helper.0, &helper.1, component, of)?,
        };
        if let Some(cache) = &self.cache {
            cache.put(of, &code);
        }
        Ok(code)
    }

    fn fits(&self, component: &[u8]) -> Result<()> {
        let (has, most) = (component.len(), self.limits.component_bytes);
        match has <= most {
            true => Ok(()),
            false => Err(refused(format!("it has {has} bytes, and at most {most} are compiled"))),
        }
    }

    fn compile_apart(&self, program: &PathBuf, args: &[OsString], component: &[u8], of: CodeOf) -> Result<Code> {
        let failed = |what: &dyn Display| failed(program, what);
        let threads = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(self.limits.threads);
        let mut command = Command::new(program);
        command
            .args(args)
            // Nothing that is in the host's environment is the compiler's business.
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.to_string())
            .current_dir("/")
            // What it starts ends with it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let end = Instant::now() + Duration::from_secs(self.limits.wall_seconds);
        let mut child = command
            .spawn()
            .map_err(|error| failed(&format_args!("does not start: {error}")))?;
        let answer = answer(&mut child, &self.limits, component, end)
            .map_err(|error| failed(&format_args!("does not answer: {error}")))?;
        // Nobody listened to the rest of it, so that its status says nothing.
        if answer.code.len() > self.limits.code_bytes {
            let most = self.limits.code_bytes;
            return Err(refused(format!("its code has more than {most} bytes")));
        }
        let Some(status) = answer.status else {
            let most = self.limits.wall_seconds;
            return Err(failed(&format_args!(
                "took longer than {most} seconds and was ended, without having used the processor time that it may use: is the \
                 machine very busy? Try again"
            )));
        };
        if !status.success() {
            return Err(self.why(program, status, answer.words.trim()));
        }
        let other = "wrote code of another component or for another engine: is it of this version of quipu?";
        Code::vouched_for(answer.code, of).ok_or_else(|| failed(&other))
    }

    /// Why the compiler's process ended without code: because of the component, or because of the host.
    fn why(&self, program: &Path, status: ExitStatus, words: &str) -> Error {
        let CompileLimits {
            memory_bytes,
            cpu_seconds,
            ..
        } = self.limits;
        let crashed = |how: &dyn Display| {
            refused(format!(
                "its compiler {how}, which no component should bring about, and this one may have: report it. {words}"
            ))
        };
        match (status.code(), status.signal().and_then(Signal::from_named_raw)) {
            (Some(REFUSED), _) => refused(words),
            (Some(UNABLE), _) => failed(program, &format_args!("cannot work: {words}")),
            (Some(PANICKED), _) => crashed(&"panicked"),
            (_, Some(Signal::XCPU)) => refused(format!(
                "compiling it takes more than {cpu_seconds} seconds of processor time"
            )),
            // An allocation that fails ends the process.
            (_, Some(Signal::ABORT)) if words.contains(NO_MEMORY) => {
                refused(format!("compiling it takes more than {memory_bytes} bytes of memory"))
            }
            (_, Some(signal @ (Signal::ABORT | Signal::SEGV | Signal::BUS | Signal::ILL | Signal::FPE))) => {
                crashed(&format_args!("crashed with signal {}", signal.as_raw()))
            }
            (None, _) => failed(
                program,
                &format_args!(
                    "was ended by signal {}, which nothing in a component sends: the machine had no memory left, or somebody \
                     ended it. Try again",
                    status.signal().unwrap_or_default()
                ),
            ),
            _ => failed(
                program,
                &format_args!("ended with {status}, as no compiler of this version of quipu does: {words}"),
            ),
        }
    }
}

/// A fault of the host's, and not of the component.
fn failed(program: &Path, what: &dyn Display) -> Error {
    let what = format!("the compiler's process {} {what}", program.display());
    Error::new(ErrorKind::Engine, what)
}

fn refused(why: impl Display) -> Error {
    Error::new(ErrorKind::Component, format!("the component is refused: {why:#}"))
}

/// Exit code of a compiler that says why it refuses the component.
const REFUSED: i32 = 3;
/// Exit code of a compiler that cannot begin, or cannot answer, whatever the component.
const UNABLE: i32 = 4;
/// Exit code of a program that panicked.
const PANICKED: i32 = 101;
/// What a program says that ends because it gets no memory.
const NO_MEMORY: &str = "memory allocation of";

/// What a compiler's process gave.
struct Answer {
    /// One byte past the limit at most.
    code: Vec<u8>,
    words: String,
    /// None: it was still at it when its time was over.
    status: Option<ExitStatus>,
}

/// Asks it, and takes its answer. When this returns, the process and what it started have ended.
fn answer(child: &mut Child, limits: &CompileLimits, component: &[u8], end: Instant) -> io::Result<Answer> {
    let answer = thread::scope(|threads| {
        let mut answer = || {
            let missing = || io::Error::other("it has no standard streams");
            let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let (stdin, stdout, stderr) = (
                stdin.ok_or_else(missing)?,
                stdout.ok_or_else(missing)?,
                stderr.ok_or_else(missing)?,
            );
            let named = || thread::Builder::new().name("quipu-compiler".into());
            let (closed, closing) = mpsc::channel();
            let also_closed = closed.clone();
            let asked = named().spawn_scoped(threads, move || ask(stdin, limits, component))?;
            let code = named().spawn_scoped(threads, move || {
                let code = read(stdout, limits.code_bytes + 1);
                let _ = closed.send(());
                code
            })?;
            let words = named().spawn_scoped(threads, move || {
                let words = listen(stderr);
                let _ = also_closed.send(());
                words
            })?;
            let status = wait(child, &closing, end)?;
            if status.is_none() {
                stop(child)?;
            }
            let lost = |_| io::Error::other("what it said is lost");
            asked.join().map_err(lost)??;
            Ok(Answer {
                code: code.join().map_err(lost)??,
                words: words.join().map_err(lost)??,
                status,
            })
        };
        let answer = answer();
        // The threads wait for its streams to end.
        if answer.is_err() {
            let _ = stop(child);
        }
        answer
    });
    answer
}

/// Ends a process and those that it started.
fn stop(child: &mut Child) -> io::Result<()> {
    // Its number is its own until it was waited for.
    if child.try_wait()?.is_none() {
        rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL)?;
        child.wait()?;
    }
    Ok(())
}

/// Waits for a process's end, after its two streams were closed; none: that took too long.
fn wait(child: &mut Child, closing: &Receiver<()>, end: Instant) -> io::Result<Option<ExitStatus>> {
    for _ in 0..2 {
        let rest = end.saturating_duration_since(Instant::now());
        if closing.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
            return Ok(None);
        }
    }
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() >= end {
            return Ok(status);
        }
        // It ends just now.
        thread::sleep(Duration::from_millis(1));
    }
}

/// What a compiler's process is asked: three limits, each as 8 bytes, little-endian, and the component up to the end.
fn ask(mut stdin: ChildStdin, limits: &CompileLimits, component: &[u8]) -> io::Result<()> {
    let numbers = [limits.memory_bytes, limits.cpu_seconds, limits.component_bytes as u64];
    let head: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    match stdin.write_all(&head).and_then(|()| stdin.write_all(component)) {
        // It ended; its status says why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// The first bytes of a stream. Nobody listens to the rest.
fn read(stream: impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The beginning of what it says. Whatever else it says is dropped, so that it never waits for somebody to listen.
fn listen(mut stderr: ChildStderr) -> io::Result<String> {
    let words = read(&mut stderr, limits::COMPILER_WORDS_BYTES)?;
    io::copy(&mut stderr, &mut io::sink())?;
    Ok(String::from_utf8_lossy(&words).into_owned())
}

/// All that a compiler's process does: takes a component from its standard input, and writes its code to the standard
/// output. Call it in a process of its own, before that has threads, and exit with what it returns; 0 is done.
///
/// Before the first byte of the component is looked at, the process is held to the limits that it was asked to keep, and
/// confined: where the kernel has Landlock, it opens no file and no TCP connection.
pub fn serve_compiler() -> u8 {
    let (status, why) = match serve(&mut io::stdin().lock()) {
        Ok(code) => match io::stdout().lock().write_all(code.bytes()) {
            Ok(()) => return 0,
            Err(error) => (UNABLE, format!("its code finds no taker: {error}")),
        },
        Err(NoCode::Refused(why)) => (REFUSED, format!("{why:#}")),
        Err(NoCode::Unable(why)) => (UNABLE, why),
    };
    // If nobody listens, the exit code must do.
    let _ = write!(io::stderr(), "{why}");
    u8::try_from(status).unwrap_or(u8::MAX)
}

/// Why there is no code.
enum NoCode {
    /// Because of the component.
    Refused(wasmtime::Error),
    /// Because of the machine, or of who asks.
    Unable(String),
}

fn serve(asked: &mut impl Read) -> Result<Code, NoCode> {
    let unable = |what: &str, why: &dyn Display| NoCode::Unable(format!("{what}: {why}"));
    let mut numbers = [[0; 8]; 3];
    for number in &mut numbers {
        let read = asked.read_exact(number);
        read.map_err(|error| unable("it is asked for nothing", &error))?;
    }
    let [memory_bytes, cpu_seconds, component_bytes] = numbers.map(u64::from_le_bytes);
    hold(memory_bytes, cpu_seconds).map_err(|error| unable("it cannot be held to its limits", &error))?;
    let confined = Confinement::new().confine();
    confined.map_err(|error| unable("it cannot be confined", &error))?;
    // Where there is no thread to be had, the compiler would panic.
    let thread = thread::Builder::new().spawn(|| ());
    thread.map_err(|error| unable("it gets no thread", &error))?;
    let engine = engine::on_demand().map_err(|error| unable("it has no engine", &error))?;
    let mut component = Vec::new();
    let read = asked.take(component_bytes).read_to_end(&mut component);
    read.map_err(|error| unable("the component does not arrive", &error))?;
    Code::compile(&engine, &component).map_err(NoCode::Refused)
}

/// Holds this process to these limits, for good.
fn hold(memory_bytes: u64, cpu_seconds: u64) -> io::Result<()> {
    let limit = |resource, soft: u64, hard: u64| {
        // Who started the host may have allowed less.
        let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let limit = Rlimit {
            current: Some(soft.min(most)),
            maximum: Some(hard.min(most)),
        };
        setrlimit(resource, limit)
    };
    limit(Resource::As, memory_bytes, memory_bytes)?;
    // Past the first it is told, past the second it is killed.
    limit(Resource::Cpu, cpu_seconds, cpu_seconds + 1)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Core, 0, 0)?;
    // It does not outlive whoever asked.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}
