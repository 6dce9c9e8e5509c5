//! A projection that would append as well: no host takes it for one.

use quipu_guest::Draft;
use quipu_guest_projection::{Event, Projection};

quipu_guest_projection::projection!(Meddler);

#[derive(Default, Clone)]
struct Meddler;

impl Projection for Meddler {
    fn apply(&mut self, _events: &[Event]) -> Result<(), String> {
        let draft = Draft::new("memory.write").text("meddled").append();
        draft.map(drop).map_err(|error| error.to_string())
    }

    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(_snapshot: &[u8]) -> Result<Self, String> {
        Ok(Self)
    }

    fn query(&self, _input: &str) -> Result<String, String> {
        Ok(String::new())
    }
}
