//! A body and its payload: what parses is written in a way that parses to the same, and a payload keeps its bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quipu_format::Body;

fuzz_target!(|bytes: &[u8]| {
    // What is large or says a thing twice may be refused when it is written again.
    if let Ok(body) = Body::parse(bytes)
        && let Ok(written) = body.to_bytes()
    {
        assert_eq!(Body::parse(&written).expect("it was written"), body);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(body) = Body::new(None, text) {
        assert_eq!(body.payload.get(), text.trim());
        let written = body.to_bytes().ok();
        written
            .into_iter()
            .for_each(|written| assert_eq!(Body::parse(&written).expect("it was written"), body));
    }
});
