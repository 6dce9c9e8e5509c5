//! What memory must answer, in the fewest words: a list of entries, and rules of who sees and who may say what.

// Long because it is the whole interface once more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use quipu_host::DEFAULT_KINDS;

use crate::program::{Asked, Call, Id, Said};

pub(crate) const ACTOR: &str = "agent:test";
/// The scopes of the handles, in their order.
pub(crate) const READS: [&str; 2] = ["home", "b"];
pub(crate) const APPENDS: [&str; 2] = ["home", "c"];
const BODY_BYTES: usize = 1 << 20;
const PAGE: usize = 1_000;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) actor: String,
    pub(crate) scope: String,
    pub(crate) said: Content,
    /// It was said by a run to which something had been recalled: it may be what memory fed to itself, which is no evidence.
    pub(crate) is_echo: bool,
}

/// What a draft comes to when its ids are resolved.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Content {
    pub(crate) kind: String,
    pub(crate) payload: String,
    pub(crate) source: Option<[String; 4]>,
    pub(crate) evidence: Vec<String>,
    pub(crate) supersedes: Vec<String>,
}

/// All that was ever said, but for the host's own entries.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) entries: BTreeMap<u64, Entry>,
    by_id: HashMap<String, u64>,
    /// The first use of each of the actor's idempotency keys, by scope.
    keys: HashMap<(String, String), u64>,
}

/// One run over the model.
pub(crate) struct Run<'a> {
    model: &'a mut Model,
    heads: [u64; 2],
    /// Receipts that the run was given.
    own: BTreeSet<u64>,
    receipts: Vec<String>,
    left: usize,
    recalled: bool,
}

type Judged = Result<(), String>;

impl Model {
    pub(crate) fn add(&mut self, seq: u64, entry: Entry) {
        self.by_id.insert(entry.id.clone(), seq);
        self.entries.insert(seq, entry);
    }

    pub(crate) fn run(&mut self, head: u64, appends: usize) -> Run<'_> {
        Run {
            model: self,
            heads: [head; 2],
            own: BTreeSet::new(),
            receipts: Vec::new(),
            left: appends,
            recalled: false,
        }
    }
}

