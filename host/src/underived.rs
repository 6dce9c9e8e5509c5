//! Stands for `derived.rs` where the feature `recall` is off: nothing is derived, and `recall` says so.

use crate::{
    QuipuCtx, Reader, Refusal, Result,
    bindings::agent::quipu::memory::{
        recall::{Budget, Context, FactAnswer, Query, SearchAnswer, Trail},
        types::ErrorKind,
    },
};

impl QuipuCtx {
    pub(crate) async fn search(&mut self, _readers: &[Reader], _query: Query) -> Result<SearchAnswer, Refusal> {
        Err(unavailable())
    }

    pub(crate) async fn facts(&mut self, _readers: &[Reader], _query: Query) -> Result<FactAnswer, Refusal> {
        Err(unavailable())
    }

    pub(crate) async fn compose(
        &mut self,
        _readers: &[Reader],
        _query: Query,
        _budget: Budget,
    ) -> Result<Context, Refusal> {
        Err(unavailable())
    }

    pub(crate) async fn impact(&mut self, _readers: &[Reader], _id: &str) -> Result<Trail, Refusal> {
        Err(unavailable())
    }

    pub(crate) async fn why(&mut self, _readers: &[Reader], _id: &str) -> Result<Trail, Refusal> {
        Err(unavailable())
    }
}

fn unavailable() -> Refusal {
    Refusal::new(
        ErrorKind::Unavailable,
        "this host derives nothing: read through the readers instead",
    )
}
