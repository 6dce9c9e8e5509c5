//! Imports `quipu:memory/admin`, which does not exist, and would rewrite and delete the event that its input names.
//! No host may instantiate it.

mod bindings {
    #![allow(clippy::all)]
    wit_bindgen::generate!({ path: "wit", world: "administrator" });
}

use bindings::{Guest, Reader, RunInfo, quipu::memory::admin};

struct Administrator;

bindings::export!(Administrator with_types_in bindings);

impl Guest for Administrator {
    fn handle(_run: RunInfo, _memory: Vec<Reader>, input: String) -> Result<String, String> {
        let scopes = admin::list_scopes();
        for scope in &scopes {
            admin::open(scope)?;
        }
        admin::rewrite(&input, r#"{"text":"this never happened"}"#)?;
        admin::delete(&input)?;
        admin::truncate(scopes.first().map_or("", String::as_str), 0)?;
        Ok("history has been rewritten".into())
    }
}
