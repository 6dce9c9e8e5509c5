//! Interface `append`.

use quipu_format::{Body, EventId, limits};
use quipu_log::Draft;

use crate::{
    QuipuCtx, QuipuCtxView, Refusal, SecretsPolicy,
    bindings::agent::quipu::memory::{
        append,
        types::{self, ErrorKind, Receipt},
    },
    convert,
    ctx::Own,
    read::{envelope, is_shown},
    record::Answer,
    refusal::NOT_FOUND,
};

/// What idempotency keys of the host begin with.
const HOST_KEYS: &str = "quipu:";

impl append::Host for QuipuCtxView<'_> {
    async fn append(&mut self, draft: types::Draft) -> Result<Receipt, Refusal> {
        self.ctx.called("append.append", (&draft,))?;
        let receipt = self.ctx.append_one(draft).await;
        self.ctx.answered(receipt).await
    }

    async fn append_all(&mut self, drafts: Vec<types::Draft>) -> Result<Vec<Receipt>, Refusal> {
        self.ctx.called("append.append-all", (&drafts,))?;
        let receipts = self.ctx.append_batch(drafts).await;
        self.ctx.answered(receipts).await
    }
}

impl QuipuCtx {
    async fn append_one(&mut self, draft: types::Draft) -> Result<Receipt, Refusal> {
        self.check_quota(1)?;
        let draft = self.admit(draft).await?;
        let receipts = self.commit(vec![draft]).await?;
        // One draft, one receipt.
        receipts
            .into_iter()
            .next()
            .ok_or_else(|| Refusal::new(ErrorKind::Unavailable, "the ledger gave no receipt"))
    }

    pub(crate) async fn append_batch(&mut self, drafts: Vec<types::Draft>) -> Result<Vec<Receipt>, Refusal> {
        if drafts.is_empty() {
            return Err(Refusal::new(ErrorKind::Invalid, "append-all needs at least one draft"));
        }
        if drafts.len() > limits::DRAFTS {
            let message = format!("{} drafts; one call takes at most {}", drafts.len(), limits::DRAFTS);
            return Err(Refusal::new(ErrorKind::TooLarge, message));
        }
        self.check_quota(drafts.len())?;
        let mut admitted = Vec::with_capacity(drafts.len());
        for (nth, draft) in drafts.into_iter().enumerate() {
            let draft = self.admit(draft).await;
            admitted.push(draft.map_err(|refusal| refusal.of_draft(nth))?);
        }
        self.commit(admitted).await
    }

    fn check_quota(&self, drafts: usize) -> Result<(), Refusal> {
        let left = self.limits.appends.saturating_sub(self.appends);
        if usize::try_from(left).is_ok_and(|left| drafts > left) {
            let message = format!(
                "a run may append {} entries, and this one has {left} left",
                self.limits.appends
            );
            return Err(Refusal::new(ErrorKind::Quota, message));
        }
        Ok(())
    }

    /// Checks a draft against the grant and the limits, and stamps it. The guest has no part in actor and run.
    async fn admit(&self, draft: types::Draft) -> Result<Draft, Refusal> {
        let scope = self
            .grant
            .append_scope(draft.scope.as_deref())
            .ok_or_else(|| Refusal::new(ErrorKind::Denied, "this run may not append to that scope"))?;
        let kind = self.grant.kind(&draft.kind).ok_or_else(|| {
            Refusal::new(
                ErrorKind::Denied,
                "this run may not append that kind; kinds that begin with quipu. are the host's",
            )
        })?;
        if draft
            .key
            .as_ref()
            .is_some_and(|key| !(1..=limits::KEY_BYTES).contains(&key.len()))
        {
            return Err(Refusal::new(
                ErrorKind::Invalid,
                "an idempotency key has 1 to 128 bytes",
            ));
        }
        // What the host itself appends under its keys in an actor's name cannot be kept from it by a guest of that name.
        if draft.key.as_ref().is_some_and(|key| key.starts_with(HOST_KEYS)) {
            return Err(Refusal::new(
                ErrorKind::Invalid,
                "idempotency keys that begin with quipu: are the host's",
            ));
        }
        let body = body(draft.source, &draft.payload)?;
        let evidence = self.links("evidence", &draft.evidence, true).await?;
        let supersedes = self
            .links("supersedes", &draft.supersedes, self.grant.supersede_others)
            .await?;
        Ok(Draft {
            scope: scope.clone(),
            actor: self.grant.actor.clone(),
            kind: kind.clone(),
            run: Some(self.run),
            body,
            evidence,
            supersedes,
            key: draft.key,
            sys: None,
        })
    }