impl Run<'_> {
    /// Whether the guest's report of the call is what it must be.
    pub(crate) fn judge(&mut self, call: &Call, line: &str) -> Judged {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "e" {
            let allowed = self.refusals(call);
            return must(allowed.contains(rest), || {
                format!("refused as {rest}; it may be {allowed:?}")
            });
        }
        let owed = self.refusals(call);
        must(owed.is_empty(), || format!("not refused, and it must be: {owed:?}"))?;
        use Call::{Compose, Facts, Impact, Search, Why};
        self.recalled |= matches!(call, Search(..) | Facts(..) | Compose(..) | Why(..) | Impact(..));
        match call {
            Call::Append(said) => self.appended(std::slice::from_ref(said), rest),
            Call::AppendAll(all) => self.appended(all, rest),
            Call::Read(reader, start, limit) => {
                let seen = self.seen(*reader, start.unwrap_or(0)..u64::MAX);
                self.page(&seen, *limit, rest, false, start.unwrap_or(0))
            }
            Call::ReadBack(reader, end, limit) => {
                let mut seen = self.seen(*reader, 0..end.unwrap_or(u64::MAX));
                seen.reverse();
                self.page(&seen, *limit, rest, true, end.unwrap_or(u64::MAX))
            }
            Call::Get(_, id) => {
                let seq = self.model.by_id[&self.id(id)];
                equal(rest, &digest(&self.model.entries, &[seq]))
            }
            Call::Head(reader) => equal(rest, &self.heads[reader % 2].to_string()),
            Call::Scope(reader) => equal(rest, READS[reader % 2]),
            Call::Refresh(reader) => {
                let head: u64 = rest.parse().map_err(|_| "no number")?;
                let least = self.own.last().map_or(0, |seq| seq + 1).max(self.heads[reader % 2]);
                self.heads[reader % 2] = head;
                must(head >= least, || format!("the head goes back from {least}"))
            }
            Call::Why(readers, id) => self.trail(readers, id, rest, true),
            Call::Impact(readers, id) => self.trail(readers, id, rest, false),
            Call::Search(readers, asked) => self.hits(readers, asked, rest),
            Call::Facts(readers, asked) => self.facts(readers, asked, rest),
            Call::Compose(..) => Ok(()),
        }
    }

    fn id(&self, id: &Id) -> String {
        match id {
            Id::Text(text) => text.clone(),
            Id::Receipt(_) if self.receipts.is_empty() => String::new(),
            Id::Receipt(number) => self.receipts[number % self.receipts.len()].clone(),
        }
    }

    /// Positions in the range that the reader sees, rising.
    fn seen(&self, reader: usize, range: std::ops::Range<u64>) -> Vec<u64> {
        let (scope, head) = (READS[reader % 2], self.heads[reader % 2]);
        let range = range.start..range.end.max(range.start);
        let entries = self.model.entries.range(range);
        let seen = entries.filter(|(seq, entry)| entry.scope == scope && (**seq < head || self.own.contains(seq)));
        seen.map(|(seq, _)| *seq).collect()
    }

    fn sees(&self, reader: usize, id: &str) -> bool {
        let Some(seq) = self.model.by_id.get(id) else {
            return false;
        };
        let at = reader % 2;
        self.model.entries[seq].scope == READS[at] && (*seq < self.heads[at] || self.own.contains(seq))
    }

    /// Whether the run may name it in a draft.
    fn may_name(&self, id: &str) -> bool {
        let own = self.model.by_id.get(id).is_some_and(|seq| self.own.contains(seq));
        own || self.sees(0, id) || self.sees(1, id)
    }

    /// All kinds that the call may be refused as; none: it must not be refused.
    fn refusals(&self, call: &Call) -> BTreeSet<&'static str> {
        let mut kinds = BTreeSet::new();
        match call {
            Call::Append(said) => self.refuses_all(std::slice::from_ref(said), &mut kinds),
            Call::AppendAll(all) => {
                if all.is_empty() {
                    kinds.insert("invalid");
                }
                if all.len() > 1_000 {
                    kinds.insert("too-large");
                }
                self.refuses_all(all, &mut kinds);
            }
            Call::Read(.., limit) | Call::ReadBack(.., limit) if *limit == 0 => drop(kinds.insert("invalid")),
            Call::Get(reader, id) => self.refuses_id(&[*reader], id, &mut kinds),
            Call::Why(readers, id) | Call::Impact(readers, id) => {
                if readers.is_empty() {
                    kinds.insert("invalid");
                }
                self.refuses_id(readers, id, &mut kinds);
            }
            Call::Search(readers, asked) | Call::Facts(readers, asked) | Call::Compose(readers, asked, _) => {
                let no_budget = matches!(call, Call::Compose(.., 0));
                if readers.is_empty() || asked.limit == 0 || asked.since.is_some() || no_budget {
                    kinds.insert("invalid");
                }
            }
            _ => {}
        }
        kinds
    }

    fn refuses_id(&self, readers: &[usize], id: &Id, kinds: &mut BTreeSet<&'static str>) {
        let id = self.id(id);
        if !is_id(&id) {
            kinds.insert("invalid");
        } else if !readers.iter().any(|reader| self.sees(*reader, &id)) {
            kinds.insert("not-found");
        }
    }

    fn refuses_all(&self, all: &[Said], kinds: &mut BTreeSet<&'static str>) {
        if all.len() > self.left {
            kinds.insert("quota");
        }
        let mut used: HashMap<(String, String), Content> = HashMap::new();
        for said in all {
            self.refuses(said, kinds);
            let (Some(key), Some(scope)) = (&said.key, scope_of(said)) else {
                continue;
            };
            let (name, content) = ((scope.to_owned(), key.clone()), self.content(said));
            let earlier = self.model.keys.get(&name).map(|seq| &self.model.entries[seq].said);
            if earlier.or(used.get(&name)).is_some_and(|earlier| *earlier != content) {
                kinds.insert("conflict");
            }
            used.entry(name).or_insert(content);
        }
    }

    fn refuses(&self, said: &Said, kinds: &mut BTreeSet<&'static str>) {
        if !DEFAULT_KINDS.contains(&said.kind.as_str()) || scope_of(said).is_none() {
            kinds.insert("denied");
        }
        if said
            .key
            .as_ref()
            .is_some_and(|key| key.is_empty() || key.len() > 128 || key.starts_with("quipu:"))
        {
            kinds.insert("invalid");
        }
        if said.payload.len() + said.pad > BODY_BYTES {
            kinds.insert("too-large");
        }
        let is_object = |text: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok();
        let wrong = |source: &[String; 4]| !is_object(&source[3]) || source[3].contains("\"channel\"");
        if !is_object(&said.payload) || said.source.as_ref().is_some_and(wrong) {
            kinds.insert("invalid");
        }
        for (ids, is_mine_alone) in [(&said.evidence, false), (&said.supersedes, true)] {
            if ids.len() > 256 {
                kinds.insert("invalid");
            }
            for id in ids.iter().map(|id| self.id(id)) {
                if !is_id(&id) {
                    kinds.insert("invalid");
                } else if !self.may_name(&id) {
                    kinds.insert("not-found");
                } else if is_mine_alone && self.model.entries[&self.model.by_id[&id]].actor != ACTOR {
                    kinds.insert("denied");
                }
            }
        }
    }

    fn content(&self, said: &Said) -> Content {
        Content {
            kind: said.kind.clone(),
            payload: said.payload.trim().to_owned(),
            source: said.source.clone(),
            evidence: said.evidence.iter().map(|id| self.id(id)).collect(),
            supersedes: said.supersedes.iter().map(|id| self.id(id)).collect(),
        }
    }

    /// Takes note of what was appended. Ids in the drafts count the receipts before this call.
    fn appended(&mut self, all: &[Said], line: &str) -> Judged {
        let words: Vec<_> = line.split(' ').collect();
        must(words.len() == 2 * all.len(), || {
            format!("{} receipts for {} drafts", words.len() / 2, all.len())
        })?;
        let contents: Vec<_> = all.iter().map(|said| self.content(said)).collect();
        for ((said, content), receipt) in all.iter().zip(contents).zip(words.chunks(2)) {
            let seq: u64 = receipt[0].parse().map_err(|_| "no seq")?;
            let id = receipt[1].to_owned();
            let scope = scope_of(said).ok_or("no scope")?.to_owned();
            let name = said.key.clone().map(|key| (scope.clone(), key));
            let earlier = name.as_ref().and_then(|name| self.model.keys.get(name)).copied();
            if let Some(earlier) = earlier {
                must(earlier == seq, || {
                    format!("a repeat of {earlier} got the receipt of {seq}")
                })?;
            } else {
                let newest = self.model.entries.last_key_value().map_or(0, |(seq, _)| *seq);
                must(seq > newest, || format!("seq {seq} after {newest}"))?;
                let actor = ACTOR.to_owned();
                self.model.add(
                    seq,
                    Entry {
                        id: id.clone(),
                        actor,
                        scope,
                        said: content,
                        is_echo: self.recalled,
                    },
                );
                self.left -= 1;
                if let Some(name) = name {
                    self.model.keys.insert(name, seq);
                }
            }
            must(self.model.entries[&seq].id == id, || {
                format!("{id} is not the id of {seq}")
            })?;
            self.own.insert(seq);
            self.receipts.push(id);
        }
        Ok(())
    }

    /// `seen` is all that may come, in the page's order, which goes on from `begin`.
    fn page(&self, seen: &[u64], limit: u32, line: &str, is_back: bool, begin: u64) -> Judged {
        let words: Vec<_> = line.split(' ').collect();
        let [count, next, hash] = words[..] else {
            return Err("no page".into());
        };
        let count: usize = count.parse().map_err(|_| "no count")?;
        let most = (limit as usize).min(PAGE).min(seen.len());
        must(count <= most, || format!("{count} events of {most}"))?;
        equal(hash, &digest(&self.model.entries, &seen[..count]))?;
        let Ok(next) = next.parse::<u64>() else {
            return must(count == seen.len(), || {
                format!("the last page ends {} events early", seen.len() - count)
            });
        };
        let goes_on = if is_back { next < begin } else { next > begin };
        must(goes_on, || format!("the cursor stays at {begin}, {next}"))?;
        // The next page begins with the first event that did not come, and repeats none.
        let fits = |at: u64| if is_back { at < next } else { at >= next };
        let good = seen[..count].iter().all(|at| !fits(*at)) && seen[count..].iter().all(|at| fits(*at));
        must(good, || {
            format!(
                "next {next} passes over events, or repeats some: {:?}",
                &seen[..seen.len().min(count + 2)]
            )
        })
    }

    /// What the readers see together, below the position that is asked about.
    fn together(&self, readers: &[usize], as_of: Option<u64>) -> BTreeSet<u64> {
        let all = readers
            .iter()
            .flat_map(|reader| self.seen(*reader, 0..as_of.unwrap_or(u64::MAX)));
        all.collect()
    }

    fn links<'b>(&'b self, seen: &'b BTreeSet<u64>, later: u64) -> impl Iterator<Item = u64> + 'b {
        let said = &self.model.entries[&later].said;
        let ids = said.evidence.iter().chain(&said.supersedes);
        ids.filter_map(|id| self.model.by_id.get(id).copied())
            .filter(|seq| seen.contains(seq))
    }

    fn trail(&self, readers: &[usize], id: &Id, line: &str, is_back: bool) -> Judged {
        let seen = self.together(readers, None);
        let mut waiting = vec![self.model.by_id[&self.id(id)]];
        let mut reached: BTreeSet<u64> = waiting.iter().copied().collect();
        while let Some(at) = waiting.pop() {
            let next: Vec<u64> = match is_back {
                true => self.links(&seen, at).collect(),
                false => seen
                    .range(at + 1..)
                    .copied()
                    .filter(|later| self.links(&seen, *later).any(|to| to == at))
                    .collect(),
            };
            waiting.extend(next.into_iter().filter(|seq| reached.insert(*seq)));
        }
        let words: Vec<_> = line.split(' ').collect();
        let got: BTreeSet<u64> = words[0].split(',').filter_map(|seq| seq.parse().ok()).collect();
        if words.last() == Some(&"false") {
            return must(got.is_subset(&reached) && got.len() >= 900, || "cut too early".into());
        }
        must(got == reached, || format!("the trail is {reached:?}"))
    }

    /// Events that no visible later one supersedes, newest first.
    fn hits(&self, readers: &[usize], asked: &Asked, line: &str) -> Judged {
        let got: Vec<u64> = line.split(',').filter_map(|seq| seq.parse().ok()).collect();
        let seen = self.together(readers, asked.as_of);
        let standing = self.standing(&seen);
        let is_asked = |seq: &u64| asked.kinds.is_empty() || asked.kinds.contains(&self.model.entries[seq].said.kind);
        let must_come: Vec<u64> = standing
            .into_iter()
            .rev()
            .filter(is_asked)
            .take((asked.limit as usize).min(PAGE))
            .collect();
        if asked.text.is_empty() {
            return must(got == must_come, || format!("the newest are {must_come:?}"));
        }
        let all = self.standing(&seen);
        let strange = got.iter().find(|seq| !all.contains(*seq) || !is_asked(seq));
        must(strange.is_none(), || {
            format!(
                "{strange:?} is no hit: {:?}",
                strange.map(|seq| &self.model.entries[seq])
            )
        })
    }

    /// What nothing that stands supersedes. A later entry that was retracted takes nothing back any more; one that was
    /// replaced still does.
    fn standing(&self, seen: &BTreeSet<u64>) -> BTreeSet<u64> {
        let (mut retracted, mut gone) = (BTreeSet::new(), BTreeSet::new());
        for seq in seen.iter().rev() {
            let said = &self.model.entries[seq].said;
            if retracted.contains(seq) {
                continue;
            }
            for earlier in said.supersedes.iter().filter_map(|id| self.model.by_id.get(id)) {
                gone.insert(*earlier);
                if said.kind == "memory.retract" {
                    retracted.insert(*earlier);
                }
            }
        }
        seen.difference(&gone).copied().collect()
    }

    fn facts(&self, readers: &[usize], asked: &Asked, line: &str) -> Judged {
        let got: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let seen = self.together(readers, asked.as_of);
        let (mut believed, mut sure) = (BTreeSet::new(), BTreeSet::new());
        for seq in self.standing(&seen) {
            let entry = &self.model.entries[&seq];
            let payload: serde_json::Value = serde_json::from_str(&entry.said.payload).map_err(|e| e.to_string())?;
            if entry.said.kind == "memory.write"
                && let Some(text) = payload["text"].as_str()
            {
                believed.insert((hash_of(text), &entry.scope));
                // What rests on something else goes with it when that is retracted.
                if !entry.is_echo && entry.said.evidence.is_empty() {
                    sure.insert((hash_of(text), &entry.scope));
                }
            }
        }
        let rising = |facts: BTreeSet<(String, &String)>| facts.into_iter().map(|(hash, _)| hash).collect::<Vec<_>>();
        let (all, owed) = (rising(believed), rising(sure));
        let is_all = asked.text.is_empty() && asked.limit as usize >= all.len() && asked.kinds.is_empty();
        match is_all {
            true => must(is_within(&owed, &got) && is_within(&got, &all), || {
                let strange: Vec<_> = got
                    .iter()
                    .filter(|hash| !all.iter().any(|known| known == *hash))
                    .collect();
                let missing: Vec<_> = owed.iter().filter(|hash| !got.contains(&hash.as_str())).collect();
                format!(
                    "{} to {} facts are believed, not {}: {missing:?} are missing, and {strange:?} are nobody's",
                    owed.len(),
                    all.len(),
                    got.len()
                )
            }),
            false => must(got.iter().all(|hash| all.iter().any(|known| known == hash)), || {
                "a fact of nobody".into()
            }),
        }
    }
}

