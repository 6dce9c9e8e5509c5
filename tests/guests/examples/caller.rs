//! Makes the calls that it is told to, whatever they are, and reports what became of each. Input: the JSON list of calls
//! ([`Call`]). Report: a line for each call,
//!
//! - `a SEQ ID …`: appended, seq and id of each receipt;
//! - `r COUNT NEXT HASH`: a page, its `next` (`-` if there is none), and [`Digest`] of its events;
//! - `g HASH`: one event; `n NUMBER`, `s TEXT`: what it is;
//! - `l SEQ,SEQ… [LINKS COMPLETE]`: the events of an answer, in its order; of a trail also the number of links;
//! - `t HASH …`: the texts of facts, each as a digest, in rising order;
//! - `e KIND`: refused.

use quipu_guest::{
    Budget, Event, Memory, Query, Reader, RunInfo,
    bindings::{
        append, recall,
        types::{Draft, Error, Page, Receipt, Source},
    },
};
use quipu_test_guests::kind;
use serde::Deserialize;

quipu_guest::agent!(handle);

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Call {
    Append(Said),
    AppendAll(Vec<Said>),
    Read(usize, Option<u64>, u32),
    ReadBack(usize, Option<u64>, u32),
    Get(usize, Id),
    Head(usize),
    Scope(usize),
    Refresh(usize),
    Why(Vec<usize>, Id),
    Impact(Vec<usize>, Id),
    Search(Vec<usize>, Asked),
    Facts(Vec<usize>, Asked),
    Compose(Vec<usize>, Asked, u32),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    kind: String,
    payload: String,
    /// Spaces after the payload.
    #[serde(default)]
    pad: usize,
    #[serde(default)]
    source: Option<[String; 4]>,
    #[serde(default)]
    evidence: Vec<Id>,
    #[serde(default)]
    supersedes: Vec<Id>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    key: Option<String>,
}

/// An event's id, or a number: of the receipts so far, counted round.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Receipt(usize),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    text: String,
    limit: u32,
    #[serde(default)]
    kinds: Vec<String>,
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    as_of: Option<u64>,
}

struct Caller {
    memory: Memory,
    receipts: Vec<String>,
}

fn handle(_run: RunInfo, memory: Memory, input: String) -> Result<String, String> {
    let calls: Vec<Call> = serde_json::from_str(&input).map_err(|e| e.to_string())?;
    let mut caller = Caller {
        memory,
        receipts: Vec::new(),
    };
    let lines: Vec<String> = calls
        .into_iter()
        .map(|call| caller.call(call).unwrap_or_else(|error| format!("e {}", kind(&error))))
        .collect();
    Ok(lines.join("\n"))
}

impl Caller {
    fn call(&mut self, call: Call) -> Result<String, Error> {
        Ok(match call {
            Call::Append(said) => {
                let draft = self.draft(said);
                self.appended(vec![append::append(&draft)?])
            }
            Call::AppendAll(all) => {
                let drafts: Vec<Draft> = all.into_iter().map(|said| self.draft(said)).collect();
                self.appended(append::append_all(&drafts)?)
            }
            Call::Read(reader, start, limit) => page(self.reader(reader).read(start, limit)?),
            Call::ReadBack(reader, end, limit) => page(self.reader(reader).read_back(end, limit)?),
            Call::Get(reader, id) => {
                let event = self.reader(reader).get(&self.id(id))?;
                format!("g {}", digest(&[event]))
            }
            Call::Head(reader) => format!("n {}", self.reader(reader).head()),
            Call::Scope(reader) => format!("s {}", self.reader(reader).scope()),
            Call::Refresh(reader) => format!("n {}", self.reader(reader).refresh()?),
            Call::Why(readers, id) => trail(recall::why(&self.readers(&readers), &self.id(id))?),
            Call::Impact(readers, id) => trail(recall::impact(&self.readers(&readers), &self.id(id))?),
            Call::Search(readers, asked) => {
                let answer = recall::search(&self.readers(&readers), query(asked).as_raw())?;
                let seqs: Vec<_> = answer.hits.iter().map(|hit| hit.event.seq.to_string()).collect();
                format!("l {}", seqs.join(","))
            }
            Call::Facts(readers, asked) => {
                let answer = recall::facts(&self.readers(&readers), query(asked).as_raw())?;
                let mut texts: Vec<_> = answer.facts.iter().map(|fact| hash_of(&fact.text)).collect();
                texts.sort();
                format!("t {}", texts.join(" "))
            }
            Call::Compose(readers, asked, characters) => {
                let budget = Budget::Characters(characters);
                let answer = recall::compose(&self.readers(&readers), query(asked).as_raw(), budget)?;
                assert!(answer.text.chars().count() <= characters as usize);
                format!("n {}", answer.events.len())
            }
        })
    }

