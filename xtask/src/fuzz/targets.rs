//! The targets of fuzz/, a workspace of its own: libFuzzer, guided by coverage, built by the stable compiler.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{Result, cargo};

const MANIFEST: &str = "fuzz/Cargo.toml";
const BUILD: &str = "target/fuzz-build";
/// Inputs that were found, by target.
const FOUND: &str = "target/fuzz";
const SEEDS: &str = "seeds";
const SECONDS: u64 = 60;
/// How often a target says how far it is.
const PROGRESS: Duration = Duration::from_secs(10);
/// Where files cost least: recovery writes whole ledgers.
const MEMORY: &str = "/dev/shm";
/// What `-Zsanitizer` and cargo-fuzz ask of the nightly compiler, as plain options of LLVM's pass, which the stable one
/// takes: counters at each edge, and the operands of comparisons.
const COVERAGE: [&str; 8] = [
    "--cfg",
    "fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Runs the named targets, or all, each for `--seconds N`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (names, seconds) = parse(arguments)?;
    let built = build()?;
    let program = |name: &str| built.iter().find(|artifact| artifact.name == name);
    let all = || {
        built
            .iter()
            .map(|artifact| artifact.name.clone())
            .filter(|name| name != SEEDS)
    };
    let names: Vec<String> = if names.is_empty() { all().collect() } else { names };
    if let Some(unknown) = names.iter().find(|name| program(name).is_none() || *name == SEEDS) {
        let known: Vec<_> = all().collect();
        return Err(format!("there is no target `{unknown}`; there are: {}", known.join(", ")).into());
    }
    let found = cargo::root().join(FOUND);
    let seeds = found.join(SEEDS);
    let scratch = Scratch::new()?;
    let mut seeding = Command::new(&program(SEEDS).ok_or("fuzz/ has no program that makes seeds")?.path);
    seeding.arg(&seeds).env("TMPDIR", &scratch.0);
    cargo::run(seeding)?;

    let mut failed = Vec::new();
    for name in names {
        let Some(artifact) = program(&name) else { continue };
        let target = Target {
            name: &name,
            program: &artifact.path,
            found: found.join(&name),
            seeds: seeds.join(&name),
        };
        if !target.run(seconds, &scratch.0)? {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}; see above how to repeat it", failed.join(", ")).into())
    }
}

fn parse(arguments: &[String]) -> Result<(Vec<String>, u64)> {
    let (mut names, mut seconds) = (Vec::new(), SECONDS);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => {
                let number = arguments.next().ok_or("--seconds needs a number")?;
                seconds = number.parse().map_err(|_| format!("--seconds {number}: no number"))?;
            }
            option if option.starts_with('-') => return Err(format!("there is no option `{option}`").into()),
            name => names.push(name.to_owned()),
        }
    }
    Ok((names, seconds))
}

/// Builds every target. With `--target`, the options do not reach what runs at build time.
fn build() -> Result<Vec<cargo::Artifact>> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "host-tuple"]);
    let host = cargo::output(rustc).ok_or("rustc does not say what it builds for")?;
    let mut build = cargo::cargo();
    build
        .args(["build", "--locked", "--release", "--manifest-path", MANIFEST])
        .args(["--target-dir", BUILD, "--target", &host])
        .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}"));
    cargo::artifacts(build)
}

struct Target<'a> {
    name: &'a str,
    program: &'a Path,
    /// What it finds, the corpus and what breaks it, and what it says.
    found: PathBuf,
    seeds: PathBuf,
}

impl Target<'_> {
    /// Whether nothing broke.
    fn run(&self, seconds: u64, scratch: &Path) -> Result<bool> {
        let corpus = self.found.join("corpus");
        fs::create_dir_all(&corpus)?;
        let said = self.found.join("said");
        let mut log = fs::File::create(&said)?;
        let mut fuzzer = Command::new(self.program);
        fuzzer
            .args([&corpus, &self.seeds])
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", self.found.display()))
            .args([
                "-timeout=30",
                "-rss_limit_mb=4096",
                "-max_len=131072",
                "-print_final_stats=1",
            ])
            .env("TMPDIR", scratch)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = fuzzer
            .spawn()
            .map_err(|e| format!("{} does not start: {e}", self.program.display()))?;
        let begin = Instant::now();
        let (mut told, mut status, mut artifact) = (begin, Status::default(), None);
        for line in BufReader::new(child.stderr.take().ok_or("the fuzzer has no output")?).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            writeln!(log, "{line}")?;
            status.read(&line);
            if let Some((_, path)) = line.split_once("Test unit written to ") {
                artifact = Some(path.to_owned());
            }
            if told.elapsed() > PROGRESS {
                told = Instant::now();
                eprintln!("  {:<14} {}", self.name, status.shown(begin.elapsed()));
            }
        }
        let ended = child.wait()?;
        println!("{:<16} {}", self.name, status.shown(begin.elapsed()));
        if !ended.success() {
            println!("{:<16} FAILED, {ended}; what it said: {}", "", said.display());
            if let Some(artifact) = artifact {
                println!("{:<16} repeat it: {} {artifact}", "", self.program.display());
            }
        }
        Ok(ended.success())
    }
}

/// The last of libFuzzer's lines, `#1234 NEW    cov: 56 ft: 78 corp: 9/10b … exec/s: 11 …`.
#[derive(Default)]
struct Status {
    runs: u64,
    coverage: u64,
    inputs: u64,
}

impl Status {
    fn read(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix('#') else { return };
        let mut words = rest.split_whitespace();
        let number = |word: Option<&str>| word.and_then(|word| word.split('/').next()?.parse::<u64>().ok());
        self.runs = number(words.next()).unwrap_or(self.runs);
        while let Some(word) = words.next() {
            match word {
                "cov:" => self.coverage = number(words.next()).unwrap_or(self.coverage),
                "corp:" => self.inputs = number(words.next()).unwrap_or(self.inputs),
                _ => {}
            }
        }
    }

    fn shown(&self, time: Duration) -> String {
        let Self { runs, coverage, inputs } = self;
        let rate = *runs as f64 / time.as_secs_f64().max(0.001);
        format!(
            "{:>4} s {runs:>10} runs {rate:>8.0} runs/s   {coverage:>5} edges covered by {inputs} inputs",
            time.as_secs()
        )
    }
}

/// A folder for the ledgers that are damaged, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let memory = Path::new(MEMORY);
        let above = if memory.is_dir() {
            memory.to_owned()
        } else {
            env::temp_dir()
        };
        let path = above.join(format!("quipu-fuzz-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn the_fuzzers_lines_are_read_and_others_left_alone() {
        let mut status = Status::default();
        for line in [
            "INFO: Seed: 1",
            "#2\tINITED cov: 5 ft: 6 corp: 1/1b exec/s: 0 rss: 27Mb",
            "#1997659\tNEW    cov: 78 ft: 102 corp: 39/10474b lim: 4096 exec/s: 665886 rss: 27Mb",
            "#3242944\tDONE",
        ] {
            status.read(line);
        }
        assert_eq!((status.runs, status.coverage, status.inputs), (3_242_944, 78, 39));
    }
}
