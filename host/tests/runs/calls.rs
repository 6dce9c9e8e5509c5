//! Host calls one by one, without a guest: what it takes two runs at just the right moment to see.

use quipu_format::{EventId, InclusionProof};
use quipu_host::{
    AgentComponent, Grant, Limits, Outcome, QuipuCtx, QuipuCtxView, Reader, Refusal,
    bindings::agent::quipu::memory::{
        append::Host as _,
        read::HostReader as _,
        types::{Draft, Page, Receipt},
    },
};
use serde_json::json;
use wasmtime::component::{Resource, ResourceTable};

use crate::guests::{House, grant, guest, limits, scope};

/// A run whose calls the test makes itself.
struct Calls {
    ctx: QuipuCtx,
    table: ResourceTable,
    readers: Vec<Resource<Reader>>,
}

impl Calls {
    async fn begin(house: &House, grant: &Grant) -> Self {
        Self::within(house, grant, &Limits::default()).await
    }

    async fn within(house: &House, grant: &Grant, limits: &Limits) -> Self {
        let mut ctx = QuipuCtx::new(house.runtime.memory(), grant, limits).unwrap();
        let mut table = ResourceTable::new();
        let component = AgentComponent::new(&guest("echo")).unwrap();
        let mut view = QuipuCtxView {
            ctx: &mut ctx,
            table: &mut table,
        };
        let (_, readers) = view.begin(&component, "").await.unwrap();
        Self { ctx, table, readers }
    }

    fn view(&mut self) -> QuipuCtxView<'_> {
        QuipuCtxView {
            ctx: &mut self.ctx,
            table: &mut self.table,
        }
    }

    /// The handle of that number in the grant, home being 0.
    fn handle(&self, nth: usize) -> Resource<Reader> {
        Resource::new_borrow(self.readers[nth].rep())
    }

    async fn append(&mut self, change: impl FnOnce(&mut Draft)) -> Result<Receipt, Refusal> {
        let mut draft = Draft {
            kind: "memory.write".into(),
            payload: r#"{"text":"x"}"#.into(),
            source: None,
            evidence: Vec::new(),
            supersedes: Vec::new(),
            scope: None,
            key: None,
        };
        change(&mut draft);
        self.view().append(draft).await
    }

    async fn cite(&mut self, id: EventId) -> Result<Receipt, Refusal> {
        self.append(|draft| draft.evidence.push(id.to_string())).await
    }

    async fn read(&mut self, start: Option<u64>, limit: u32) -> Page {
        let home = self.handle(0);
        self.view().read(home, start, limit).await.unwrap()
    }

    async fn read_back(&mut self, end: Option<u64>, limit: u32) -> Page {
        let home = self.handle(0);
        self.view().read_back(home, end, limit).await.unwrap()
    }

    async fn get(&mut self, id: EventId) -> Result<u64, Refusal> {
        let home = self.handle(0);
        Ok(self.view().get(home, id.to_string()).await?.seq)
    }

    async fn refresh(&mut self) -> u64 {
        let home = self.handle(0);
        self.view().refresh(home).await.unwrap()
    }
}

fn seqs(page: &Page) -> Vec<u64> {
    page.events.iter().map(|event| event.seq).collect()
}

#[track_caller]
fn is_refused<T: std::fmt::Debug>(result: Result<T, Refusal>, kind: &str) {
    let refusal = format!("{:?}", result.unwrap_err());
    assert!(refusal.contains(kind), "{refusal}");
}

#[tokio::test]
async fn what_came_after_the_pin_is_unseen_until_a_refresh() {
    let house = House::new();
    let before = house.seed("home", "user:ann", "{}");
    let mut run = Calls::begin(&house, &grant()).await;
    let after = house.seed("home", "user:ann", "{}");

    run.cite(before.id).await.unwrap();
    is_refused(run.cite(after.id).await, "NotFound");
    is_refused(run.get(after.id).await, "NotFound");
    is_refused(
        run.append(|draft| draft.supersedes.push(after.id.to_string())).await,
        "NotFound",
    );
    assert!(!seqs(&run.read(None, 10).await).contains(&after.seq));
    assert!(!seqs(&run.read_back(None, 10).await).contains(&after.seq));

    assert!(run.refresh().await > after.seq);
    run.cite(after.id).await.unwrap();
    assert_eq!(run.get(after.id).await.unwrap(), after.seq);
    assert!(seqs(&run.read(None, 10).await).contains(&after.seq));
}

