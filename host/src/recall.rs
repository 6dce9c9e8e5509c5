//! Interface `recall`, answered from derived state; `facts` is not answered yet.

use wasmtime::component::Resource;

use crate::{
    QuipuCtxView, Reader, Refusal,
    bindings::agent::quipu::memory::{
        recall::{self, Budget, Context, FactAnswer, Query, SearchAnswer, Trail},
        types::ErrorKind,
    },
};

impl recall::Host for QuipuCtxView<'_> {
    async fn facts(&mut self, memory: Vec<Resource<Reader>>, query: Query) -> Result<FactAnswer, Refusal> {
        let readers = self.readers(&memory)?;
        self.ctx.called("recall.facts", (scopes(&readers), &query))?;
        self.ctx.answered(Err(not_yet("facts"))).await
    }

    async fn search(&mut self, memory: Vec<Resource<Reader>>, query: Query) -> Result<SearchAnswer, Refusal> {
        let readers = self.readers(&memory)?;
        self.ctx.called("recall.search", (scopes(&readers), &query))?;
        let answer = self.ctx.search(&readers, query).await;
        self.ctx.answered(answer).await
    }

    async fn why(&mut self, memory: Vec<Resource<Reader>>, id: String) -> Result<Trail, Refusal> {
        let readers = self.readers(&memory)?;
        self.ctx.called("recall.why", (scopes(&readers), &id))?;
        let trail = self.ctx.why(&readers, &id).await;
        self.ctx.answered(trail).await
    }

    async fn impact(&mut self, memory: Vec<Resource<Reader>>, id: String) -> Result<Trail, Refusal> {
        let readers = self.readers(&memory)?;
        self.ctx.called("recall.impact", (scopes(&readers), &id))?;
        let trail = self.ctx.impact(&readers, &id).await;
        self.ctx.answered(trail).await
    }

    async fn compose(
        &mut self,
        memory: Vec<Resource<Reader>>,
        query: Query,
        budget: Budget,
    ) -> Result<Context, Refusal> {
        let readers = self.readers(&memory)?;
        self.ctx.called("recall.compose", (scopes(&readers), &query, &budget))?;
        let context = self.ctx.compose(&readers, query, budget).await;
        self.ctx.answered(context).await
    }
}

impl QuipuCtxView<'_> {
    fn readers(&self, handles: &[Resource<Reader>]) -> Result<Vec<Reader>, Refusal> {
        handles
            .iter()
            .map(|handle| Ok(self.table.get(handle)?.clone()))
            .collect()
    }
}

fn scopes(readers: &[Reader]) -> Vec<&str> {
    readers.iter().map(|reader| reader.scope.as_str()).collect()
}

fn not_yet(function: &str) -> Refusal {
    let message =
        format!("this host does not answer recall.{function} yet; search, why, impact, compose and the readers answer");
    Refusal::new(ErrorKind::Unavailable, message)
}