    /// The events of that name, each of them visible to this run, and its actor's own unless `others` is set.
    async fn links(&self, field: &str, ids: &[String], others: bool) -> Result<Vec<EventId>, Refusal> {
        if ids.len() > limits::LINKS {
            let message = format!("{field} names {} events; at most {} fit", ids.len(), limits::LINKS);
            return Err(Refusal::new(ErrorKind::Invalid, message));
        }
        let mut links = Vec::with_capacity(ids.len());
        for id in ids {
            // There may be hundreds, in each of a thousand drafts.
            tokio::task::consume_budget().await;
            self.in_time()?;
            links.push(self.link(id, others)?);
        }
        Ok(links)
    }

    fn link(&self, id: &str, others: bool) -> Result<EventId, Refusal> {
        let id = convert::event_id(id)?;
        let not_found = || Refusal::new(ErrorKind::NotFound, NOT_FOUND);
        let log = self.log();
        let seq = log.find(id)?.ok_or_else(not_found)?;
        if self.own.contains_key(&seq) {
            return Ok(id);
        }
        if self.heads.values().all(|head| seq >= *head) {
            return Err(not_found());
        }
        let envelope = envelope(log, seq).ok_or_else(not_found)?;
        if !is_shown(&envelope) || self.heads.get(&envelope.scope).is_none_or(|head| seq >= *head) {
            return Err(not_found());
        }
        if !others && envelope.actor != self.grant.actor {
            return Err(Refusal::new(
                ErrorKind::Denied,
                format!("{id} is of another actor, whose entries this run may not supersede"),
            ));
        }
        Ok(id)
    }

    async fn commit(&mut self, drafts: Vec<Draft>) -> Result<Vec<Receipt>, Refusal> {
        let drafts = match self.grant.secrets {
            SecretsPolicy::Handle => self.handled(drafts).await,
            SecretsPolicy::Refuse => drafts,
        };
        let scopes: Vec<_> = drafts.iter().map(|draft| draft.scope.clone()).collect();
        let receipts = self.append_drafts(drafts).await?;
        let mut repeated = Vec::new();
        for (nth, (receipt, scope)) in receipts.iter().zip(scopes).enumerate() {
            if receipt.repeated {
                repeated.push((nth, receipt.id));
            } else {
                self.appends += 1;
            }
            self.own.insert(
                receipt.seq,
                Own {
                    scope,
                    receipt: receipt.clone(),
                },
            );
        }
        if !repeated.is_empty() {
            self.tell(Answer::Repeated(repeated))?;
        }
        Ok(receipts.iter().map(convert::receipt).collect())
    }
}

fn body(source: Option<types::Source>, payload: &str) -> Result<Body, Refusal> {
    if payload.len() > limits::BODY_BYTES {
        let message = format!(
            "the payload has {} bytes; source and payload have at most {}",
            payload.len(),
            limits::BODY_BYTES
        );
        return Err(Refusal::new(ErrorKind::TooLarge, message));
    }
    let source = source.map(convert::draft_source).transpose()?;
    Body::new(source, payload).map_err(|error| Refusal::new(ErrorKind::Invalid, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_does_not_quote_without_end() {
        // The format's message quotes the name, and escapes each of its characters with six.
        let name = "\u{7f}".repeat(255_000);
        let twice = format!(r#"{{"{name}":1,"{name}":2}}"#);
        let extra = |extra| types::Source {
            channel: "c".into(),
            conversation_id: None,
            message_id: None,
            extra: Some(extra),
        };
        for refusal in [
            body(None, &twice).err(),
            body(Some(extra(twice.clone())), &twice).err(),
            body(Some(extra("\u{7f}".repeat(255_000))), "{}").err(),
        ] {
            let refusal = refusal.unwrap();
            let told = refusal.told().unwrap();
            assert_eq!(told.kind, ErrorKind::Invalid);
            assert!(told.message.chars().count() <= 1_000, "{}", told.message.len());
        }
    }
}