#[tokio::test]
async fn a_runs_own_entries_are_seen_at_once_and_in_their_place() {
    let house = House::new();
    let first = house.seed("home", "user:ann", "{}").seq;
    let mut run = Calls::begin(&house, &grant()).await;
    let own: Vec<u64> = {
        let mut own = Vec::new();
        for _ in 0..3 {
            own.push(run.append(|_| ()).await.unwrap().seq);
            house.seed("home", "user:ann", "{}"); // another's, in between
        }
        own
    };
    let all = [&[first][..], &own].concat();
    let reversed: Vec<u64> = all.iter().rev().copied().collect();
    assert_eq!(seqs(&run.read(None, 10).await), all);
    assert_eq!(seqs(&run.read_back(None, 10).await), reversed);
    for limit in 1..=5 {
        let (mut forward, mut next) = (Vec::new(), None);
        loop {
            let page = run.read(next, limit).await;
            assert!(page.events.len() <= limit as usize);
            forward.extend(seqs(&page));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(forward, all);
        let (mut back, mut next) = (Vec::new(), None);
        loop {
            let page = run.read_back(next, limit).await;
            back.extend(seqs(&page));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(back, reversed);
    }
    assert_eq!(seqs(&run.read(Some(own[1]), 1).await), [own[1]]);
    assert_eq!(seqs(&run.read_back(Some(own[1]), 1).await), [own[0]]);
}

#[tokio::test]
async fn a_page_holds_at_most_a_thousand_events() {
    let house = House::new();
    house.seed_all("home", "user:ann", (0..1_000).map(|n| json!({ "n": n }).to_string()));
    house.seed("home", "user:ann", "{}");
    let mut run = Calls::begin(&house, &grant()).await;
    for limit in [1_000, 1_001, u32::MAX] {
        let page = run.read(None, limit).await;
        assert_eq!((page.events.len(), page.next.is_some()), (1_000, true), "limit {limit}");
        let page = run.read(page.next, limit).await;
        assert_eq!((page.events.len(), page.next), (1, None));
        assert_eq!(run.read_back(None, limit).await.events.len(), 1_000);
    }
}

#[tokio::test]
async fn a_repeated_receipt_may_be_cited_though_it_lies_past_the_pin() {
    let house = House::new();
    let mut late = Calls::begin(&house, &grant()).await;
    let mut early = Calls::begin(&house, &grant()).await;
    let with_key = |draft: &mut Draft| draft.key = Some("k".into());
    let receipt = early.append(with_key).await.unwrap();
    let id: EventId = receipt.id.parse().unwrap();
    is_refused(late.cite(id).await, "NotFound");
    assert_eq!(late.append(with_key).await.unwrap().id, receipt.id);
    late.cite(id).await.unwrap();
}

#[tokio::test]
async fn a_handle_shows_its_own_scope_alone() {
    let house = House::new();
    let other = house.seed("other", "user:ann", &json!({"text": "here"}).to_string());
    let mut grant = grant();
    grant.read.push(scope("other"));
    let mut run = Calls::begin(&house, &grant).await;
    is_refused(run.get(other.id).await, "NotFound");
    let handle = run.handle(1);
    assert_eq!(
        run.view().get(handle, other.id.to_string()).await.unwrap().seq,
        other.seq
    );
    // As evidence it is good: the run sees it, through another handle.
    run.cite(other.id).await.unwrap();
}

#[tokio::test]
async fn a_proof_is_there_at_once_and_is_checked_without_the_host() {
    let house = House::new();
    let receipt = house.seed("home", "user:ann", "{}");
    let mut run = Calls::begin(&house, &grant()).await;
    let newest = run.append(|_| ()).await.unwrap();
    let key = house.ledger.reader().verifier_key();
    for (id, seq, hash) in [
        (receipt.id.to_string(), receipt.seq, receipt.hash),
        (newest.id, newest.seq, newest.hash.parse().unwrap()),
    ] {
        let handle = run.handle(0);
        let proof: InclusionProof = run.view().prove(handle, id).await.unwrap().parse().unwrap();
        assert!(proof.verify(&hash, key).unwrap().size > seq);
        assert!(proof.verify(&quipu_format::Hash::of_nothing(), key).is_err());
    }
    // Whose event is not seen is not proved either.
    let other = house.seed("other", "user:ann", "{}");
    let handle = run.handle(0);
    is_refused(run.view().prove(handle, other.id.to_string()).await, "NotFound");
}

#[tokio::test]
async fn many_answers_are_recorded_as_the_run_goes() {
    let house = House::new();
    let mut run = Calls::begin(&house, &grant()).await;
    let nobody: EventId = "evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse().unwrap();
    for _ in 0..2_000 {
        is_refused(run.get(nobody).await, "NotFound");
    }
    let events = house.events_of(run.ctx.run());
    let told = events
        .iter()
        .filter(|event| event.envelope.kind.as_str() == "quipu.run.told");
    let bytes: Vec<usize> = told.map(|event| event.payload().unwrap().len()).collect();
    assert!(
        bytes.len() >= 2 && bytes.iter().all(|bytes| (60_000..130_000).contains(bytes)),
        "{bytes:?}"
    );

    // What still waits is recorded with the end, and nothing twice or out of order.
    run.view().finish(Outcome::Ok("done".into())).await;
    let calls: Vec<u64> = house
        .told(run.ctx.run())
        .iter()
        .map(|told| told["call"].as_u64().unwrap())
        .collect();
    assert_eq!(calls, (1..=2_000).collect::<Vec<_>>());
    is_refused(run.append(|_| ()).await, "serves one run");
}

#[tokio::test]
async fn a_host_call_after_the_deadline_does_nothing() {
    let house = House::new();
    let mut run = Calls::within(&house, &grant(), &limits(|l| l.deadline_ms = 0)).await;
    let head = house.ledger.reader().head();
    is_refused(run.append(|_| ()).await, "deadline");
    assert_eq!(house.ledger.reader().head(), head);
}
