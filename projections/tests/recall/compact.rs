//! Compaction: summaries are a function of the log, however often it is run and wherever it was broken off.

use quipu_format::{Actor, Event, EventId, Kind, Timestamp};
use quipu_log::Draft;
use quipu_projections::{Compaction, NoiseRules, Summary};
use serde_json::{Value, json};

use crate::fixture::{Fixture, imported, instant, payload, query, say, scope};

pub(crate) fn compaction(scope_name: &str) -> Compaction {
    Compaction {
        scope: scope(scope_name),
        actor: Actor::new("tool:compactor").unwrap(),
        now: Timestamp::FIRST,
        before: None,
        rules: None,
    }
}

/// Compacts until nothing is left to do, or so many entries were appended; returns how many were.
pub(crate) fn compact(it: &Fixture, compaction: &Compaction, most: usize) -> usize {
    let mut appended = 0;
    for tier in 1.. {
        it.catch_up();
        let plan = it.projections.compaction(compaction, tier).unwrap();
        let drafts = plan
            .new
            .iter()
            .map(|new| it.projections.summarised(compaction, tier, new).unwrap());
        let back = plan
            .obsolete
            .chunks(256)
            .map(|ids| it.projections.taken_back(compaction, ids).unwrap());
        for draft in drafts.chain(back) {
            if appended == most {
                return appended;
            }
            assert!(!it.append(draft).repeated);
            appended += 1;
        }
        if !plan.more {
            break;
        }
    }
    it.catch_up();
    appended
}

pub(crate) fn summary(it: &Fixture, name: &str) -> Option<Summary> {
    it.catch_up();
    it.projections.summary(&scope(name), it.head()).unwrap()
}

/// All that stands of the summaries: tier, text and how many entries each covers.
pub(crate) fn standing(it: &Fixture, name: &str) -> Vec<(u64, String, usize)> {
    it.catch_up();
    let view = it.pinned(&[name]);
    let mut found = Vec::new();
    for tier in 1..4 {
        let all = query("", |query| {
            query.limit = 1_000;
            query.tier = Some(tier);
        });
        for hit in it.projections.search(&view, &all).unwrap().hits {
            let payload = payload_of(&hit.event);
            found.push((
                payload["tier"].as_u64().unwrap(),
                payload["text"].as_str().unwrap().to_owned(),
                hit.event.envelope.evidence.len(),
            ));
        }
    }
    found.sort();
    found
}

fn payload_of(event: &Event) -> Value {
    serde_json::from_str(event.payload().unwrap()).unwrap()
}

fn turn(conversation: &str, minute: u64, text: &str) -> Draft {
    let mut draft = payload("a", json!({ "text": text }));
    draft.kind = Kind::new("message").unwrap();
    let ts = Timestamp::from_ms(1_770_000_000_000 + minute * 60_000).to_string();
    draft.body.source = serde_json::from_value(json!({
        "channel": "chat", "conversationId": conversation, "speaker": "Ann", "original": { "ts": ts, "actor": "user:ann" }
    }))
    .unwrap();
    draft
}

/// Three conversations beside each other, facts in two months, and questions about prices.
pub(crate) fn talk(it: &Fixture) -> Vec<EventId> {
    let mut drafts = Vec::new();
    for nth in 0..20 {
        for conversation in ["one", "two", "three"] {
            let text = format!("In round {nth} Rosa told {conversation} that parcel {nth} went to Lisbon. Fine!");
            drafts.push(turn(conversation, nth, &text));
        }
    }
    for text in ["Prefers CSV exports.", "prefers csv exports", "Renews in May"] {
        drafts.push(say("a", text));
    }
    for nth in 0..6 {
        drafts.push(say("a", &format!("asked about pricing, call {nth}")));
    }
    drafts.push(imported(
        "a",
        json!({ "text": "Moved to Berlin" }),
        "2026-01-03T00:00:00.000Z",
        "user:ann",
    ));
    it.append_all(drafts).iter().map(|receipt| receipt.id).collect()
}

#[test]
fn each_session_and_month_has_a_summary_and_one_covers_them() {
    let it = Fixture::new();
    let said = talk(&it);
    assert_eq!(compact(&it, &compaction("a"), usize::MAX), 6);
    let top = summary(&it, "a").unwrap();
    assert_eq!((top.tier, top.covers.as_ref().unwrap().events, top.since), (2, 70, 0));
    assert_eq!(top.event.envelope.evidence.len(), 5);
    let line = |text: &str| top.lines.iter().find(|line| line.text == text).unwrap();
    // Repeats are one line, with what states it; noise is a signal with all that it stands for.
    assert_eq!(
        (
            line("prefers csv exports").count,
            &line("prefers csv exports").events[..]
        ),
        (2, &said[60..62])
    );
    assert_eq!(
        (line("pricing-sensitive").count, &line("pricing-sensitive").events[..]),
        (6, &said[63..69])
    );
    assert_eq!(line("Moved to Berlin").events, [said[69]]);
    // Sentences are said by somebody, and go back to the turn.
    let sentence = top
        .lines
        .iter()
        .find(|line| line.text.starts_with("Ann: In round"))
        .unwrap();
    assert!(
        sentence.events.len() == 1 && said[..60].contains(&sentence.events[0]),
        "{sentence:?}"
    );
    assert!(
        !top.lines
            .iter()
            .any(|line| line.text.contains("Fine!") || line.text.contains("asked about"))
    );
    assert_eq!(top.as_of, top.covers.unwrap().last + 1);
}

