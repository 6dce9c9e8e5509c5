//! What stands between a component and this machine: the compiler's own process, its code on the disk, and the confinement of
//! the process that runs it.

mod driver;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use driver::{Ledger, guest, run};
use quipu_format::CompileLimits;
use quipu_host::{Compiler, Confinement, ErrorKind};

/// A command with a cache of its own.
fn runs(ledger: &Ledger, own: &Path, more: &[&str]) -> Command {
    let mut command = ledger.command(["run"]);
    command
        .arg(guest("echo"))
        .args(["hi", "--actor", "agent:a", "--home", "a"])
        .args(more);
    command
        .env("XDG_CACHE_HOME", own.join("cache"))
        .env("XDG_STATE_HOME", own.join("state"));
    command
}

fn kept(own: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(own.join("cache/quipu/code")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn code_is_kept_for_this_user_alone_and_poisoned_code_is_never_run() {
    let ledger = Ledger::new();
    let own = tempfile::tempdir().unwrap();
    let own = own.path();
    run(&mut runs(&ledger, own, &[])).good();
    let [file] = &kept(own)[..] else {
        panic!("one component, one file")
    };
    let whole = fs::read(file).unwrap();
    assert_eq!(mode(file), 0o600);
    assert_eq!(mode(&own.join("cache/quipu/code")), 0o700);
    assert_eq!(mode(&own.join("state/quipu/code.key")), 0o600);

    // What is kept is used: it is not written again.
    let modified = |file: &Path| fs::metadata(file).unwrap().ino();
    use std::os::unix::fs::MetadataExt;
    let before = modified(file);
    run(&mut runs(&ledger, own, &[])).good();
    assert_eq!(modified(file), before);

    for at in [20, whole.len() / 2, whole.len() - 5] {
        let mut poisoned = whole.clone();
        poisoned[at] ^= 0xff;
        fs::write(file, poisoned).unwrap();
        let ran = run(&mut runs(&ledger, own, &["--trace=warn"])).good();
        assert!(ran.err.contains("not what this host wrote"), "{}", ran.err);
        assert_eq!(fs::read(file).unwrap(), whole, "it was compiled again");
    }

    // A folder that others may write to is not used at all.
    fs::set_permissions(own.join("cache/quipu/code"), fs::Permissions::from_mode(0o777)).unwrap();
    let ran = run(&mut runs(&ledger, own, &["--trace=warn"])).good();
    assert!(ran.err.contains("others may write to it"), "{}", ran.err);
}

#[test]
fn a_run_is_confined_where_the_kernel_can() {
    let ledger = Ledger::new();
    let own = tempfile::tempdir().unwrap();
    let told = run(&mut runs(&ledger, own.path(), &["--json"])).good().json();
    // What the kernel can is asked of a thread, which alone is confined by it, and ends.
    let can = thread::spawn(|| Confinement::new().confine().unwrap().files)
        .join()
        .unwrap();
    assert_eq!(told["confined"]["files"], can, "{told}");
    if !can {
        eprintln!("skipped: this kernel confines nothing");
    }
}

/// The command's compiler, within these limits.
fn compiler(change: impl FnOnce(&mut CompileLimits)) -> Compiler {
    let mut limits = CompileLimits::default();
    change(&mut limits);
    Compiler::helper(env!("CARGO_BIN_EXE_quipu"), ["compile-component"]).limited(limits)
}

/// A component that is small, and takes long to compile: one function of as many blocks within each other and values that
/// live through all of them.
fn bomb(functions: usize, statements: usize) -> Vec<u8> {
    let locals = "(local i64 i64 i64 i64 i64 i64 i64 i64)";
    let body: String = (0..statements)
        .map(|n| {
            let (a, b, c) = (n % 8, (n * 3 + 1) % 8, (n * 5 + 2) % 8);
            format!(
                "(if (i64.lt_u (local.get {a}) (local.get {b})) (then (local.set {c} (i64.mul (local.get {a}) (i64.rotl \
                 (local.get {b}) (local.get {c}))))) (else (local.set {b} (i64.div_u (local.get {c}) (local.get {a})))))"
            )
        })
        .collect();
    let functions = format!("(func {locals} {body})").repeat(functions);
    wat::parse_str(format!(
        r#"(component
            (core module $m {functions} (func (export "h")))
            (core instance $i (instantiate $m))
            (func (export "handle") (canon lift (core func $i "h"))))"#
    ))
    .unwrap()
}

#[test]
fn what_is_compiled_within_the_limits_is_ready() {
    compiler(|_| {}).prepare(&bomb(1, 10)).unwrap();
}

#[test]
fn each_limit_of_the_compiler_ends_it_with_its_name() {
    let (large, small) = (bomb(2, 30_000), bomb(1, 10));
    let most = small.len() - 1;
    for (component, limited, said) in [
        (
            &small,
            compiler(|limits| limits.component_bytes = most),
            format!("at most {most} are compiled"),
        ),
        (
            &small,
            compiler(|limits| limits.code_bytes = 1_000),
            "more than 1000 bytes".into(),
        ),
        (
            &large,
            compiler(|limits| limits.cpu_seconds = 1),
            "more than 1 seconds of processor time".into(),
        ),
        (
            &large,
            compiler(|limits| limits.memory_bytes = 192 << 20),
            "more than 201326592 bytes of memory".into(),
        ),
    ] {
        let error = limited.prepare(component).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Component, "{error}");
        assert!(error.to_string().contains(&said), "{said}: {error}");
    }
}

