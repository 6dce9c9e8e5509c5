//! Random programs of calls for the guest `caller`, whose input they are.

use serde::Serialize;

use crate::chance::Chance;

#[derive(Serialize, Debug, Clone)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Call {
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

#[derive(Serialize, Debug, Clone)]
pub(crate) struct Said {
    pub(crate) kind: String,
    pub(crate) payload: String,
    pub(crate) pad: usize,
    pub(crate) source: Option<[String; 4]>,
    pub(crate) evidence: Vec<Id>,
    pub(crate) supersedes: Vec<Id>,
    pub(crate) scope: Option<String>,
    pub(crate) key: Option<String>,
}

/// An event's id, or which of the receipts so far, counted round.
#[derive(Serialize, Debug, Clone)]
#[serde(untagged)]
pub(crate) enum Id {
    Receipt(usize),
    Text(String),
}

#[derive(Serialize, Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) limit: u32,
    pub(crate) kinds: Vec<String>,
    pub(crate) since: Option<String>,
    pub(crate) as_of: Option<u64>,
}

pub(crate) const KINDS: [&str; 4] = ["memory.write", "message", "observation", "memory.retract"];
const NO_KINDS: [&str; 8] = [
    "quipu.run",
    "quipu.",
    "quipu.erase",
    "",
    "memory.WRITE",
    "memory.write\0",
    "invented",
    "memory write",
];
const NO_SCOPES: [&str; 8] = ["b", "d", "quipu:ledger", "nowhere", "", "home\0", "HOME", "../home"];
const PAYLOADS: [&str; 9] = [
    r#"{"text":"WORD","confidence":0.5}"#,
    r#"{"text":"WORD","tags":["a","b"]}"#,
    r#"{"text":"WORD","actor":"operator:root","seq":0,"ts":"1999-12-31T23:59:59.999Z"}"#,
    r#"{"text":"WORD","more":{"deep":[1,[2,[3]]]}}"#,
    r#"{"text":"WORD"}"#,
    r#"{"text":"WORD","line":"\n\t\u0000\u001b[31m"}"#,
    r#"{"text":"WORD","kind":"quipu.run","scope":"d"}"#,
    r#"{"note":"no text"}"#,
    "{}",
];
const NO_PAYLOADS: [&str; 9] = [
    "",
    "{",
    "[]",
    "null",
    "{\"a\":\"\\ud800\"}",
    "{a:1}",
    "\u{feff}{}",
    "{\"a\":1,}",
    "{} {}",
];
const WORDS: [&str; 12] = [
    "invoices in may",
    "tea not coffee",
    "the red door",
    "seven boxes",
    "ann prefers mail",
    "late on mondays",
    "blue cord",
    "knots are added",
    "never untied",
    "no clock",
    "one home",
    "two scopes",
];
const NO_IDS: [&str; 6] = [
    "",
    "evt_",
    "evt_01j00000000000000000000000",
    "evt_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
    "../../keys",
    "evt_01J0000000000000000000000\0",
];
const UNKNOWN: &str = "evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ";
const HEADS: [u64; 4] = [1 << 53, u64::MAX, i64::MAX as u64, 0];

/// Makes programs; `ids` are those of the ledger, the host's and other people's among them, `head` its end.
pub(crate) struct Author<'a> {
    pub(crate) chance: &'a mut Chance,
    pub(crate) ids: &'a [String],
    pub(crate) head: u64,
}

