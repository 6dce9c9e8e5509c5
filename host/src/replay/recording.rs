// Long because all that a record says is read, bounded and believed or not in this one place.

//! What the entries of a run say that it takes to execute it again.

use std::collections::BTreeMap;

use quipu_format::{Event, EventId, Hash, Limits, Timestamp};
use quipu_log::LedgerReader;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use crate::{
    Grant, RecordedRun, Result,
    record::{Answer, kind_named},
    replay::{NoReplay, NoReplayKind, erased},
    transcript::Marks,
};

/// The record of a run.
pub(crate) struct Recording {
    pub(crate) run: RecordedRun,
    pub(crate) component: Hash,
    pub(crate) world: String,
    pub(crate) head: u64,
    pub(crate) grant: Grant,
    pub(crate) limits: Limits,
    #[cfg_attr(not(feature = "guard"), expect(dead_code, reason = "no handle is made"))]
    pub(crate) has_guard: bool,
    pub(crate) input: String,
    /// Of a run that was offered WASI.
    pub(crate) seed: Option<[u8; 32]>,
    /// What it was told, by the number of the call.
    pub(crate) told: BTreeMap<u64, Answer>,
    pub(crate) end: Option<End>,
}

/// How a run ended.
pub(crate) struct End {
    pub(crate) ts: Timestamp,
    pub(crate) outcome: String,
    pub(crate) text: String,
    pub(crate) calls: u64,
    pub(crate) transcript: Hash,
    pub(crate) marks: Option<Marks>,
    /// The text has a handle in a secret's place; the member of the record that it is.
    #[cfg_attr(not(feature = "guard"), expect(dead_code, reason = "no handle is made"))]
    pub(crate) handled: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    component: String,
    world: String,
    head: u64,
    grant: Grant,
    limits: Limits,
    #[serde(default)]
    secret_guard: bool,
}

#[derive(Deserialize)]
struct Given {
    input: String,
    #[serde(default)]
    wasi: Option<Wasi>,
    #[serde(default)]
    handled: Vec<String>,
}

#[derive(Deserialize)]
struct Wasi {
    seed: String,
}

#[derive(Deserialize)]
struct Told {
    told: Vec<BTreeMap<String, Box<RawValue>>>,
}

#[derive(Deserialize)]
struct Ended {
    outcome: String,
    calls: u64,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    output: Option<String>,
    #[serde(default)]
    error: Option<String>,
    transcript: Hash,
    #[serde(default)]
    marks: Option<Marks>,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    handled: Vec<String>,
}

/// An answer of this module: why a run cannot be replayed is no error.
type Read<T> = Result<Result<T, NoReplay>>;

/// Goes on with what is there, or returns why it is not.
macro_rules! there {
    ($read:expr) => {
        match $read? {
            Ok(there) => there,
            Err(why) => return Ok(Err(why)),
        }
    };
}

impl Recording {
    pub(crate) fn read(log: &LedgerReader, run: &RecordedRun) -> Read<Self> {
        if let Some(seq) = run.damaged {
            let what = format!("entry {seq} cannot be read, and may be one of the run's: run `quipu verify`");
            return Ok(Err(NoReplay::new(NoReplayKind::Damaged, what)));
        }
        let first = there!(entry(log, run.seq));
        let sys = first.envelope.sys.as_ref().map_or(&Value::Null, |sys| &sys["run"]);
        let start = match Start::deserialize(sys) {
            Ok(start) => start,
            Err(why) => {
                return Ok(Err(incomplete(&format!(
                    "its first entry says too little, or what this release does not know: {why}"
                ))));
            }
        };
        if let Some(why) = too_much(&start.limits) {
            return Ok(Err(why));
        }
        let given: Given = there!(said(&first, "input"));
        if given.handled.iter().any(|member| member == "input") {
            let what = "its input had a secret in it, and a handle is recorded in the secret's place: what the agent was given \
                        is not known";
            return Ok(Err(NoReplay::new(NoReplayKind::Incomplete, what)));
        }
        let Some(component) = Hash::from_hex(&start.component) else {
            return Ok(Err(incomplete("its first entry names no component")));
        };
        let seed = given.wasi.map(|wasi| Hash::from_hex(&wasi.seed).map(|hash| hash.0));
        if seed == Some(None) {
            return Ok(Err(incomplete("the seed of its random bytes is none")));
        }
        let mut told = BTreeMap::new();
        for seq in &run.told {
            let Told { told: answers } = there!(said(&there!(entry(log, *seq)), "what it was told"));
            for answer in answers {
                match parse(&answer) {
                    // Where it struck is in the end too.
                    Some((_, Answer::Deadline)) => {}
                    Some((call, answer)) => drop(told.insert(call, answer)),
                    None => {
                        return Ok(Err(incomplete(&format!(
                            "entry {seq} tells what this release does not know"
                        ))));
                    }
                }
            }
        }
        let end = match run.end {
            None => None,
            Some(seq) => Some(there!(End::read(&there!(entry(log, seq))))),
        };
        Ok(Ok(Self {
            run: run.clone(),
            component,
            world: start.world,
            head: start.head,
            grant: start.grant,
            limits: start.limits,
            has_guard: start.secret_guard,
            input: given.input,
            seed: seed.flatten(),
            told,
            end,
        }))
    }
}

