use wasmtime::component::{HasData, Linker};

use crate::{
    QuipuCtxView, Refusal,
    bindings::agent::quipu::memory::{append, read, recall, types},
};

/// Adds the imports of world `agent`, and no others, to the application's linker. `view` borrows the run's context
/// and the handle table from the store's data.
///
/// Beside it an application may add imports of its own. Leave unknown imports undefined: a component that wants
/// something that is not offered must not start.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> QuipuCtxView<'_>,
) -> wasmtime::Result<()> {
    add_observer_to_linker(linker, view)?;
    append::add_to_linker::<T, HasQuipu>(linker, view)
}

/// Adds the imports of world `observer`: all but `append`.
pub fn add_observer_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> QuipuCtxView<'_>,
) -> wasmtime::Result<()> {
    add_reading_to_linker(linker, view)?;
    recall::add_to_linker::<T, HasQuipu>(linker, view)
}

/// Adds the imports of world `compactor`: `types` and `read`.
pub(crate) fn add_reading_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> QuipuCtxView<'_>,
) -> wasmtime::Result<()> {
    types::add_to_linker::<T, HasQuipu>(linker, view)?;
    read::add_to_linker::<T, HasQuipu>(linker, view)
}

struct HasQuipu;

impl HasData for HasQuipu {
    type Data<'a> = QuipuCtxView<'a>;
}

impl types::Host for QuipuCtxView<'_> {
    fn convert_error(&mut self, refusal: Refusal) -> wasmtime::Result<types::Error> {
        refusal.into_wit()
    }
}