impl Author<'_> {
    pub(crate) fn program(&mut self, calls: usize) -> Vec<Call> {
        (0..calls).map(|_| self.call()).collect()
    }

    fn call(&mut self) -> Call {
        let reader = self.chance.below(3);
        match self.chance.below(1_000) {
            0..180 => Call::Append(self.said()),
            180..220 => {
                let drafts = match self.chance.below(40) {
                    0 => 0,
                    // The input has room for two such.
                    1 if self.chance.once_in(40) => 1_001,
                    n => n % 12,
                };
                Call::AppendAll((0..drafts).map(|_| self.said()).collect())
            }
            220..370 => Call::Read(reader, self.seq(), self.limit()),
            370..500 => Call::ReadBack(reader, self.seq(), self.limit()),
            500..870 => Call::Get(reader, self.id()),
            870..920 => Call::Head(reader),
            920..960 => Call::Scope(reader),
            960..980 => Call::Refresh(reader),
            980..984 => Call::Why(self.readers(), self.id()),
            984..988 => Call::Impact(self.readers(), self.id()),
            988..992 => Call::Search(self.readers(), self.asked()),
            992..996 => Call::Facts(self.readers(), self.asked()),
            _ => Call::Compose(
                self.readers(),
                self.asked(),
                *self.chance.of(&[0, 1, 100, 2_000, u32::MAX]),
            ),
        }
    }

    fn said(&mut self) -> Said {
        let mut said = Said {
            kind: (*self.chance.of(&KINDS)).into(),
            payload: self
                .chance
                .of(&PAYLOADS)
                .replace("WORD", WORDS[self.chance.below(WORDS.len())]),
            pad: 0,
            source: None,
            evidence: Vec::new(),
            supersedes: Vec::new(),
            scope: None,
            key: None,
        };
        let chance = &mut *self.chance;
        match chance.below(12) {
            0 => said.scope = Some("home".into()),
            1 => said.scope = Some("c".into()),
            2 => said.key = Some(format!("key {}", chance.below(40))),
            3 => said.source = Some(["telegram", "7", "", r#"{"a":1,"b":[true]}"#].map(Into::into)),
            4 => said.evidence = (0..1 + chance.below(3)).map(|_| self.id()).collect(),
            5 => said.supersedes = vec![self.id()],
            6 => said.evidence = vec![Id::Receipt(chance.below(1_000))],
            7 => said.supersedes = vec![Id::Receipt(chance.below(1_000))],
            8 => self.spoil(&mut said),
            _ => {}
        }
        said
    }

    /// Makes something wrong with it, or rarely two things.
    fn spoil(&mut self, said: &mut Said) {
        for _ in 0..1 + usize::from(self.chance.once_in(8)) {
            let chance = &mut *self.chance;
            match chance.below(10) {
                0 => said.kind = (*chance.of(&NO_KINDS)).into(),
                1 => said.scope = Some((*chance.of(&NO_SCOPES)).into()),
                2 => said.payload = (*chance.of(&NO_PAYLOADS)).into(),
                3 => said.pad = *chance.of(&[1, 1 << 20, 1 << 20]),
                4 => said.key = Some([String::new(), "k".repeat(129), "quipu:host".into()][chance.below(3)].clone()),
                5 => said.evidence = vec![Id::Text((*chance.of(&NO_IDS)).into())],
                6 => said.supersedes = vec![Id::Text(UNKNOWN.into())],
                7 => said.source = Some(["x", "", "", r#"{"channel":"forged"}"#].map(Into::into)),
                8 => said.source = Some(["x", "", "", "[]"].map(Into::into)),
                _ if chance.once_in(20) => said.evidence = vec![Id::Text(UNKNOWN.into()); 257],
                _ => said.evidence = vec![Id::Text(UNKNOWN.into())],
            }
        }
    }

    fn id(&mut self) -> Id {
        match self.chance.below(10) {
            0..4 => Id::Receipt(self.chance.below(1_000)),
            4..9 if !self.ids.is_empty() => Id::Text(self.chance.of(self.ids).clone()),
            _ if self.chance.once_in(2) => Id::Text((*self.chance.of(&NO_IDS)).into()),
            _ => Id::Text(UNKNOWN.into()),
        }
    }

    fn seq(&mut self) -> Option<u64> {
        match self.chance.below(10) {
            0..2 => None,
            2 => Some(*self.chance.of(&HEADS)),
            // The newest are where this run's own begin.
            3..6 => Some(self.head.saturating_sub(40) + self.chance.below(400) as u64),
            _ => Some(self.chance.below(self.head as usize + 1) as u64),
        }
    }

    fn limit(&mut self) -> u32 {
        // Large pages are rare, for they take most of the time.
        match self.chance.below(1_600) {
            0..16 => 0,
            16 => u32::MAX,
            17 => 1_000,
            18 => 1_001,
            _ => 1 + self.chance.below(12) as u32,
        }
    }

    fn readers(&mut self) -> Vec<usize> {
        [&[][..], &[0], &[1], &[0, 1], &[0], &[0, 0], &[0, 1], &[1, 0]][self.chance.below(8)].to_vec()
    }

    fn asked(&mut self) -> Asked {
        let chance = &mut *self.chance;
        let text = if chance.once_in(3) { *chance.of(&WORDS) } else { "" };
        Asked {
            text: text.into(),
            limit: *chance.of(&[0, 1, 10, 1_000, u32::MAX]),
            kinds: if chance.once_in(4) {
                vec![(*chance.of(&KINDS)).into()]
            } else {
                Vec::new()
            },
            since: chance.once_in(30).then(|| "yesterday".into()),
            as_of: chance.once_in(4).then(|| chance.below(self.head as usize + 1) as u64),
        }
    }
}
