//! Interface `recall`, answered from derived state.

use wasmtime::component::Resource;

use crate::{
    QuipuCtxView, Reader, Refusal,
    bindings::agent::quipu::memory::recall::{self, Budget, Context, FactAnswer, Query, SearchAnswer, Trail},
};

impl recall::Host for QuipuCtxView<'_> {
    async fn facts(&mut self, memory: Vec<Resource<Reader>>, query: Query) -> Result<FactAnswer, Refusal> {
        let readers = self.readers(&memory)?;
        self.ctx.called("recall.facts", (scopes(&readers), &query))?;
        let facts = self.ctx.facts(&readers, query).await;
        self.ctx.answered(facts).await
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
