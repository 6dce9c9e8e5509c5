//! A projection that does as the events say. It keeps the texts that it was fed, and `query` gives them, one a line.
//!
//! A text `spin` in an event has it compute for ever, `hog` take memory for ever, `trap` trap, `refuse` refuse the events
//! it comes with. Its state is `forgetful` if one of them says so: it then refuses to restore it. A query `spin` spins.

use quipu_guest_projection::{Event, Projection};
use serde_json::Value;

quipu_guest_projection::projection!(Texts);

#[derive(Default, Clone)]
struct Texts(Vec<String>);

impl Projection for Texts {
    fn apply(&mut self, events: &[Event]) -> Result<(), String> {
        for event in events {
            let payload = event.payload.as_deref().unwrap_or(r#"{"text":"erased"}"#);
            let payload: Value = serde_json::from_str(payload).map_err(|error| error.to_string())?;
            let text = payload["text"].as_str().unwrap_or_default();
            match text {
                "spin" => spin(),
                "hog" => drop(std::iter::repeat_with(|| vec![1_u8; 1 << 20]).collect::<Vec<_>>()),
                "trap" => panic!(),
                "refuse" => return Err("it was told to".into()),
                _ => self.0.push(text.to_owned()),
            }
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    fn restore(snapshot: &[u8]) -> Result<Self, String> {
        let texts: Vec<String> = serde_json::from_slice(snapshot).map_err(|error| error.to_string())?;
        match texts.iter().any(|text| text == "forgetful") {
            true => Err("it forgets".into()),
            false => Ok(Self(texts)),
        }
    }

    fn query(&self, input: &str) -> Result<String, String> {
        match input {
            "spin" => spin(),
            "fail" => return Err("it was asked to".into()),
            _ => {}
        }
        Ok(self.0.join("\n"))
    }
}

fn spin() {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n + 1);
    }
}
