//! The encodings that are undone, to make texts with.

use std::fmt::Write;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

/// A name, and what writes a token so: in one entry or in several.
pub(crate) type Encoding = (&'static str, fn(&str) -> Vec<String>);

pub(crate) const ENCODINGS: [Encoding; 11] = [
    ("base64", |token| vec![STANDARD.encode(token)]),
    ("base64url without padding", |token| vec![URL_SAFE_NO_PAD.encode(token)]),
    ("base64 twice", |token| vec![STANDARD.encode(STANDARD.encode(token))]),
    ("hexadecimal", |token| each(token, |out, b| write!(out, "{b:02x}"))),
    ("percent", |token| each(token, |out, b| write!(out, "%{b:02X}"))),
    ("\\u escapes", |token| each(token, |out, b| write!(out, "\\u{b:04x}"))),
    ("HTML entities", |token| each(token, |out, b| write!(out, "&#{b};"))),
    ("zero-width characters between", |token| {
        each(token, |out, b| write!(out, "{}\u{200b}", char::from(b)))
    }),
    ("spaced and full width", |token| {
        each(token, |out, b| write!(out, "{} ", wide(b)))
    }),
    ("broken into lines", |token| {
        let lines: Vec<_> = token.as_bytes().chunks(12).map(String::from_utf8_lossy).collect();
        vec![lines.join("\n    ")]
    }),
    ("split over two entries", |token| {
        let (one, other) = token.split_at(token.floor_char_boundary(token.len() / 2));
        vec![one.to_owned(), other.to_owned()]
    }),
];

fn each(token: &str, write: fn(&mut String, u8) -> std::fmt::Result) -> Vec<String> {
    let mut out = String::new();
    for byte in token.bytes() {
        write(&mut out, byte).unwrap();
    }
    vec![out.trim_end().to_owned()]
}

fn wide(byte: u8) -> char {
    let wide = (0x21..0x7f)
        .contains(&byte)
        .then(|| char::from_u32(u32::from(byte) + 0xfee0));
    wide.flatten().unwrap_or(char::from(byte))
}
