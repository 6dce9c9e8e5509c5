use wasmtime::{Store, UpdateDeadline, component::InstancePre};

use crate::{
    AgentComponent, Error, ErrorKind, Outcome, QuipuCtxView, Result, RunReport, bindings, ctx::in_time, run::Stop,
};

/// An agent that is linked and ready to run in the application's own stores.
pub struct AgentPre<T: 'static> {
    component: AgentComponent,
    pre: bindings::agent::AgentPre<T>,
    view: fn(&mut T) -> QuipuCtxView<'_>,
}

impl<T: Send + 'static> AgentPre<T> {
    /// `pre` must be of `component`, whose digest and bytes are recorded with each run; `view` as for
    /// [`add_to_linker`](crate::add_to_linker).
    pub fn new(component: &AgentComponent, pre: InstancePre<T>, view: fn(&mut T) -> QuipuCtxView<'_>) -> Result<Self> {
        let pre = bindings::agent::AgentPre::new(pre).map_err(|error| {
            Error::new(
                ErrorKind::Component,
                format!("the component's `handle` is not that of quipu:memory: {error:#}"),
            )
        })?;
        Ok(Self {
            component: component.clone(),
            pre,
            view,
        })
    }

    /// One run, in a fresh store whose data holds a fresh [`QuipuCtx`](crate::QuipuCtx); drop the store afterwards.
    ///
    /// The inner result is the guest's answer. The outer error is a trap, an exceeded limit or a passed deadline;
    /// that end of the run is recorded too. Sets the store's limiter, host-call fuel, handle limit and epoch
    /// deadline to the run's limits. The deadline needs an engine with `epoch_interruption` and a
    /// [`Ticker`](crate::Ticker).
    ///
    /// A caller that drops the future kills the run, and the ledger then shows it without an end.
    pub async fn handle(&self, store: &mut Store<T>, input: &str) -> wasmtime::Result<Result<String, String>> {
        match self.run(store, input).await?.outcome {
            Outcome::Ok(output) => Ok(Ok(output)),
            Outcome::Failed(error) => Ok(Err(error)),
            Outcome::Trapped(message) => Err(wasmtime::Error::msg(message)),
            Outcome::TimedOut => Err(wasmtime::Error::new(Stop::Deadline)),
        }
    }

    /// The same with a report. The error is a run that did not begin.
    pub async fn run(&self, store: &mut Store<T>, input: &str) -> Result<RunReport> {
        let (run, readers) = (self.view)(store.data_mut()).begin(&self.component, input).await?;
        limit(store, self.view);
        let answer = match self.pre.instantiate_async(&mut *store).await {
            Ok(agent) => agent.call_handle(&mut *store, &run, &readers, input).await,
            Err(error) => Err(error),
        };
        let outcome = match answer {
            Ok(Ok(output)) => Outcome::Ok(output),
            Ok(Err(error)) => Outcome::Failed(error),
            Err(error) => Outcome::of_trap(&error),
        };
        Ok((self.view)(store.data_mut()).finish(outcome).await)
    }
}

/// Within a tick of the deadline the guest is stopped; before it, it lets others have their turn at every tick.
pub(crate) fn limit<T: Send + 'static>(store: &mut Store<T>, view: fn(&mut T) -> QuipuCtxView<'_>) {
    let ctx = view(store.data_mut()).ctx;
    let (deadline, halt) = (ctx.deadline, ctx.halt.clone());
    let (host_call_bytes, handles) = (ctx.limits.host_call_bytes, ctx.limits.handles);
    store.limiter(move |data| &mut view(data).ctx.limiter);
    store.set_hostcall_fuel(host_call_bytes);
    // Each handle that a guest holds may be lent to the host in the same call.
    store.set_max_component_handles(handles.saturating_mul(2));
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        in_time(deadline, &halt)?;
        // Tokio's own yield lets timers and disks have their turn too, and not only other tasks.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
}