/// How many times a run's limits by default those of a recorded one may be: what is recorded is not taken for granted.
const LARGER: u8 = 4;

/// The largest limits that a run is executed again within.
pub(crate) fn most() -> Limits {
    let mut most = Limits::default();
    let times = usize::from(LARGER);
    most.memory_bytes *= times;
    most.deadline_ms *= u64::from(LARGER);
    most.host_call_bytes *= times;
    most.handles *= times;
    most.told_bytes *= times;
    most.input_bytes *= times;
    most
}

/// A limit that is larger than a run is executed again within: with a smaller one it might do something else. A deadline is
/// none of these, for what is late is told apart; nor are appends, which are recorded one by one.
fn too_much(limits: &Limits) -> Option<NoReplay> {
    let most = most();
    let all = [
        ("bytes of memory", limits.memory_bytes, most.memory_bytes),
        ("bytes in one host call", limits.host_call_bytes, most.host_call_bytes),
        ("handles", limits.handles, most.handles),
        ("bytes of recorded answers", limits.told_bytes, most.told_bytes),
        ("bytes of input", limits.input_bytes, most.input_bytes),
    ];
    let (what, recorded, most) = all.into_iter().find(|(_, recorded, most)| recorded > most)?;
    Some(incomplete(&format!(
        "it is recorded to have been allowed {recorded} {what}, and a run is executed again with at most {most}"
    )))
}

impl End {
    fn read(event: &Event) -> Read<Self> {
        let sys = event.envelope.sys.as_ref().map_or(&Value::Null, |sys| &sys["end"]);
        let Ok(ended) = Ended::deserialize(sys) else {
            return Ok(Err(incomplete("its end does not say how it ended")));
        };
        let said: Said = there!(said(event, "its end"));
        if let Some(note) = said.note {
            return Ok(Err(incomplete(&note)));
        }
        let member = if said.output.is_some() { "output" } else { "error" };
        Ok(Ok(Self {
            ts: event.envelope.ts,
            outcome: ended.outcome,
            calls: ended.calls,
            transcript: said.transcript,
            marks: said.marks,
            handled: said.handled.iter().any(|handled| handled == member).then_some(member),
            text: said.output.or(said.error).unwrap_or_default(),
        }))
    }

    /// It ended where the machine, and not the guest, had it end: another time it may end later.
    pub(crate) fn is_by_chance(&self) -> bool {
        self.outcome == "deadline" || self.is_by_stack() || self.is_by_host()
    }

    pub(crate) fn is_by_stack(&self) -> bool {
        self.trapped().is_some_and(|why| why.ends_with("call stack exhausted"))
    }

    fn is_by_host(&self) -> bool {
        self.trapped()
            .is_some_and(|why| why == "the host ended the run" || why.starts_with("the host could not record the run"))
    }

    /// Why it trapped: the first line. Names of functions stand behind it, which are the guest's.
    fn trapped(&self) -> Option<&str> {
        self.text.lines().next().filter(|_| self.outcome == "trapped")
    }
}

