//! Hostile components: from their text in tests/guests/hostile, or made here where no text could say them.
//!
//! The text of a core module is made a component of the world that its lines `;;!` say:
//!
//! - `world …`: the world's body in WIT, beside quipu's own; `HANDLE` stands for the export `handle` of world `agent`;
//! - `interface …`: one more interface of the package; `package …`: one more package; WASI's, as far as the host has something
//!   behind it, are there;
//! - `rename A B`: A is B in the component, wherever it stands;
//! - `nested (component …)`: that component lies in it; `nested-run`: and is instantiated;
//! - `encoding utf16`: how its texts are encoded; `as-module`: it stays a core module, with its type; `bare`: without one.

use std::fs;

use quipu_audit::{componentise, wit};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

use crate::driver::{guest, root};

const HANDLE: &str = "use types.{run-info}; use read.{reader};
    export handle: func(run: run-info, memory: list<reader>, input: string) -> result<string, string>;";

fn text(name: &str) -> String {
    let file = root().join("tests/guests/hostile").join(name).with_extension("wat");
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What the file's head says: the attack and the defence.
pub(crate) fn words(name: &str) -> (String, String) {
    let text = text(name);
    let head = text.lines().map_while(|line| line.strip_prefix(";; "));
    let head = head.map(str::trim).collect::<Vec<_>>().join(" ");
    let (attack, defence) = head.split_once(" Defence: ").expect("it says what the defence is");
    let attack = attack.strip_prefix("Attack: ").expect("it says what the attack is");
    (attack.to_owned(), defence.to_owned())
}

/// The component, or core module, of the text.
pub(crate) fn of_wat(name: &str) -> Vec<u8> {
    of_text(name, &text(name))
}

pub(crate) fn of_text(name: &str, text: &str) -> Vec<u8> {
    let directives: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(";;! ")).collect();
    let said = |word: &str| {
        directives
            .iter()
            .find_map(|line| line.strip_prefix(word)?.strip_prefix(' '))
    };
    let mut wasm = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    if directives.contains(&"bare") || text.contains("\n(component") || text.starts_with("(component") {
        return wasm;
    }
    let (mut resolve, mut map) = (Resolve::default(), SourceMap::default());
    for (file, text) in wit() {
        map.push_str(file, *text);
    }
    let world = said("world").expect("it names its world").replace("HANDLE", HANDLE);
    let interfaces = directives.iter().filter(|line| line.starts_with("interface "));
    let interfaces: String = interfaces.map(|line| format!("{line}\n")).collect();
    let packages = directives.iter().filter(|line| line.starts_with("package "));
    let packages: String = packages.map(|line| format!("{line}\n")).collect();
    for package in ["io", "clocks", "random", "cli"] {
        let file = root()
            .join("host/src/wasi/wit/deps")
            .join(package)
            .with_extension("wit");
        let mut wasi = SourceMap::default();
        wasi.push_str(file.to_str().unwrap(), fs::read_to_string(&file).unwrap());
        resolve.push_group(wasi.parse().unwrap()).unwrap();
    }
    map.push_str(
        "hostile.wit",
        format!("package quipu:memory@0.1.0;\n{interfaces}\nworld hostile {{ {world} }}\n{packages}"),
    );
    let package = resolve.push_group(map.parse().unwrap()).unwrap();
    let world = resolve.select_world(&[package], Some("hostile")).unwrap();
    let encoding = match said("encoding") {
        Some("utf16") => StringEncoding::UTF16,
        _ => StringEncoding::UTF8,
    };
    embed_component_metadata(&mut wasm, &resolve, world, encoding, false).unwrap();
    if directives.contains(&"as-module") {
        return wasm;
    }
    let mut component = componentise(&wasm).unwrap_or_else(|error| panic!("{name}: {error}"));
    if let Some((from, to)) = said("rename").and_then(|names| names.split_once(' ')) {
        component = rename(&component, from, to);
    }
    for (word, runs) in [("nested", false), ("nested-run", true)] {
        if let Some(text) = said(word) {
            nest(
                &mut component,
                &wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}")),
                runs,
            );
        }
    }
    component
}

