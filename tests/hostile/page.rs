//! The table in docs/THREATS.md is that of the code. `QUIPU_UPDATE=1` writes it anew.

use std::{collections::BTreeSet, env, fs};

use crate::{
    attack::{Attack, Trial},
    driver::root,
    table::ATTACKS,
};

const BEGIN: &str =
    "<!-- red team: from tests/hostile/table.rs, by QUIPU_UPDATE=1 cargo test --test hostile page -->\n";
const END: &str = "<!-- end of the red team -->\n";

#[test]
fn the_page_shows_the_table_of_the_code() {
    let file = root().join("docs/THREATS.md");
    let page = fs::read_to_string(&file).unwrap();
    let (head, rest) = page.split_once(BEGIN).expect("the page has the table's beginning");
    let (table, tail) = rest.split_once(END).expect("the page has the table's end");
    if env::var_os("QUIPU_UPDATE").is_some() {
        fs::write(&file, format!("{head}{BEGIN}{}{END}{tail}", shown())).unwrap();
    } else {
        assert!(
            table == shown(),
            "write it anew: QUIPU_UPDATE=1 cargo test --test hostile page"
        );
    }
}

fn shown() -> String {
    let mut text = format!(
        "{} attacks, each a test of its name in `tests/hostile`. How: *text*, a component written by hand in\n\
         `tests/guests/hostile/NAME.wat`; *made*, one that no text could say; *text, WASI*, one of the former that\n\
         is run with `--wasi`; a guest of ours, by its name in `tests/guests/hostile`; *host*, what else a host runs; *command*,\n\
         files and arguments.\n\n| test | how | attack | defence |\n|---|---|---|---|\n",
        ATTACKS.len()
    );
    for attack in ATTACKS {
        let (what, defence) = attack.words();
        let how = match &attack.trial {
            Trial::Wat(..) => "text",
            Trial::Wasi(_) => "text, WASI",
            Trial::Made(..) => "made",
            Trial::Guest(_, guest, _) => guest,
            Trial::House(..) => "host",
            Trial::Command(..) => "command",
        };
        let (what, defence) = (what.replace('|', "\\|"), defence.replace('|', "\\|"));
        text += &format!("| `{}` | {how} | {what} | {defence} |\n", attack.name);
    }
    text
}

#[test]
fn there_are_a_hundred_and_none_twice() {
    assert!(ATTACKS.len() >= 100);
    let names: BTreeSet<_> = ATTACKS.iter().map(|attack| attack.name).collect();
    assert_eq!(names.len(), ATTACKS.len());
    let attacks: BTreeSet<_> = ATTACKS.iter().map(|attack: &Attack| attack.words().0).collect();
    assert_eq!(attacks.len(), ATTACKS.len(), "two are described alike");
}

/// A file without a line in the table is tried by nobody.
#[test]
fn each_hostile_file_is_in_the_table() {
    let table = include_str!("table.rs");
    for entry in fs::read_dir(root().join("tests/guests/hostile")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_there = match path.extension().and_then(|ending| ending.to_str()) {
            Some("wat") => ["wat", "wasi"]
                .map(|how| format!("    {name} => {how}("))
                .iter()
                .any(|line| table.contains(line)),
            _ => table.contains(&format!("\"{name}\"")),
        };
        assert!(
            is_there,
            "{}: no line of tests/hostile/table.rs tries it",
            path.display()
        );
    }
}