/// The entry there, unless it was erased.
fn entry(log: &LedgerReader, seq: u64) -> Read<Event> {
    match log.event(seq) {
        Err(error) if error.kind() == quipu_log::ErrorKind::Corrupt => {
            Ok(Err(NoReplay::new(NoReplayKind::Damaged, error.to_string())))
        }
        event => Ok(match event? {
            None => Err(incomplete(&format!("there is no entry {seq}"))),
            Some(event) if event.payload().is_none() => Err(erased::own(event.envelope.id)),
            Some(event) => Ok(event),
        }),
    }
}

/// What an entry's payload says.
fn said<T: DeserializeOwned>(event: &Event, what: &str) -> Read<T> {
    let payload = event.payload().unwrap_or_default();
    Ok(serde_json::from_str(payload).map_err(|why| incomplete(&format!("{what} is not recorded whole: {why}"))))
}

fn incomplete(what: &str) -> NoReplay {
    NoReplay::new(NoReplayKind::Incomplete, what)
}

/// An answer that a guest was told, and the number of the call. `None`: it is none that this release knows.
fn parse(told: &BTreeMap<String, Box<RawValue>>) -> Option<(u64, Answer)> {
    let call = told.get("call")?.get().parse().ok()?;
    let (name, json) = told.iter().find(|(name, _)| *name != "call")?;
    Some((call, answer(name, json.get())?))
}

#[derive(Deserialize)]
struct Refused {
    kind: String,
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hits {
    hits: Vec<(EventId, Box<RawValue>)>,
    as_of: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    facts: Vec<(Box<RawValue>, Vec<EventId>)>,
    #[cfg(feature = "recall")]
    #[serde(default)]
    notes: Vec<quipu_projections::FactNote>,
    as_of: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    events: Vec<EventId>,
    #[serde(default)]
    evidence: Vec<EventId>,
    #[cfg(feature = "recall")]
    #[serde(default)]
    layout: Option<quipu_projections::Layout>,
    as_of: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trail {
    events: Vec<EventId>,
    complete: bool,
    as_of: u64,
}

fn answer(name: &str, json: &str) -> Option<Answer> {
    fn of<T: DeserializeOwned>(json: &str) -> Option<T> {
        serde_json::from_str(json).ok()
    }
    // JSON's numbers are read to the last bit: they are part of the transcript.
    let number = |raw: Box<RawValue>| raw.get().parse::<f64>().ok();
    Some(match name {
        "refused" => {
            let Refused { kind, message } = of(json)?;
            Answer::Refused {
                kind: kind_named(&kind)?,
                message,
            }
        }
        "repeated" => Answer::Repeated(of(json)?),
        "head" => Answer::Head(of(json)?),
        "proof" => Answer::Proof(of(json)?),
        "deadline" => Answer::Deadline,
        "hits" => {
            let Hits { hits, as_of } = of(json)?;
            let hits = hits.into_iter().map(|(id, score)| Some((id, number(score)?)));
            Answer::Hits {
                hits: hits.collect::<Option<_>>()?,
                as_of,
            }
        }
        "facts" => {
            let facts: Facts = of(json)?;
            let told = facts.facts.into_iter().map(|(sure, ids)| Some((number(sure)?, ids)));
            Answer::Facts {
                facts: told.collect::<Option<_>>()?,
                #[cfg(feature = "recall")]
                notes: facts.notes,
                as_of: facts.as_of,
            }
        }
        "context" => {
            let context: Context = of(json)?;
            Answer::Context {
                events: context.events,
                evidence: context.evidence,
                #[cfg(feature = "recall")]
                layout: context.layout,
                as_of: context.as_of,
            }
        }
        "trail" => {
            let Trail {
                events,
                complete,
                as_of,
            } = of(json)?;
            Answer::Trail {
                events,
                complete,
                as_of,
            }
        }
        _ => return None,
    })
}

impl Recording {
    /// When it began.
    pub(crate) fn began(&self) -> Timestamp {
        self.run.ts
    }

    /// How long it took, by the log's times.
    pub(crate) fn took_ms(&self) -> u64 {
        let ended = self.end.as_ref().map_or(self.run.ts, |end| end.ts);
        ended.as_ms().saturating_sub(self.run.ts.as_ms())
    }

    /// Whether a run was offered WASI; its first entry says so.
    pub(crate) fn has_wasi(log: &LedgerReader, run: &RecordedRun) -> Read<bool> {
        let given: Given = there!(said(&there!(entry(log, run.seq)), "input"));
        Ok(Ok(given.wasi.is_some()))
    }
}