/// Names are of the same length, so that no length within has to change.
fn rename(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut renamed = component.to_vec();
    let places = component.windows(from.len()).enumerate();
    let places: Vec<_> = places
        .filter(|(_, at)| *at == from.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "{from} is not in the component");
    for at in places {
        renamed[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    renamed
}

/// Puts a component into another, as its first, and instantiates it.
fn nest(outer: &mut Vec<u8>, inner: &[u8], runs: bool) {
    section(outer, 4, inner);
    if runs {
        section(outer, 5, &[1, 0, 0, 0]);
    }
}

fn section(wasm: &mut Vec<u8>, id: u8, content: &[u8]) {
    wasm.push(id);
    wasm.extend(leb(content.len()));
    wasm.extend_from_slice(content);
}

fn custom(wasm: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut named = leb(name.len());
    named.extend_from_slice(name.as_bytes());
    named.extend_from_slice(content);
    section(wasm, 0, &named);
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

/// A component that does nothing wrong.
fn honest() -> Vec<u8> {
    of_wat("realloc_overlaps")
}

/// The same with more code in it.
fn honest_with(more: &str) -> Vec<u8> {
    let text = text("realloc_overlaps");
    let (head, end) = text.rsplit_once(')').unwrap();
    let (mut resolve, mut map) = (Resolve::default(), SourceMap::default());
    for (file, text) in wit() {
        map.push_str(file, *text);
    }
    map.push_str("hostile.wit", format!("world hostile {{ {HANDLE} }}"));
    let package = resolve.push_group(map.parse().unwrap()).unwrap();
    let world = resolve.select_world(&[package], Some("hostile")).unwrap();
    let mut module = wat::parse_str(format!("{head}{more}){end}")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    componentise(&module).unwrap()
}

pub(crate) fn cut_short() -> Vec<u8> {
    let whole = fs::read(guest("echo")).unwrap();
    whole[..whole.len() / 2].to_vec()
}

pub(crate) fn one_byte_short() -> Vec<u8> {
    let whole = honest();
    whole[..whole.len() - 1].to_vec()
}

pub(crate) fn twice_in_one_file() -> Vec<u8> {
    [honest(), honest()].concat()
}

pub(crate) fn a_program_behind_it() -> Vec<u8> {
    [honest(), b"PK\x03\x04#!/bin/sh\nrm -rf ledger\n".to_vec()].concat()
}

pub(crate) fn a_page_before_it() -> Vec<u8> {
    [b"<html><script>alert(1)</script></html>".to_vec(), honest()].concat()
}

pub(crate) fn a_program_for_this_machine() -> Vec<u8> {
    b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec()
}

pub(crate) fn layer_of_the_future() -> Vec<u8> {
    let mut wasm = honest();
    wasm[6] = 2;
    wasm
}

pub(crate) fn length_of_4_gib() -> Vec<u8> {
    let mut wasm = honest();
    wasm.extend([1, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    wasm
}

pub(crate) fn nested_a_thousand_deep() -> Vec<u8> {
    let mut inner = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..1_000 {
        let mut outer = b"\0asm\x0d\0\x01\0".to_vec();
        section(&mut outer, 4, &inner);
        inner = outer;
    }
    let mut wasm = honest();
    section(&mut wasm, 4, &inner);
    wasm
}

pub(crate) fn type_nested_in_types() -> Vec<u8> {
    // A type section with component types within component types, each beginning the next.
    let mut types = vec![1];
    types.extend([0x41, 1, 1].repeat(100_000));
    let mut wasm = honest();
    section(&mut wasm, 7, &types);
    wasm
}

pub(crate) fn a_million_types() -> Vec<u8> {
    let mut types = leb(1_100_000);
    types.extend([0x7f].repeat(1_100_000));
    let mut wasm = honest();
    section(&mut wasm, 7, &types);
    wasm
}

pub(crate) fn dependencies_that_unpack_to_a_gigabyte() -> Vec<u8> {
    // What zlib makes of very many spaces: a stored dictionary and one long repeat after the other.
    let mut packed = vec![0x78, 0x9c];
    packed.extend(bomb());
    let mut wasm = honest();
    custom(&mut wasm, ".dep-v0", &packed);
    wasm
}

/// A deflate stream by the fixed code: a zero, then a repeat of 258 zeros, a million times: 12 and 1 bits each.
fn bomb() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(0b1, 1);
    bits.push(0b10, 2);
    // The literal 0 is 00110000, most significant bit first.
    bits.push(0b0000_1100, 8);
    for _ in 0..4_000_000 {
        // Length 258 is symbol 285, 11000101; distance 1 is symbol 0, five zero bits.
        bits.push(0b1010_0011, 8);
        bits.push(0, 5);
    }
    bits.push(0, 7);
    bits.bytes
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    /// The lowest bit first.
    fn push(&mut self, bits: u32, count: u32) {
        for nth in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= (((bits >> nth) & 1) as u8) << (self.used % 8);
            }
            self.used += 1;
        }
    }
}

pub(crate) fn producers_that_steer_a_terminal() -> Vec<u8> {
    let mut wasm = honest();
    let name = "\u{1b}[2J\u{202e}evil\n\rok";
    let mut content = vec![1, 8];
    content.extend(b"language");
    content.push(1);
    content.extend(leb(name.len()));
    content.extend(name.as_bytes());
    content.extend([1, b'1']);
    custom(&mut wasm, "producers", &content);
    wasm
}

pub(crate) fn producers_of_garbage() -> Vec<u8> {
    let mut wasm = honest();
    custom(&mut wasm, "producers", &[0xff; 64]);
    custom(&mut wasm, "component-name", &[0xff; 64]);
    custom(&mut wasm, ".dep-v0", &[0xff; 64]);
    wasm
}

pub(crate) fn a_custom_section_of_16_mib() -> Vec<u8> {
    let mut wasm = honest();
    custom(&mut wasm, "padding", &vec![0; 16 << 20]);
    wasm
}

pub(crate) fn type_section_of_garbage() -> Vec<u8> {
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    custom(&mut wasm, "component-type:hostile", &[0xff; 200]);
    wasm
}

pub(crate) fn sixty_thousand_functions() -> Vec<u8> {
    honest_with(&"(func (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))".repeat(60_000))
}

pub(crate) fn function_of_a_hundred_thousand_blocks() -> Vec<u8> {
    honest_with(&format!(
        "(func {} (nop) {})",
        "block ".repeat(100_000),
        "end ".repeat(100_000)
    ))
}

pub(crate) fn function_of_fifty_thousand_locals() -> Vec<u8> {
    honest_with(&format!("(func (local {}))", "i64 ".repeat(50_000)))
}

pub(crate) fn jump_table_of_sixty_thousand_targets() -> Vec<u8> {
    honest_with(&format!(
        "(func (param i32) (block $b (br_table {} (local.get 0))))",
        "$b ".repeat(60_000)
    ))
}

pub(crate) fn function_that_joins_everything() -> Vec<u8> {
    // Each local depends on each before it, around a loop: what allocates registers has its worst day.
    let sums: String = (1..400)
        .map(|n| format!("(local.set {n} (i64.add (local.get {}) (local.get {})))", n - 1, n / 2))
        .collect();
    honest_with(&format!(
        "(func (param i64) (local {}) (loop $l {sums} (br_if $l (i32.wrap_i64 (local.get 399)))))",
        "i64 ".repeat(399)
    ))
}