fn scope_of(said: &Said) -> Option<&str> {
    match &said.scope {
        None => Some("home"),
        Some(scope) => APPENDS.into_iter().find(|granted| granted == scope),
    }
}

/// Whether all of `part` is in `whole`, as often; both rise.
fn is_within<T: PartialEq<U>, U>(part: &[T], whole: &[U]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|one| rest.any(|other| one == other))
}

/// `evt_` and 26 characters of Crockford's alphabet, the first of which is at most 7.
fn is_id(text: &str) -> bool {
    let Some(ulid) = text.strip_prefix("evt_") else {
        return false;
    };
    let is_of = |byte: u8| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&byte);
    ulid.len() == 26 && ulid.bytes().all(is_of) && ulid.as_bytes()[0] <= b'7'
}

/// As the guest makes it of the events that it is given.
fn digest(entries: &BTreeMap<u64, Entry>, seqs: &[u64]) -> String {
    let mut all = String::new();
    for seq in seqs {
        let entry = &entries[seq];
        let number = seq.to_string();
        let source = entry.said.source.iter().flatten();
        let first = [&number, &entry.id, &entry.actor, &entry.said.kind, &entry.scope].into_iter();
        let nothing = String::new();
        let texts = first
            .chain(source)
            .chain([&entry.said.payload])
            .chain(&entry.said.evidence);
        for text in texts.chain([&nothing]).chain(&entry.said.supersedes) {
            all.push_str(text);
            all.push('\u{1f}');
        }
    }
    hash_of(&all)
}

fn hash_of(text: &str) -> String {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, fold))
}

fn must(is: bool, why: impl FnOnce() -> String) -> Judged {
    if is { Ok(()) } else { Err(why()) }
}

fn equal(got: &str, expected: &str) -> Judged {
    must(got == expected, || format!("it must be {expected}"))
}