    fn reader(&self, number: usize) -> &Reader {
        let readers: Vec<_> = self.memory.readers().collect();
        readers[number % readers.len()]
    }

    fn readers(&self, numbers: &[usize]) -> Vec<&Reader> {
        numbers.iter().map(|number| self.reader(*number)).collect()
    }

    fn id(&self, id: Id) -> String {
        match id {
            Id::Text(text) => text,
            Id::Receipt(_) if self.receipts.is_empty() => String::new(),
            Id::Receipt(number) => self.receipts[number % self.receipts.len()].clone(),
        }
    }

    fn draft(&self, said: Said) -> Draft {
        let ids = |ids: Vec<Id>| ids.into_iter().map(|id| self.id(id)).collect();
        let some = |text: String| (!text.is_empty()).then_some(text);
        Draft {
            kind: said.kind,
            payload: said.payload + &" ".repeat(said.pad),
            source: said.source.map(|[channel, conversation_id, message_id, extra]| Source {
                channel,
                conversation_id: some(conversation_id),
                message_id: some(message_id),
                extra: some(extra),
            }),
            evidence: ids(said.evidence),
            supersedes: ids(said.supersedes),
            scope: said.scope,
            key: said.key,
        }
    }

    fn appended(&mut self, receipts: Vec<Receipt>) -> String {
        let mut line = "a".to_owned();
        for receipt in receipts {
            line.push_str(&format!(" {} {}", receipt.seq, receipt.id));
            self.receipts.push(receipt.id);
        }
        line
    }
}

fn query(asked: Asked) -> Query {
    let query = Query::new(asked.text).limit(asked.limit).kinds(asked.kinds);
    let query = match asked.since {
        Some(since) => query.since(since),
        None => query,
    };
    match asked.as_of {
        Some(seq) => query.as_of(seq),
        None => query,
    }
}

fn page(page: Page) -> String {
    let next = page.next.map_or("-".to_owned(), |next| next.to_string());
    format!("r {} {next} {}", page.events.len(), digest(&page.events))
}

fn trail(trail: recall::Trail) -> String {
    let seqs: Vec<_> = trail.events.iter().map(|event| event.seq.to_string()).collect();
    format!("l {} {} {}", seqs.join(","), trail.links.len(), trail.complete)
}

/// FNV-1a over what the events say, field by field.
fn digest(events: &[Event]) -> String {
    let mut all = String::new();
    for event in events {
        let mut add = |text: &str| {
            all.push_str(text);
            all.push('\u{1f}');
        };
        add(&event.seq.to_string());
        add(&event.id);
        add(&event.actor);
        add(&event.kind);
        add(&event.scope);
        if let Some(source) = &event.source {
            add(&source.channel);
            add(source.conversation_id.as_deref().unwrap_or_default());
            add(source.message_id.as_deref().unwrap_or_default());
            add(source.extra.as_deref().unwrap_or_default());
        }
        add(event.payload.as_deref().unwrap_or_default());
        event.evidence.iter().for_each(|id| add(id));
        add("");
        event.supersedes.iter().for_each(|id| add(id));
    }
    hash_of(&all)
}

fn hash_of(text: &str) -> String {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, fold))
}
