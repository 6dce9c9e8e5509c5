//! What stands between a component and this machine: the compiler's own process, its code on the disk, and the confinement of
//! the process that runs it.

mod driver;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
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
fn a_helper_that_is_no_compiler_is_a_fault_of_the_host() {
    for (program, said) in [
        ("/bin/true", "another component"),
        ("/bin/no-such-program", "does not start"),
        ("/bin/cat", "another component"),
    ] {
        let error = Compiler::helper(program, [""; 0]).prepare(&bomb(1, 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Engine, "{error}");
        assert!(error.to_string().contains(said), "{program}: {error}");
    }
}