#[test]
fn a_component_that_is_refused_says_why() {
    let error = compiler(|_| {}).prepare(b"\0asm\x0d\0\x01\0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Component);
    assert!(error.to_string().contains("handle"), "{error}");
}

#[test]
fn a_compiler_that_hangs_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("processes");
    // It reads nothing, says nothing, and has a child that keeps its streams open.
    let script = format!("sleep 1000 & echo $$ $! > {}; wait", told.display());
    let mut limits = CompileLimits::default();
    limits.wall_seconds = 1;
    let begin = Instant::now();
    let hanging = Compiler::helper("/bin/sh", ["-c", &script]).limited(limits);
    let error = hanging.prepare(&bomb(1, 10_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Engine, "{error}");
    assert!(
        error.to_string().contains("took longer than 1 seconds and was ended"),
        "{error}"
    );
    assert!(begin.elapsed() >= Duration::from_secs(1));
    let processes = fs::read_to_string(told).unwrap();
    for process in processes.split_whitespace() {
        let status = Path::new("/proc").join(process).join("status");
        let runs = || fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ"));
        driver::wait_until("it has ended", || !runs());
    }
}

/// What a shell does in the place of the compiler.
fn shell(script: &str) -> quipu_host::Error {
    Compiler::helper("/bin/sh", ["-c", script])
        .prepare(&bomb(1, 1))
        .unwrap_err()
}

#[test]
fn what_is_the_hosts_fault_is_not_called_the_components() {
    for (program, said) in [
        ("/bin/true", "another component"),
        ("/bin/no-such-program", "does not start"),
        ("/", "does not start"),
        ("/bin/cat", "another component"),
        ("/bin/false", "as no compiler of this version of quipu does"),
    ] {
        let error = Compiler::helper(program, [""; 0]).prepare(&bomb(1, 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Engine, "{error}");
        assert!(error.to_string().contains(said), "{program}: {error}");
    }
    for (script, said) in [
        // As the system does where it has no memory left.
        ("kill -KILL $$", "was ended by signal 9"),
        ("kill -TERM $$", "was ended by signal 15"),
        ("echo no libc >&2; exit 127", "no libc"),
        ("echo no thread >&2; exit 4", "cannot work: no thread"),
    ] {
        let error = shell(script);
        assert_eq!(error.kind(), ErrorKind::Engine, "{error}");
        assert!(error.to_string().contains(said), "{script}: {error}");
    }
    for (script, said) in [
        ("kill -SEGV $$", "crashed with signal 11"),
        ("kill -ABRT $$", "crashed with signal 6"),
        ("exit 101", "its compiler panicked"),
        (
            "echo memory allocation of 9 bytes failed >&2; kill -ABRT $$",
            "bytes of memory",
        ),
        ("echo too deep >&2; exit 3", "the component is refused: too deep"),
    ] {
        let error = shell(script);
        assert_eq!(error.kind(), ErrorKind::Component, "{error}");
        assert!(error.to_string().contains(said), "{script}: {error}");
    }
}

/// Nothing is compiled where there is no room for a thread: that says nothing of the component.
#[test]
fn a_compiler_that_cannot_begin_is_a_fault_of_the_host() {
    let error = compiler(|limits| limits.memory_bytes = 1 << 20)
        .prepare(&bomb(1, 1))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Engine, "{error}");
}