#[test]
fn running_it_twice_adds_nothing() {
    let it = Fixture::new();
    talk(&it);
    compact(&it, &compaction("a"), usize::MAX);
    let head = it.head();
    assert_eq!((compact(&it, &compaction("a"), usize::MAX), it.head()), (0, head));
    // Nor does a rebuilt projection, and it is the same.
    let before = it.dump();
    it.projections.rebuild().unwrap();
    assert_eq!((it.dump(), compact(&it, &compaction("a"), usize::MAX)), (before, 0));
    // What is younger than that, and was covered, stays so.
    let mut older = compaction("a");
    older.before = Some(instant("2020-01-01T00:00:00.000Z"));
    assert_eq!(compact(&it, &older, usize::MAX), 0);
}

#[test]
fn whoever_goes_on_where_a_run_was_broken_off_comes_to_the_same() {
    let whole = Fixture::new();
    talk(&whole);
    let appended = compact(&whole, &compaction("a"), usize::MAX);
    for broken_off in 0..=appended {
        let it = Fixture::new();
        talk(&it);
        compact(&it, &compaction("a"), broken_off);
        compact(&it, &compaction("a"), usize::MAX);
        assert_eq!(standing(&it, "a"), standing(&whole, "a"), "after {broken_off}");
        assert_eq!(compact(&it, &compaction("a"), usize::MAX), 0);
    }
}

#[test]
fn two_that_compact_at_once_append_each_summary_once() {
    let it = Fixture::new();
    talk(&it);
    it.catch_up();
    let (mine, theirs) = (compaction("a"), compaction("a"));
    let plan = it.projections.compaction(&mine, 1).unwrap();
    let draft = |compaction| it.projections.summarised(compaction, 1, &plan.new[0]).unwrap();
    let first = it.append(draft(&mine));
    let again = it.append(draft(&theirs));
    assert!(again.repeated && again.id == first.id);
}

#[test]
fn a_session_that_goes_on_is_summarised_anew() {
    let it = Fixture::new();
    talk(&it);
    compact(&it, &compaction("a"), usize::MAX);
    it.append(turn(
        "two",
        25,
        "The parcel of Rosa came back from Porto on 12 March with a broken handle.",
    ));
    // Its summary, and the one over all.
    assert_eq!(compact(&it, &compaction("a"), usize::MAX), 2);
    let top = summary(&it, "a").unwrap();
    assert!(
        top.lines.iter().any(|line| line.text.contains("Porto")),
        "{:?}",
        top.lines
    );
    assert_eq!(top.covers.unwrap().events, 71);
    assert_eq!(standing(&it, "a").len(), 6);
}

#[test]
fn rules_that_are_given_collapse_noise_in_place_of_the_ledgers() {
    let it = Fixture::new();
    talk(&it);
    let mut given = compaction("a");
    compact(&it, &given, usize::MAX);
    let texts = |it: &Fixture| {
        summary(it, "a")
            .unwrap()
            .lines
            .into_iter()
            .map(|line| line.text)
            .collect::<Vec<_>>()
    };
    assert!(texts(&it).contains(&"pricing-sensitive".to_owned()));
    let rules = "[[rule]]\nname = \"n\"\npattern = \"(?i)csv\"\nkinds = [\"memory.write\"]\ncount = 2\nwithin = 30\nsignal = \"tables\"\n";
    given.rules = Some(NoiseRules::parse(rules, "rules").unwrap());
    assert!(compact(&it, &given, usize::MAX) > 1);
    let told = texts(&it);
    let has = |text: &str| told.contains(&text.to_owned());
    assert!(
        has("tables") && has("asked about pricing, call 1") && !has("prefers csv exports"),
        "{told:?}"
    );
    assert_eq!(compact(&it, &given, usize::MAX), 0);
    let wrong = NoiseRules::parse("[[rule]]", "rules.toml").unwrap_err();
    assert!(wrong.to_string().contains("rules.toml"), "{wrong}");
}

#[test]
fn what_has_expired_is_left_out() {
    let it = Fixture::new();
    it.append(payload("a", json!({ "text": "on holiday this week", "ttlDays": 7 })));
    it.say("a", "likes tea");
    let mut compaction = compaction("a");
    assert_eq!(compact(&it, &compaction, usize::MAX), 1);
    assert_eq!(summary(&it, "a").unwrap().lines.len(), 2);
    compaction.now = instant("9000-01-01T00:00:00.000Z");
    assert_eq!(compact(&it, &compaction, usize::MAX), 1);
    let texts: Vec<_> = summary(&it, "a")
        .unwrap()
        .lines
        .into_iter()
        .map(|line| line.text)
        .collect();
    assert_eq!(
        (texts, compact(&it, &compaction, usize::MAX)),
        (vec!["likes tea".to_owned()], 0)
    );
}

