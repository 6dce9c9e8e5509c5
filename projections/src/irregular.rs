//! English forms that no rule leads back to their word: "went" is found by "go".

/// The word that a lower-cased form belongs to; other words as they are.
pub(crate) fn base(form: &str) -> &str {
    let found = FORMS.binary_search_by_key(&form, |(form, _)| form);
    found.ok().and_then(|at| FORMS.get(at)).map_or(form, |(_, base)| base)
}

/// Irregular verbs and nouns, by form. Left out: forms that are rather words of their own ("rose", "lives", "lay").
#[rustfmt::skip]
const FORMS: &[(&str, &str)] = &[
    ("arisen", "arise"), ("arose", "arise"), ("ate", "eat"), ("awoke", "awake"), ("beaten", "beat"),
    ("became", "become"), ("began", "begin"), ("begun", "begin"), ("bent", "bend"), ("bit", "bite"),
    ("bitten", "bite"), ("blew", "blow"), ("blown", "blow"), ("bought", "buy"), ("broke", "break"),
    ("broken", "break"), ("brought", "bring"), ("built", "build"), ("came", "come"), ("caught", "catch"),
    ("children", "child"), ("chose", "choose"), ("chosen", "choose"), ("dealt", "deal"), ("did", "do"),
    ("done", "do"), ("drank", "drink"), ("drawn", "draw"), ("drew", "draw"), ("driven", "drive"),
    ("drove", "drive"), ("drunk", "drink"), ("dug", "dig"), ("eaten", "eat"), ("fallen", "fall"),
    ("fed", "feed"), ("feet", "foot"), ("fell", "fall"), ("felt", "feel"), ("flew", "fly"), ("flown", "fly"),
    ("forgave", "forgive"), ("forgiven", "forgive"), ("forgot", "forget"), ("forgotten", "forget"),
    ("fought", "fight"), ("found", "find"), ("froze", "freeze"), ("frozen", "freeze"), ("gave", "give"),
    ("given", "give"), ("gone", "go"), ("got", "get"), ("gotten", "get"), ("grew", "grow"), ("grown", "grow"),
    ("heard", "hear"), ("held", "hold"), ("hid", "hide"), ("hidden", "hide"), ("hung", "hang"),
    ("kept", "keep"), ("knew", "know"), ("known", "know"), ("laid", "lay"), ("led", "lead"),
    ("left", "leave"), ("lent", "lend"), ("lost", "lose"), ("made", "make"), ("meant", "mean"),
    ("men", "man"), ("met", "meet"), ("mice", "mouse"), ("paid", "pay"), ("ran", "run"), ("rang", "ring"),
    ("ridden", "ride"), ("risen", "rise"), ("rode", "ride"), ("said", "say"), ("sang", "sing"),
    ("sat", "sit"), ("saw", "see"), ("seen", "see"), ("sent", "send"), ("shaken", "shake"),
    ("shook", "shake"), ("shot", "shoot"), ("shown", "show"), ("slept", "sleep"), ("sold", "sell"),
    ("sought", "seek"), ("spent", "spend"), ("spoke", "speak"), ("spoken", "speak"), ("stole", "steal"),
    ("stolen", "steal"), ("stood", "stand"), ("stuck", "stick"), ("sung", "sing"), ("swam", "swim"),
    ("swept", "sweep"), ("swum", "swim"), ("taken", "take"), ("taught", "teach"), ("teeth", "tooth"),
    ("thought", "think"), ("threw", "throw"), ("thrown", "throw"), ("told", "tell"), ("took", "take"),
    ("tore", "tear"), ("torn", "tear"), ("understood", "understand"), ("went", "go"), ("wives", "wife"),
    ("woke", "wake"), ("woken", "wake"), ("women", "woman"), ("won", "win"), ("wore", "wear"),
    ("worn", "wear"), ("written", "write"), ("wrote", "write"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_sorted_and_lead_to_words_that_are_none() {
        assert!(FORMS.is_sorted_by_key(|(form, _)| form));
        assert!(FORMS.iter().all(|(_, word)| base(word) == *word));
    }

    #[test]
    fn a_form_leads_to_its_word_and_others_stay() {
        assert_eq!(base("went"), "go");
        assert_eq!(base("going"), "going");
        assert_eq!(base(""), "");
    }
}
