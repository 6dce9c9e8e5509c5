// Long because it is a list.

//! The table: each attack once, as it is tried and as it must end.

use crate::{
    agents, arguments,
    attack::{
        Attack, Audited,
        Audited::{Conforms, Unreadable, Violates},
        Fate,
        Fate::{Answers, Refused, Reports, TimedOut, Trapped},
        Trial,
    },
    components, files, full, loops,
};

/// Each line is a test of its name.
macro_rules! attacks {
    ($($name:ident => $trial:expr;)*) => {
        pub(crate) static ATTACKS: &[Attack] = &[$(Attack { name: stringify!($name), trial: $trial }),*];
        $(#[test]
        fn $name() {
            ATTACKS.iter().find(|attack| attack.name == stringify!($name)).unwrap().run();
        })*
    };
}

const fn wat(audited: Audited, fate: Fate) -> Trial {
    Trial::Wat(audited, fate)
}

const fn made(
    attack: &'static str,
    defence: &'static str,
    make: fn() -> Vec<u8>,
    audited: Audited,
    fate: Fate,
) -> Trial {
    Trial::Made((attack, defence), make, audited, fate)
}

const fn guest(guest: &'static str, attack: &'static str, defence: &'static str, fate: Fate) -> Trial {
    Trial::Guest((attack, defence), guest, fate)
}

const fn wasi(fate: Fate) -> Trial {
    Trial::Wasi(fate)
}

const fn host(attack: &'static str, defence: &'static str, attempt: fn(&mut crate::house::House)) -> Trial {
    Trial::House((attack, defence), attempt)
}

const fn command(attack: &'static str, defence: &'static str, attempt: fn(&crate::driver::Ledger)) -> Trial {
    Trial::Command((attack, defence), attempt)
}

