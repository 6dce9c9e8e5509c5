//! Limits of derived state, each with its unit. What bounds an answer's size is `quipu_format::limits`.

use std::time::Duration;

/// Bytes of text that are looked at in one event; what follows cannot be searched.
pub const INDEXED_BYTES: usize = 64 << 10;
/// Words of one event that are indexed; what follows cannot be searched.
pub const INDEXED_WORDS: usize = 4_096;
/// Bytes of a word; a longer one is known by its beginning.
pub const WORD_BYTES: usize = 64;
/// Tags of one event that can be filtered by.
pub const TAGS: usize = 256;
/// Bytes of a tag, or of an imported actor, that can be filtered by.
pub const LABEL_BYTES: usize = 128;

/// Bytes of a query's text that are looked at.
pub const QUERY_BYTES: usize = 64 << 10;
/// Different words of a query that are looked for, the first.
pub const QUERY_WORDS: usize = 128;
/// Kinds, tags and actors that a query may name, each.
pub const QUERY_LABELS: usize = 256;
/// Most hits of one search.
pub const HITS: usize = 1_000;

/// The longest silence within a session. A conversation that goes on later goes on in another one.
pub const SESSION_GAP: Duration = Duration::from_secs(6 * 60 * 60);

/// Entries that are listed as descending from others, at most.
pub const DESCENDANTS: usize = 100_000;

/// Sources of one fact that are heard together, the surest.
pub const VOICES: usize = 64;
/// Events, itself included, that a statement is followed back through along its evidence; what lies behind is not
/// looked at.
pub const DERIVATION: usize = 256;
/// Events that are named as the evidence of one fact, the newest.
pub const EVIDENCE: usize = 256;
/// Events that are named as evidence in one answer, all its facts together; facts behind that are left out.
pub const ANSWER_EVIDENCE: usize = 8_192;

/// Tiers of summaries.
pub const TIERS: u32 = 16;
/// Entries that one summary of the built-in compactor covers: as many as an entry may name.
pub const COVERED: usize = quipu_format::limits::LINKS;
/// Bytes of text of one of its summaries of tier 1; the tiers above may have four times as many.
pub const SUMMARY_BYTES: usize = 4 << 10;
/// Bytes of one line of it; what a longer one says is cut.
pub const SUMMARY_LINE_BYTES: usize = 512;

/// Entries that are looked at to tell whether a summary holds of which something may have been taken back; one that covers
/// more, itself and through other summaries, is taken not to hold.
pub const HOLDING: usize = 4_000_000;
/// Bytes of text of one event, or of one key, that the built-in compactor looks at; what follows is not summarised.
pub const SUMMARISED_BYTES: usize = 16 << 10;
/// Bytes of what a summary of the built-in compactor notes on its lines; lines behind that are left out, and counted.
pub const SUMMARY_NOTES_BYTES: usize = 32 << 10;

/// Bytes of `noise.toml`.
pub const NOISE_BYTES: usize = 64 << 10;
/// Rules in it.
pub const NOISE_RULES: usize = 64;
/// Bytes that a compiled pattern of a rule may take.
pub const NOISE_PATTERN_BYTES: usize = 1 << 20;
/// Events that a rule may demand.
pub const NOISE_COUNT: usize = 1_000;
/// Events that one signal stands for, the newest.
pub const NOISE_EVENTS: usize = 4_096;

/// Bytes of `vectors.txt`.
pub const VECTOR_FILE_BYTES: u64 = 2 << 30;
/// Bytes of a line of it.
pub const VECTOR_LINE_BYTES: usize = 32 << 10;
/// Numbers of a line of it.
pub const VECTOR_DIMENSIONS: usize = 1_024;
/// Words of it that count, the first.
pub const VECTOR_WORDS: usize = 500_000;
/// Bytes of memory for their numbers, one each; what does not fit does not count.
pub const VECTOR_BYTES: usize = 256 << 20;
/// Documents of a scope that are looked at for what they mean, the newest.
pub const MEANING_DOCUMENTS: usize = 1 << 18;

/// Events folded in one transaction.
pub(crate) const BATCH_EVENTS: usize = 32_768;
/// Bytes of a page of terms: small enough that SQLite keeps two such rows on one of its own.
pub(crate) const POSTING_BYTES: usize = 1_900;
/// Bytes of terms and places that are held at a time while a block is made.
pub(crate) const BLOCK_BYTES: usize = 32 << 20;
/// Words folded in one transaction, after which it ends.
pub(crate) const BATCH_WORDS: usize = 1 << 20;
/// How long to wait for another process that writes the projection.
pub(crate) const BUSY: Duration = Duration::from_secs(10);
/// How long each step of overwriting what was erased waits for answers that have begun. Others that write the projection
/// wait [`BUSY`] for all of them.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// Idle connections that are kept open.
pub(crate) const CONNECTIONS: usize = 8;
/// Bytes of a write-ahead file above which it is cut back after a fold. SQLite writes it again from its beginning after some
/// 4 MiB, where readers let it, and cutting it back costs as much as writing it: every bit of it is overwritten, and every
/// statement is prepared again.
pub(crate) const WAL_BYTES: u64 = 32 << 20;
/// Entries that are folded with those that somebody waits for: others will wait for them next.
pub(crate) const TOGETHER: u64 = 256;
/// How long to wait before looking again how far another process has folded.
pub(crate) const LOOK: Duration = Duration::from_millis(5);
