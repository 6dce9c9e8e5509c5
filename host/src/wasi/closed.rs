//! The parts of WASI with nothing behind them: files, network, arguments, variables, terminals.

use std::sync::Arc;

use wasmtime::{
    Engine, StoreContextMut,
    component::{
        Component, Linker, Resource, ResourceAny, ResourceType, Type, Val,
        types::{ComponentFunc, ComponentItem},
    },
};

use super::interface;

/// What stands for each thing that does not exist: a descriptor, a socket, a network.
struct Nothing;

/// Names of errors that say no, of one package or another.
const DENIALS: [&str; 4] = ["access-denied", "access", "not-permitted", "HTTP-request-denied"];

/// Whether it is closed here.
pub(super) fn is_closed(import: &str) -> bool {
    match interface(import) {
        Some(("filesystem" | "sockets" | "http", _)) => true,
        Some(("cli", name)) => name == "environment" || name.starts_with("terminal-"),
        _ => false,
    }
}

/// Closes what the component imports of these: each function says that access is denied, where it can say that, or that
/// there is none, or ends the run.
pub(crate) fn close<T: Send + 'static>(
    linker: &mut Linker<T>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    let ty = component.component_type();
    let mut known = Vec::<ResourceType>::new();
    for (import, item) in ty.imports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            continue;
        };
        let closed = is_closed(import);
        let mut link = match closed {
            true => Some(linker.instance(import)?),
            false => None,
        };
        for (name, item) in instance.exports(engine) {
            match item.ty {
                // One that an interface before it has, is the same here.
                ComponentItem::Resource(resource) if !known.contains(&resource) => {
                    known.push(resource);
                    if let Some(link) = &mut link {
                        link.resource(name, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
                    }
                }
                ComponentItem::ComponentFunc(_) => {
                    if let Some(link) = &mut link {
                        let called: Arc<str> = format!("{import} {name}").into();
                        link.func_new_async(name, move |store, ty, given, results| {
                            let called = Arc::clone(&called);
                            Box::new(async move { deny(store, &ty, given, results, &called).await })
                        })?;
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

async fn deny<T: Send + 'static>(
    mut store: StoreContextMut<'_, T>,
    ty: &ComponentFunc,
    given: &[Val],
    results: &mut [Val],
    called: &str,
) -> wasmtime::Result<()> {
    for given in given {
        if let Val::Resource(lent) = given {
            lent.resource_drop_async(&mut store).await?;
        }
    }
    let (Some(result), Some(ty)) = (results.first_mut(), ty.results().next()) else {
        return Ok(());
    };
    let no = || wasmtime::Error::msg(format!("it called {called}, behind which there is nothing"));
    *result = match ty {
        Type::List(_) => Val::List(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Own(_) => Val::Resource(ResourceAny::try_from_resource(Resource::<Nothing>::new_own(0), store)?),
        Type::Result(result) => match result.err() {
            Some(Type::Enum(error)) => {
                let name = DENIALS
                    .into_iter()
                    .find(|denial| error.names().any(|name| name == *denial));
                Val::Result(Err(Some(Box::new(Val::Enum(name.ok_or_else(no)?.to_owned())))))
            }
            Some(Type::Variant(error)) => {
                let mut cases = error.cases().filter(|case| case.ty.is_none()).map(|case| case.name);
                let name = cases.find(|name| DENIALS.contains(name)).ok_or_else(no)?;
                Val::Result(Err(Some(Box::new(Val::Variant(name.to_owned(), None)))))
            }
            None => Val::Result(Err(None)),
            Some(_) => return Err(no()),
        },
        _ => return Err(no()),
    };
    Ok(())
}