#[test]
fn of_texts_under_one_key_the_newest_is_said() {
    let it = Fixture::new();
    for (month, text) in [
        ("01", "pays by card"),
        ("02", "pays by invoice"),
        ("03", "lives in Rome"),
    ] {
        let ts = format!("2026-{month}-05T00:00:00.000Z");
        let key = if month == "03" { "home" } else { "payment" };
        it.append(imported("a", json!({ "text": text, "key": key }), &ts, "user:ann"));
    }
    compact(&it, &compaction("a"), usize::MAX);
    let mut texts: Vec<_> = summary(&it, "a")
        .unwrap()
        .lines
        .into_iter()
        .map(|line| line.text)
        .collect();
    texts.sort();
    assert_eq!(texts, ["lives in Rome", "pays by invoice"]);
}

#[test]
fn a_long_group_is_cut_and_one_that_goes_changes_little() {
    let it = Fixture::new();
    let drafts: Vec<_> = (0..900).map(|nth| say("a", &format!("fact number {nth}"))).collect();
    let said: Vec<_> = it.append_all(drafts).iter().map(|receipt| receipt.id).collect();
    let appended = compact(&it, &compaction("a"), usize::MAX);
    let all = standing(&it, "a");
    let covered: usize = all
        .iter()
        .filter(|(tier, ..)| *tier == 1)
        .map(|(.., covered)| covered)
        .sum();
    assert_eq!((covered, appended), (900, all.len()));
    assert!(
        (4..=15).contains(&all.len()) && all.iter().all(|(.., covered)| *covered <= 256),
        "{appended}"
    );
    let mut retraction = payload("a", json!({}));
    retraction.kind = Kind::new("memory.retract").unwrap();
    retraction.supersedes = vec![said[3]];
    it.append(retraction);
    let again = compact(&it, &compaction("a"), usize::MAX);
    assert!(again <= 5, "{again} of {appended} were written again");
    assert_eq!(compact(&it, &compaction("a"), usize::MAX), 0);
}

#[test]
fn a_summary_is_bounded_whatever_it_covers() {
    let it = Fixture::new();
    let long = |nth: usize| say("a", &format!("{nth} {}", "very long ".repeat(300)));
    it.append_all((0..300).map(long).collect());
    let said = |nth: u64| {
        turn(
            "one",
            nth,
            &format!("Rosa sent parcel {nth} to Lisbon {}", "by train ".repeat(nth as usize)),
        )
    };
    it.append_all((0..250).map(said).collect());
    compact(&it, &compaction("a"), usize::MAX);
    let all = standing(&it, "a");
    assert!(all.len() > 3);
    for (tier, text, _) in all {
        assert!(
            !text.is_empty() && text.len() <= if tier == 1 { 4 << 10 } else { 16 << 10 },
            "{}",
            text.len()
        );
        assert!(text.lines().all(|line| line.len() <= 512));
    }
}

#[test]
fn only_the_compactors_own_summaries_count_as_there() {
    let it = Fixture::new();
    let said = it.say("a", "likes tea");
    it.catch_up();
    let plan = it.projections.compaction(&compaction("a"), 1).unwrap();
    let mut forged = it.projections.summarised(&compaction("a"), 1, &plan.new[0]).unwrap();
    assert_eq!(forged.evidence, [said]);
    // An agent that says the same of itself, and whatever it likes of the scope.
    forged.actor = Actor::new("agent:mallory").unwrap();
    forged.key = None;
    it.append(forged);
    assert_eq!(compact(&it, &compaction("a"), usize::MAX), 1);
}

/// Layers of summaries, each of which says the same line of all those below: paths to the originals are 8^12.
#[test]
fn a_line_is_followed_through_each_summary_once() {
    let it = Fixture::new();
    let mut below: Vec<_> = (0..8)
        .map(|nth| it.append(say("a", &format!("fact {nth}"))).id)
        .collect();
    let originals = below.clone();
    for _ in 0..12 {
        let layer = (0..8).map(|nth| {
            let mut draft = payload("a", json!({ "text": "all is well", "tier": 1 }));
            draft.kind = Kind::new("memory.summary").unwrap();
            draft.key = Some(format!("{nth} over {}", below[0]));
            draft.evidence.clone_from(&below);
            draft
        });
        below = it
            .append_all(layer.collect())
            .iter()
            .map(|receipt| receipt.id)
            .collect();
    }
    let lines = summary(&it, "a").unwrap().lines;
    assert_eq!((lines.len(), &lines[0].events), (1, &originals));
}