attacks! {
    invented_interface => wat(Violates("foreign-import"), Refused("quipu:memory/admin"));
    invented_function_of_ours => wat(Violates("wrong-type"), Refused("delete"));
    our_function_of_another_type => wat(Violates("wrong-type"), Refused("append"));
    later_patch_with_a_function_more => wat(Violates("wrong-type"), Refused("rewrite"));
    look_alike_package => wat(Violates("foreign-import"), Refused("wants more than memory"));
    look_alike_package_of_another_owner => wat(Violates("foreign-import"), Refused("wants more than memory"));
    look_alike_interface => wat(Violates("foreign-import"), Refused("wants more than memory"));
    look_alike_minor_version => wat(Violates("foreign-import"), Refused("wants more than memory"));
    look_alike_major_version => wat(Violates("foreign-import"), Refused("wants more than memory"));
    look_alike_earlier_version => wat(Violates("foreign-import"), Refused("wants more than memory"));
    version_left_out => wat(Violates("foreign-import"), Refused("wants more than memory"));
    wants_files => wat(Violates("foreign-import"), Refused("wants more than memory"));
    wants_network => wat(Violates("foreign-import"), Refused("wants more than memory"));
    wants_http => wat(Violates("foreign-import"), Refused("wants more than memory"));
    wants_clock => wat(Violates("foreign-import"), Refused("wants more than memory"));
    wants_randomness => wat(Violates("foreign-import"), Refused("wants more than memory"));
    wants_environment => wat(Violates("foreign-import"), Refused("wants more than memory"));
    root_function => wat(Violates("foreign-import"), Refused("wants more than memory"));
    imported_core_module => wat(Violates("foreign-import"), Refused("wants more than memory"));
    imported_component => wat(Violates("foreign-import"), Refused("wants more than memory"));
    empty_interface => wat(Violates("foreign-import"), Refused("wants more than memory"));
    nested_component_hides_an_import => wat(Conforms, Answers("ok"));
    nested_component_is_handed_an_import => wat(Violates("foreign-import"), Refused("wasi:filesystem"));
    nested_component_starts => wat(Conforms, TimedOut);
    handle_flood => wat(Conforms, Trapped(&["handle", "resource"]));
    instances_without_end => wat(Conforms, Refused("instances"));
    export_beside_handle => wat(Conforms, Answers("ok"));
    handle_of_another_type => wat(Violates("wrong-type"), Refused("handle"));
    handle_is_an_interface => wat(Violates("no-entry"), Refused("no function `handle`"));
    async_within => wat(Violates("async-builtin"), Refused("does not offer"));
    start_loops => wat(Conforms, TimedOut);
    start_appends => wat(Conforms, Trapped(&["undefined element", "uninitialized", "out of bounds"]));
    start_traps => wat(Conforms, Trapped(&["unreachable"]));
    memory_minimum => wat(Conforms, Refused("memory"));
    memory_grows => wat(Conforms, Answers("ok"));
    memory_grows_at_once => wat(Conforms, Answers("ok"));
    second_memory_of_64_bits => wat(Violates("unsupported"), Refused("does not offer"));
    memories_without_end => wat(Conforms, Refused("memor"));
    tables_without_end => wat(Conforms, Refused("tables"));
    table_minimum => wat(Conforms, Refused("table"));
    table_grows => wat(Conforms, Answers("ok"));
    shared_memory => wat(Violates("unsupported"), Refused("does not offer"));
    loop_in_handle => wat(Conforms, TimedOut);
    loop_in_realloc => wat(Conforms, TimedOut);
    loop_in_post_return => wat(Conforms, TimedOut);
    loop_of_tail_calls => wat(Conforms, TimedOut);
    loop_of_fills => wat(Conforms, TimedOut);
    loop_of_calls => wat(Conforms, TimedOut);
    recursion => wat(Conforms, Trapped(&["stack"]));
    recursion_by_table => wat(Conforms, Trapped(&["stack"]));
    realloc_reenters => wat(Conforms, Trapped(&["cannot leave", "cannot enter"]));
    realloc_out_of_bounds => wat(Conforms, Trapped(&["beyond end of memory"]));
    realloc_unaligned => wat(Conforms, Trapped(&["aligned"]));
    realloc_overlaps => wat(Conforms, Answers("ok"));
    realloc_traps => wat(Conforms, Trapped(&["unreachable"]));
    answer_out_of_bounds => wat(Conforms, Trapped(&["out of bounds", "out-of-bounds", "overflow", "fuel"]));
    answer_of_4_gib => wat(Conforms, Trapped(&["out of bounds", "out-of-bounds", "overflow", "fuel"]));
    answer_wraps => wat(Conforms, Trapped(&["out of bounds", "out-of-bounds", "overflow", "fuel"]));
    answer_is_no_utf8 => wat(Conforms, Trapped(&["utf", "surrogate"]));
    answer_with_a_surrogate => wat(Conforms, Trapped(&["utf", "surrogate"]));
    answer_with_a_lone_utf16_surrogate => wat(Conforms, Trapped(&["utf", "surrogate"]));
    answer_neither_ok_nor_error => wat(Conforms, Trapped(&["discriminant"]));
    answer_past_its_limit => wat(Conforms, Trapped(&["bytes"]));
    list_of_4_gib => wat(Conforms, Trapped(&["out of bounds", "out-of-bounds", "overflow", "fuel"]));
    list_wraps => wat(Conforms, Trapped(&["out of bounds", "out-of-bounds", "overflow", "fuel"]));
    text_of_4_gib => wat(Conforms, Trapped(&["out of bounds", "out-of-bounds", "overflow", "fuel"]));
    text_wraps => wat(Conforms, Trapped(&["out of bounds", "out-of-bounds", "overflow", "fuel"]));
    payload_is_no_utf8 => wat(Conforms, Trapped(&["utf", "surrogate"]));
    payload_with_a_surrogate => wat(Conforms, Trapped(&["utf", "surrogate"]));
    kind_of_overlong_utf8 => wat(Conforms, Trapped(&["utf", "surrogate"]));
    option_of_a_third_case => wat(Conforms, Trapped(&["discriminant"]));
    result_out_of_bounds => wat(Conforms, Trapped(&["out of bounds", "out-of-bounds", "overflow", "fuel"]));
    one_text_in_a_hundred_drafts => wat(Conforms, Trapped(&["fuel"]));
    drafts_without_end => wat(Conforms, Trapped(&["out of bounds", "out-of-bounds", "overflow", "fuel"]));
    append_flood => wat(Conforms, Trapped(&["was told more"]));
    trap_after_an_append => wat(Conforms, Trapped(&["unreachable"]));
    handle_guessed => wat(Conforms, Trapped(&["handle"]));
    handle_zero => wat(Conforms, Trapped(&["handle"]));
    handle_negative => wat(Conforms, Trapped(&["handle"]));
    handle_dropped_twice => wat(Conforms, Trapped(&["handle"]));
    handle_used_after_its_end => wat(Conforms, Trapped(&["handle"]));
    random_bits_of_nan => wat(Conforms, Answers("ok"));
    wasi_lists_folders => wasi(Answers("ok"));
    wasi_forges_a_descriptor => wasi(Trapped(&["handle"]));
    wasi_asks_for_the_environment => wasi(Answers("ok"));
    wasi_opens_sockets => wasi(Answers("ok"));
    wasi_reads_what_nobody_wrote => wasi(Answers("ok"));
    wasi_measures_time => wasi(Answers("ok"));
    wasi_prints_without_end => wasi(TimedOut);
    wasi_prints_4_gib => wasi(Trapped(&["out of bounds", "out-of-bounds", "overflow", "fuel"]));
    wasi_prints_zeroes_without_number => wasi(Answers("ok"));
    wasi_asks_for_endless_randomness => wasi(Trapped(&["random bytes"]));
    wasi_asks_for_randomness_without_end => wasi(TimedOut);
    wasi_waits_for_nothing => wasi(Trapped(&["without end"]));
    wasi_waits_for_ever => wasi(TimedOut);
    wasi_sleeps_to_the_end_of_time => wasi(Answers("ok"));
    wasi_floods_with_handles => wasi(Trapped(&["handle", "resource"]));
    wasi_exits => wasi(Trapped(&["it exited"]));
    wasi_of_the_future => wasi(Refused("wants more than memory"));
    wasi_with_a_function_more => wasi(Refused("get-entropy-of-the-host"));
    core_module_that_wants_wasi => wat(Unreadable, Refused("cannot be made a component"));
    core_module_that_wants_more => wat(Unreadable, Refused("cannot be made a component"));
    core_module_without_a_type => wat(Violates("no-entry"), Refused("handle"));
    cut_short => made(
        "half of a component.",
        "the validator reads to the end before anything is taken from it",
        components::cut_short, Unreadable, Refused("cannot be read"),
    );
    one_byte_short => made(
        "a component without its last byte.",
        "the validator reads to the end before anything is taken from it",
        components::one_byte_short, Unreadable, Refused("cannot be read"),
    );
    twice_in_one_file => made(
        "two components in one file, of which one is looked at and the other is run.",
        "audit and engine read the same bytes to their end",
        components::twice_in_one_file, Unreadable, Refused("cannot be read"),
    );
    a_program_behind_it => made(
        "a component and an archive behind it.",
        "audit and engine read the same bytes to their end",
        components::a_program_behind_it, Unreadable, Refused("cannot be read"),
    );
    a_page_before_it => made(
        "a web page and a component behind it.",
        "a component begins at the first byte",
        components::a_page_before_it, Unreadable, Refused("not WebAssembly"),
    );
    a_program_for_this_machine => made(
        "a native program in place of a component, also where compiled code might be taken.",
        "only WebAssembly is compiled; code is never taken from what is given",
        components::a_program_for_this_machine, Unreadable, Refused("not WebAssembly"),
    );
    layer_of_the_future => made(
        "a component of a layer that there is not.",
        "the preamble is compared",
        components::layer_of_the_future, Unreadable, Refused("not WebAssembly"),
    );
    length_of_4_gib => made(
        "a section that says that it has 4 GiB.",
        "lengths are checked against the file before anything is taken",
        components::length_of_4_gib, Unreadable, Refused("cannot be read"),
    );
    nested_a_thousand_deep => made(
        "a thousand components within each other.",
        "the validator limits how deep they nest, and the audit how deep it walks",
        components::nested_a_thousand_deep, Unreadable, Refused("cannot be read"),
    );
    type_nested_in_types => made(
        "a hundred thousand types within each other.",
        "the validator limits how deep types nest",
        components::type_nested_in_types, Unreadable, Refused("cannot be read"),
    );
    a_million_types => made(
        "more types than a component may have.",
        "the validator limits their number",
        components::a_million_types, Unreadable, Refused("cannot be read"),
    );
    dependencies_that_unpack_to_a_gigabyte => made(
        "a list of dependencies of 6 MB that unpacks to a gigabyte.",
        "unpacking ends at 4 MiB",
        components::dependencies_that_unpack_to_a_gigabyte, Conforms, Answers("ok"),
    );
    producers_that_steer_a_terminal => made(
        "the name of a producer with escapes, a line break and text that turns around.",
        "whatever comes of a component is escaped where it is shown",
        components::producers_that_steer_a_terminal, Conforms, Answers("ok"),
    );
    producers_of_garbage => made(
        "sections about producers, names and dependencies that are none.",
        "they are for people to read: what cannot be read is left out",
        components::producers_of_garbage, Conforms, Answers("ok"),
    );
    a_custom_section_of_16_mib => made(
        "16 MiB of padding.",
        "a component has a largest size; this is below it, and is kept once",
        components::a_custom_section_of_16_mib, Conforms, Answers("ok"),
    );
    type_section_of_garbage => made(
        "a core module whose type is none.",
        "where the encoder fails or panics, the module is refused",
        components::type_section_of_garbage, Unreadable, Refused("cannot be made a component"),
    );
    sixty_thousand_functions => made(
        "a module of 60,000 functions.",
        "it compiles within the memory and time that are given",
        components::sixty_thousand_functions, Conforms, Answers("ok"),
    );
    function_of_a_hundred_thousand_blocks => made(
        "a function of 100,000 blocks within each other.",
        "the compiler keeps no stack of its own for them",
        components::function_of_a_hundred_thousand_blocks, Conforms, Answers("ok"),
    );
    function_of_fifty_thousand_locals => made(
        "a function of 50,000 locals.",
        "the validator's limit is as many; the frame is checked against the stack",
        components::function_of_fifty_thousand_locals, Conforms, Answers("ok"),
    );
    jump_table_of_sixty_thousand_targets => made(
        "a jump with 60,000 targets.",
        "it compiles within the memory and time that are given",
        components::jump_table_of_sixty_thousand_targets, Conforms, Answers("ok"),
    );
    function_that_joins_everything => made(
        "a loop in which each of 400 values depends on the others.",
        "it compiles within the memory and time that are given",
        components::function_that_joins_everything, Conforms, Answers("ok"),
    );
    stamps_in_the_payload => guest(
        "forging",
        "writes actor, time, position and a signed act into its payload.",
        "stamps have no field in a draft; a payload is content, whatever its members are called",
        Reports(&[]),
    );
    stamps_in_the_source => guest(
        "forging",
        "says that its entry was imported, from an operator, long ago.",
        "the envelope is the host's; an imported event's past is in its source, which is sealed content",
        Reports(&[]),
    );
    source_that_says_its_fields_twice => guest(
        "forging",
        "gives the source a channel once more, among what is extra.",
        "a member that is a field is refused",
        Reports(&["invalid"]),
    );
    kinds_of_the_host => guest(
        "forging",
        "appends a run, an erasure and a genesis.",
        "a kind must be in the grant's list, on which none that begins with `quipu.` can be",
        Reports(&["denied"]),
    );
    kinds_of_the_host_in_disguise => guest(
        "forging",
        "appends kinds that look like the host's or like granted ones.",
        "a kind is compared byte for byte with the grant's list",
        Reports(&["denied"]),
    );
    scope_of_the_ledger => guest(
        "forging",
        "appends to the ledger's own scope.",
        "a scope must be in the grant, in which the ledger's cannot be",
        Reports(&["denied"]),
    );
    scopes_that_are_not_granted => guest(
        "forging",
        "appends to scopes that are hidden, only readable, or look like a granted one.",
        "a scope is compared byte for byte with the grant; all others are `denied` in the same words",
        Reports(&["denied"]),
    );
    evidence_that_is_not_granted => guest(
        "forging",
        "names an event of another scope as evidence, to learn whether there is one.",
        "what is not seen and what does not exist give the same `not-found`",
        Reports(&["not-found"]),
    );
    superseding_others => guest(
        "forging",
        "takes another actor's entry out of what is recalled.",
        "superseding others needs a flag in the grant",
        Reports(&["denied"]),
    );
    superseding_everything => guest(
        "forging",
        "supersedes each entry that it sees.",
        "superseding others needs a flag in the grant",
        Reports(&["denied"]),
    );
    evidence_of_what_the_host_wrote => guest(
        "forging",
        "names entries of the host about its own run, and what is next to what it knows, as evidence.",
        "the host's own kinds are shown to no guest",
        Reports(&["not-found"]),
    );
    evidence_on_itself => guest(
        "forging",
        "names the id that its own entry is likely to get.",
        "evidence must be in the log before the draft is taken",
        Reports(&["not-found"]),
    );
    evidence_in_a_circle => guest(
        "forging",
        "appends two drafts at once, each of which names the id that the other is likely to get.",
        "evidence must be in the log before the draft is taken: links go back in time only",
        Reports(&["not-found"]),
    );
    more_links_than_fit => guest(
        "forging",
        "names 257 and 10,000 events.",
        "their number is limited",
        Reports(&["invalid"]),
    );
    ids_of_no_form => guest(
        "forging",
        "names what is no event id, of up to a mebibyte.",
        "an id has one form and one length",
        Reports(&["invalid"]),
    );
    getting_what_is_hidden => guest(
        "trespassing",
        "asks for an event of a scope that it was not handed, whose id it knows.",
        "a reader sees its scope; what it does not see looks like none",
        Reports(&["not-found"]),
    );
    getting_across_handles => guest(
        "trespassing",
        "asks the handle of one scope for an event of another.",
        "a reader sees its scope alone",
        Reports(&["not-found"]),
    );
    asking_why_of_what_is_hidden => guest(
        "trespassing",
        "asks what a hidden event rests on, and what rests on it.",
        "answers are of what the handles that are passed see",
        Reports(&["not-found"]),
    );
    reading_around_what_is_hidden => guest(
        "trespassing",
        "reads at the position of a hidden event, and next to it.",
        "a page is of one scope, wherever it begins",
        Reports(&[]),
    );
    recalling_what_is_hidden => guest(
        "trespassing",
        "searches for the words of a hidden event.",
        "recall is asked for the scopes of the handles, and ranks by their statistics alone",
        Reports(&[]),
    );
    asking_as_of_the_future => guest(
        "trespassing",
        "asks for what will be known.",
        "a position past the heads counts as the heads",
        Reports(&[]),
    );
    refreshing_to_see_more => guest(
        "trespassing",
        "moves its handles to the present, and looks again.",
        "a refresh moves a head and never a scope",
        Reports(&[]),
    );
    one_handle_many_times => guest(
        "trespassing",
        "passes one handle 5,000 times in one call.",
        "handles of an instance are limited, lent ones too",
        Trapped(&["handle", "table"]),
    );
    secrets_in_eleven_encodings => guest(
        "telling",
        "appends a token in eleven encodings, from base64 in base64 to letters with nothing between, and in two entries.",
        "the guard undoes encodings before it looks, and remembers what an actor said last",
        Reports(&["secret"]),
    );
    lines_of_a_log => guest(
        "telling",
        "appends texts that look like lines of the log and of a checkpoint.",
        "bodies are sealed and in base64: no byte of a line is a guest's",
        Reports(&[]),
    );
    escapes_of_a_terminal => guest(
        "telling",
        "appends what clears a screen.",
        "it is kept as it is, and escaped wherever it is shown",
        Reports(&[]),
    );
    texts_that_turn_around => guest(
        "telling",
        "appends text that reads in another order than it is written.",
        "it is kept as it is, and escaped wherever it is shown",
        Reports(&[]),
    );
    no_characters => guest(
        "telling",
        "appends NULs and code points that are no characters.",
        "JSON and SQLite are given lengths, not ends",
        Reports(&[]),
    );
    combining_characters => guest(
        "telling",
        "appends a letter with 100,000 marks on it.",
        "text is cut by bytes before it is analysed",
        Reports(&[]),
    );
    json_of_another_kind => guest(
        "telling",
        "appends payloads that are nearly JSON objects.",
        "one strict parser decides",
        Reports(&["invalid"]),
    );
    json_nested_without_end => guest(
        "telling",
        "appends lists nested 200,000 deep.",
        "parsing ends at 128 levels",
        Reports(&["invalid", "too-large"]),
    );
    half_of_a_pair_in_json => guest(
        "telling",
        "appends half of a pair, as an escape.",
        "the parser refuses what is no text",
        Reports(&["invalid"]),
    );
    numbers_past_all_bounds => guest(
        "telling",
        "appends numbers that no number holds.",
        "they are refused, or kept as the text that they are",
        Reports(&[]),
    );
    numbers_that_mean_nothing => guest(
        "telling",
        "appends a confidence below 0 and a time to live without end.",
        "what is derived takes what makes sense and leaves the rest",
        Reports(&[]),
    );
    members_said_twice => guest(
        "telling",
        "says `text` twice, for readers that take the first and such that take the last.",
        "a member that is there twice is refused",
        Reports(&["invalid"]),
    );
    a_refusal_that_quotes_without_end => guest(
        "telling",
        "has itself refused in words that quote 200,000 characters, each of which takes six bytes in the record.",
        "a message is cut at 1,000 characters",
        Reports(&["invalid"]),
    );
    bodies_past_their_limit => guest(
        "telling",
        "appends bodies of more than a mebibyte, also such as are so only when they are written down.",
        "a body is measured as given and as sealed",
        Reports(&["too-large"]),
    );
    drafts_past_their_number => guest(
        "telling",
        "appends no draft, and 1,001.",
        "their number is limited",
        Reports(&["invalid", "too-large", "quota"]),
    );
    one_bad_draft_among_good_ones => guest(
        "telling",
        "hides a draft that is not granted among nine that are.",
        "all of a batch is checked before any of it is appended",
        Reports(&["denied"]),
    );
    a_key_for_two_things => guest(
        "telling",
        "uses an idempotency key again with another text, another kind, and twice in a batch.",
        "the commitment is computed again and compared",
        Reports(&["conflict"]),
    );
    keys_of_no_form => guest(
        "telling",
        "uses keys that are empty, too long, or the host's.",
        "a key has 1 to 128 bytes and does not begin with `quipu:`",
        Reports(&["invalid"]),
    );
    a_key_again_and_again => guest(
        "telling",
        "repeats an append 400 times, past its quota.",
        "a repeat appends nothing and gives the first receipt",
        Reports(&[]),
    );
    a_key_to_find_out_what_others_said => guest(
        "telling",
        "uses a key that another actor may have used.",
        "keys are blinded with actor and scope: they meet no one else's",
        Reports(&[]),
    );
    quota_that_is_used_up => guest(
        "telling",
        "goes on when its quota is used up, one by one and in batches.",
        "the quota counts drafts before anything is done",
        Reports(&["quota"]),
    );
    refusals_without_end => guest(
        "telling",
        "has itself refused for ever, to fill the record of its run.",
        "what a run may be told is limited: it is ended",
        Trapped(&["was told more"]),
    );
    a_panic_between_two_batches => guest(
        "telling",
        "appends a batch and panics.",
        "what was acknowledged stays, and the run's end says that it trapped",
        Trapped(&["unreachable"]),
    );
    pages_of_nothing => guest(
        "asking",
        "asks for pages of no events, which never end.",
        "0 is refused",
        Reports(&["invalid"]),
    );
    pages_without_end => guest(
        "asking",
        "asks for pages of four billion events.",
        "a page has 1,000 events and 4 MiB at most",
        Reports(&[]),
    );
    cursors_past_the_end => guest(
        "asking",
        "reads from positions past the end, up to the last number.",
        "a cursor is clamped to the head",
        Reports(&[]),
    );
    cursors_that_go_round => guest(
        "asking",
        "follows cursors one event at a time, to see whether they come to an end.",
        "each page moves on",
        Reports(&[]),
    );
    ids_to_get_of_no_form => guest(
        "asking",
        "asks for what is no event id, of up to a mebibyte.",
        "an id has one form and one length",
        Reports(&["invalid"]),
    );
    recall_without_handles => guest(
        "asking",
        "asks in no scope, hoping for all.",
        "at least one handle is needed",
        Reports(&["invalid"]),
    );
    recall_of_nothing => guest(
        "asking",
        "asks for no results, and for a text of no length.",
        "0 is refused",
        Reports(&["invalid"]),
    );
    recall_of_everything => guest(
        "asking",
        "asks for all there is, in four billion characters.",
        "answers have their own limits, whatever is asked",
        Reports(&[]),
    );
    questions_past_their_limit => guest(
        "asking",
        "asks in a mebibyte of words, with 10,000 tags.",
        "texts and lists of a question are limited",
        Reports(&["too-large"]),
    );
    questions_in_sql => guest(
        "asking",
        "asks in SQL.",
        "what is asked is bound to statements that are written beforehand",
        Reports(&[]),
    );
    questions_in_the_index_s_own_language => guest(
        "asking",
        "asks in the language of a full-text index.",
        "words are taken apart before the index is asked",
        Reports(&[]),
    );
    regular_expressions_that_explode => guest(
        "asking",
        "asks for regular expressions that take exponential time elsewhere.",
        "nothing that is asked is taken for a pattern",
        Reports(&[]),
    );
    questions_of_marks_alone => guest(
        "asking",
        "asks in marks, joiners, emoji and ligatures that unfold to many letters.",
        "text is cut by bytes, before and after it is made canonical",
        Reports(&[]),
    );
    times_of_no_form => guest(
        "asking",
        "asks since yesterday, and since the 30th of February.",
        "a timestamp has one form",
        Reports(&["invalid"]),
    );
    times_the_wrong_way_round => guest(
        "asking",
        "asks for what happened after a time and long before it.",
        "nothing did",
        Reports(&[]),
    );
    refreshing_without_end => guest(
        "asking",
        "refreshes 2,000 times, to fill the record of its run.",
        "answers are recorded in batches, and what a run may be told is limited",
        Reports(&[]),
    );
    proofs_without_end => guest(
        "asking",
        "asks for 200 proofs, to have the host sign without end.",
        "a checkpoint that covers the event is used again; proofs count as told",
        Reports(&[]),
    );
    a_flood_across_runs => host(
        "appends until it is refused, and has itself run again and again, to fill its scope.",
        "the scope's quota, which an operator sets, counts across all runs; what a run is recorded in is bounded",
        full::a_flood_across_runs,
    );
    a_batch_that_fits_in_part => host(
        "appends a batch of which a part has room in its scope.",
        "a batch is held against the scope's quota as a whole, where it would get its places",
        full::a_batch_that_fits_in_part,
    );
    a_quota_of_its_own => host(
        "appends drafts of the kind that sets quotas, to allow itself more.",
        "kinds that begin with `quipu.` are granted to nobody, and only what an operator signed sets a quota",
        full::a_quota_of_its_own,
    );
    a_compactor_that_never_ends => host(
        "is a compactor that computes for ever.",
        "the deadline ends it, and nothing that it proposed is appended",
        loops::a_compactor_that_never_ends,
    );
    a_projection_that_never_ends_in_apply => host(
        "is a projection that computes for ever in `apply`.",
        "each call of a projection has a deadline",
        loops::a_projection_that_never_ends_in_apply,
    );
    a_projection_that_never_ends_in_snapshot => host(
        "is a projection that computes for ever in `snapshot`.",
        "each call of a projection has a deadline, that for its state too",
        loops::a_projection_that_never_ends_in_snapshot,
    );
    a_projection_that_never_ends_in_restore => host(
        "is a projection that computes for ever in `restore`.",
        "each call of a projection has a deadline; one that does not take its state back is fed anew",
        loops::a_projection_that_never_ends_in_restore,
    );
    a_projection_that_never_ends_in_query => host(
        "is a projection that computes for ever in `query`.",
        "each call of a projection has a deadline, and it imports no function",
        loops::a_projection_that_never_ends_in_query,
    );
    names_that_steer_a_terminal => command(
        "gives scopes, actors and kinds with escapes and line breaks.",
        "identifiers have a strict character set",
        arguments::names_that_steer_a_terminal,
    );
    names_of_a_hundred_thousand_bytes => command(
        "gives a scope, an actor, a kind and a key of 100,000 bytes.",
        "identifiers and keys have 128 bytes",
        arguments::names_of_a_hundred_thousand_bytes,
    );
    names_of_the_host => command(
        "appends as the host, to its scope, of its kinds.",
        "what is the host's is refused whoever asks",
        arguments::names_of_the_host,
    );
    names_that_are_paths => command(
        "gives scopes that are paths.",
        "no name is ever part of a path",
        arguments::names_that_are_paths,
    );
    arguments_that_are_no_text => command(
        "gives arguments that are no UTF-8.",
        "they are refused, or are paths as they are",
        arguments::arguments_that_are_no_text,
    );
    numbers_past_all_bounds_of_arguments => command(
        "gives numbers below 0, past 64 bits, and in other digits.",
        "numbers are parsed strictly",
        arguments::numbers_past_all_bounds,
    );
    confidence_of_no_number => command(
        "gives a confidence that is NaN, infinite or above 1.",
        "it is 0 to 1",
        arguments::confidence_of_no_number,
    );
    payloads_of_no_form => command(
        "gives payloads that are no JSON objects.",
        "one strict parser decides",
        arguments::payloads_of_no_form,
    );
    questions_that_explode => command(
        "searches in SQL, in patterns, in 60,000 letters.",
        "words are taken apart before the index is asked, and cut",
        arguments::questions_that_explode,
    );
    ids_that_are_something_else => command(
        "gives paths and escapes for event ids.",
        "an id has one form",
        arguments::ids_that_are_something_else,
    );
    grants_of_what_is_the_hosts => command(
        "grants an agent the ledger's scope, the host's name, its kinds.",
        "a grant is checked before a run begins",
        arguments::grants_of_what_is_the_hosts,
    );
    an_input_that_steers_a_terminal => command(
        "asks an agent that answers in escapes.",
        "answers are escaped where they are shown",
        arguments::an_input_that_steers_a_terminal,
    );
    texts_that_steer_a_terminal => command(
        "appends escapes and line breaks, and has them shown by each command.",
        "whatever comes of memory is escaped where it is shown",
        arguments::texts_that_steer_a_terminal,
    );
    an_origin_of_two_lines => command(
        "makes a ledger whose name is two lines, to forge a checkpoint.",
        "an origin has a strict character set",
        arguments::an_origin_of_two_lines,
    );
    a_component_without_an_end => command(
        "gives /dev/zero as a component, plainly and by a link.",
        "reading ends where a component is too large",
        files::a_component_without_an_end,
    );
    an_input_without_an_end => command(
        "gives /dev/zero as an agent's input.",
        "reading ends where an input is too large",
        files::an_input_without_an_end,
    );
    a_compactor_without_an_end => command(
        "gives /dev/zero as a compactor.",
        "reading ends where a component is too large",
        files::a_compactor_without_an_end,
    );
    a_projection_without_an_end => command(
        "gives /dev/zero as a projection.",
        "reading ends where a component is too large",
        files::a_projection_without_an_end,
    );
    a_component_that_is_a_folder => command(
        "gives a folder as a component.",
        "it cannot be read, and that is said",
        files::a_component_that_is_a_folder,
    );
    a_component_of_half_a_gigabyte => command(
        "gives a file of 512 MiB without content as a component.",
        "reading ends where a component is too large",
        files::a_component_of_half_a_gigabyte,
    );
    a_component_with_flipped_bits => command(
        "flips bits of a component, one in each of 60 copies.",
        "the audit answers or refuses, and never panics",
        files::a_component_with_flipped_bits,
    );
    a_name_of_a_file_that_steers_a_terminal => command(
        "names a component with escapes and text that turns around.",
        "names of files are escaped where they are shown",
        files::a_name_of_a_file_that_steers_a_terminal,
    );
    a_ledger_that_is_something_else => command(
        "names a file, an empty folder, a circle of links and devices as the ledger.",
        "a ledger is opened or refused, and never made by accident",
        files::a_ledger_that_is_something_else,
    );
    a_ledger_behind_a_link => command(
        "names a link to a ledger.",
        "the folder is opened once, and all else is below it",
        files::a_ledger_behind_a_link,
    );
    a_segment_that_is_a_device => command(
        "puts /dev/zero where a segment is.",
        "nothing is followed out of the ledger's folder",
        files::a_segment_that_is_a_device,
    );
    a_checkpoint_of_a_gigabyte => command(
        "makes the checkpoint a gigabyte long.",
        "a note has a largest size",
        files::a_checkpoint_of_a_gigabyte,
    );
    keys_of_garbage => command(
        "puts garbage, nothing or half of it where the keys are.",
        "a key file is whole or refused; none is ever made in its place",
        files::keys_of_garbage,
    );
    a_log_with_flipped_bits => command(
        "flips a bit of the log, one in each of 24 copies.",
        "each bit is covered by a checksum, a hash and a signed root",
        files::a_log_with_flipped_bits,
    );
    derived_state_that_is_poisoned => command(
        "puts something else where derived state is.",
        "it is checked, thrown away, and derived again",
        files::derived_state_that_is_poisoned,
    );
    a_kept_component_that_was_exchanged => command(
        "exchanges the component that the ledger keeps for one that never ends.",
        "it is kept by its digest, which is compared; what is run is what was given",
        files::a_kept_component_that_was_exchanged,
    );
    agents_of_no_form => command(
        "names agents in a `quipu.toml` that is none.",
        "it is parsed strictly, and nothing is run",
        agents::agents_of_no_form,
    );
    agents_with_unknown_members => command(
        "has members in `quipu.toml` that no agent has, its own approval among them.",
        "members that are not known are refused; an approval is an operator's signed entry in the ledger",
        agents::agents_with_unknown_members,
    );
    agents_named_twice => command(
        "names an agent twice, in other letters or another spelling, once with more.",
        "a name is there once, and is of ASCII letters",
        agents::agents_named_twice,
    );
    agents_past_their_size => command(
        "has a `quipu.toml` of 2 MiB, of 16,000 agents and of a list of 100,000 scopes.",
        "file and lists have a largest size",
        agents::agents_past_their_size,
    );
    agents_nested_without_end => command(
        "nests `quipu.toml` 500,000 deep.",
        "the parser limits how deep it goes",
        agents::agents_nested_without_end,
    );
    agents_behind_links_and_devices => command(
        "puts a link to a device, to a secret or to itself where `quipu.toml` is.",
        "reading ends at a size; what is refused is told by its place and never quoted",
        agents::agents_behind_links_and_devices,
    );
    agents_that_steer_a_terminal => command(
        "has escapes, line breaks and text that turns around in each member of `quipu.toml`.",
        "names have a strict character set, and whatever comes of the file is escaped where it is shown",
        agents::agents_that_steer_a_terminal,
    );
    components_in_other_places => command(
        "names files elsewhere as components: by `..`, by links, devices, the ledger's keys.",
        "a component runs by name if an operator approved its digest; nothing of another file is told",
        agents::components_in_other_places,
    );
    agents_granted_what_is_the_hosts => command(
        "grants what is the host's, or more than was approved, in `quipu.toml`.",
        "a grant is checked before it is looked at, and what is wider than the approved one is not run",
        agents::agents_granted_what_is_the_hosts,
    );
    compiled_code_that_is_poisoned => command(
        "changes, cuts and exchanges the compiled code that is kept of a component.",
        "code is authenticated with a key that lies elsewhere, is of one component, and is made again",
        files::compiled_code_that_is_poisoned,
    );
    an_append_flood_until_the_disk_is_full => command(
        "has an agent append until the disk is full.",
        "room is made before a commit is staged: what does not fit is refused, and what was acknowledged stays",
        files::an_append_flood_until_the_disk_is_full,
    );
    policies_of_no_form => command(
        "gives policies that are no TOML, nested without end, or say things twice.",
        "a policy is parsed strictly and within a size",
        files::policies_of_no_form,
    );
    imports_that_forge_stamps => command(
        "imports an event with an id, a time and an actor of the past.",
        "imported events are stamped like all others; their past is in their source",
        files::imports_that_forge_stamps,
    );
    imports_of_no_form => command(
        "imports garbage, lines of 20 MiB and lists nested without end.",
        "all of an import is checked before any of it is appended",
        files::imports_of_no_form,
    );
    keys_of_operators_of_no_form => command(
        "signs with what is no key.",
        "a key has one form and a size",
        files::keys_of_operators_of_no_form,
    );
    proofs_of_no_form => command(
        "has garbage checked as a proof.",
        "proofs are parsed strictly and within a size",
        files::proofs_of_no_form,
    );
    a_socket_of_somebody_else => command(
        "listens where the writing process would, and says nothing.",
        "whoever holds the lock writes; a silent peer is waited for a while",
        files::a_socket_of_somebody_else,
    );
    garbage_for_the_writer => command(
        "writes garbage to the socket of the process that writes.",
        "messages have a form, a size and a time; one that is bad ends its connection alone",
        files::garbage_for_the_writer,
    );
}
