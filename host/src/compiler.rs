//! Compiling components: in this process, or in one of its own that has little to lose.

use std::{
    ffi::OsString,
    fmt::Display,
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use quipu_format::{CompileLimits, Hash, limits};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
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
        let engine = engine::on_demand()?;
        let of = CodeOf::new(&engine, component.sha256());
        let code = self.code(&engine, component.bytes(), of)?;
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some((of, code));
        Ok(component)
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
        let failed = |what: &dyn Display| {
            let what = format!("the compiler's process {} {what}", program.display());
            Error::new(ErrorKind::Engine, what)
        };
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
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| failed(&format_args!("does not start: {error}")))?;
        let asked = ask(&mut child, &self.limits, component);
        let told = asked.and_then(|()| listen(&mut child, self.limits.code_bytes));
        if told.is_err() {
            let _ = child.kill();
        }
        let status = child
            .wait()
            .map_err(|error| failed(&format_args!("is lost: {error}")))?;
        let (code, words) = told.map_err(|error| failed(&format_args!("does not answer: {error}")))?;
        // Nobody listened to the rest of it, so that its status says nothing.
        if code.len() > self.limits.code_bytes {
            let most = self.limits.code_bytes;
            return Err(refused(format!("its code has more than {most} bytes")));
        }
        if !status.success() {
            return Err(self.why(status, &words));
        }
        let other = "wrote code of another component or for another engine: is it of this version of quipu?";
        Code::vouched_for(code, of).ok_or_else(|| failed(&other))
    }

    /// Why the compiler's process ended without code.
    fn why(&self, status: ExitStatus, words: &str) -> Error {
        let CompileLimits {
            memory_bytes,
            cpu_seconds,
            ..
        } = self.limits;
        let cpu_signals = [rustix::process::Signal::XCPU, rustix::process::Signal::KILL].map(|signal| signal.as_raw());
        match (status.code(), status.signal()) {
            (Some(REFUSED), _) => refused(words.trim()),
            (_, Some(signal)) if cpu_signals.contains(&signal) => refused(format!(
                "compiling it takes more than {cpu_seconds} seconds of processor time"
            )),
            // An allocation that fails ends the process.
            (_, Some(signal)) => refused(format!(
                "its compiler was ended by signal {signal}: compiling it takes more than {memory_bytes} bytes of memory, or \
                 the compiler has a fault"
            )),
            _ => refused(format!("its compiler ended with {status}: {}", words.trim())),
        }
    }
}

fn refused(why: impl Display) -> Error {
    Error::new(ErrorKind::Component, format!("the component is refused: {why:#}"))
}

/// Exit code of a compiler that says why it refuses the component.
const REFUSED: i32 = 1;

/// What a compiler's process is asked: three limits, each as 8 bytes, little-endian, and the component up to the end.
fn ask(child: &mut Child, limits: &CompileLimits, component: &[u8]) -> io::Result<()> {
    let mut stdin = child
        .stdin
        .take()
        .ok_or_else(|| io::Error::other("it has no standard input"))?;
    let numbers = [limits.memory_bytes, limits.cpu_seconds, limits.component_bytes as u64];
    let head: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    match stdin.write_all(&head).and_then(|()| stdin.write_all(component)) {
        // It ended; its status says why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// What it answers: code, one byte past the limit at most, and words.
fn listen(child: &mut Child, most: usize) -> io::Result<(Vec<u8>, String)> {
    let missing = || io::Error::other("it has no standard output");
    let (stdout, stderr) = (
        child.stdout.take().ok_or_else(missing)?,
        child.stderr.take().ok_or_else(missing)?,
    );
    let words = thread::Builder::new().name("quipu-compiler".into()).spawn(move || {
        let mut words = Vec::new();
        let mut stderr = stderr;
        let taken = (&mut stderr)
            .take(limits::COMPILER_WORDS_BYTES as u64)
            .read_to_end(&mut words);
        // Whatever else it says is dropped, so that it never waits for somebody to listen.
        let rest = io::copy(&mut stderr, &mut io::sink());
        taken.and(rest).map(|_| words)
    })?;
    let mut code = Vec::new();
    stdout.take(most as u64 + 1).read_to_end(&mut code)?;
    let words = words.join().map_err(|_| io::Error::other("what it said is lost"))??;
    Ok((code, String::from_utf8_lossy(&words).into_owned()))
}

/// All that a compiler's process does: takes a component from its standard input, and writes its code to the standard
/// output. Call it in a process of its own, before that has threads, and exit with what it returns; 0 is done.
///
/// Before the first byte of the component is looked at, the process is held to the limits that it was asked to keep, and
/// confined: where the kernel has Landlock, it opens no file and no TCP connection.
pub fn serve_compiler() -> u8 {
    match serve(&mut io::stdin().lock()) {
        Ok(code) => match io::stdout().lock().write_all(code.bytes()) {
            Ok(()) => 0,
            Err(_) => 2,
        },
        Err(why) => {
            // If nobody listens, the exit code must do.
            let _ = write!(io::stderr(), "{why:#}");
            u8::try_from(REFUSED).unwrap_or(u8::MAX)
        }
    }
}

fn serve(asked: &mut impl Read) -> wasmtime::Result<Code> {
    let mut numbers = [[0; 8]; 3];
    for number in &mut numbers {
        asked.read_exact(number)?;
    }
    let [memory_bytes, cpu_seconds, component_bytes] = numbers.map(u64::from_le_bytes);
    hold(memory_bytes, cpu_seconds)?;
    Confinement::new().confine()?;
    let mut component = Vec::new();
    asked.take(component_bytes).read_to_end(&mut component)?;
    Code::compile(&engine::on_demand()?, &component)
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
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}
