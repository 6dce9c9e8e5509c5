//! Every limit, in one place, each with its unit. What is part of the format is a constant; what an operator may
//! set is a field of [`Limits`], whose default is given here.

use serde::{Deserialize, Serialize};

/// Bytes of an envelope: what a tlog-tiles entry bundle can hold.
pub const ENVELOPE_BYTES: usize = 65_535;
/// Bytes of a body's plaintext.
pub const BODY_BYTES: usize = 1 << 20;
/// Bytes of a commit, all its lines together.
pub const COMMIT_BYTES: usize = 16 << 20;
/// Entries of a commit; more than that wait for the next one.
pub const COMMIT_ENTRIES: usize = 4_096;
/// Entries in a row among which there is one of kind `quipu.scopes`.
pub const SCOPE_ROOT_ENTRIES: u64 = 10_000;
/// Bytes of the lines of all appends that wait for a commit; further ones wait for room.
pub const QUEUED_BYTES: usize = 4 * COMMIT_BYTES;
/// Bytes of a segment file.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// Bytes of a scope, actor or kind.
pub const IDENTIFIER_BYTES: usize = 128;
/// Bytes of an idempotency key before it is blinded.
pub const KEY_BYTES: usize = 128;
/// Events that one entry may name as evidence, and as many that it may supersede.
pub const LINKS: usize = 256;
/// Drafts in one atomic append.
pub const DRAFTS: usize = 1_000;
/// Highest `seq`: a language whose numbers are doubles holds every one exactly.
pub const LAST_SEQ: u64 = (1 << 53) - 1;
/// Bytes kept on the disk for what must be possible when it is full: as much as the checkpoint, the tree's hashes and
/// the keys of some thousands of scopes take.
pub const RESERVE_BYTES: u64 = 1 << 20;
/// Entries of one scope; its key tree has a leaf for each.
pub const SCOPE_ENTRIES: u32 = u32::MAX;
/// Nodes of one scope's key tree that remain after erasures.
pub const KEY_NODES: usize = 100_000;
/// Bytes of a file with an operator's key, which has one line.
pub const KEY_FILE_BYTES: u64 = 64 << 10;
/// Bytes of a passphrase.
pub const PASSPHRASE_BYTES: usize = 1_024;
/// KiB of memory that a key file may ask for to try one passphrase: 1 GiB.
pub const ARGON2_MEMORY_KIB: u32 = 1 << 20;
/// Passes over that memory.
pub const ARGON2_PASSES: u32 = 16;
/// Lanes of that memory.
pub const ARGON2_LANES: u32 = 16;
/// Bytes of the reason that an operator gives for an act.
pub const REASON_BYTES: usize = 4_096;
/// Entries that a reason is compared with: the newest of those that are erased.
pub const REASON_ENTRIES: usize = 10_000;
/// Legal holds in force, retention policies, quotas, deletion requests that are open, and approved agents: so many of each.
pub const GOVERNED: usize = 10_000;
/// Days that a retention policy may count.
pub const RETENTION_DAYS: u32 = 36_500;
/// Bytes that a quota of a scope may allow.
pub const QUOTA_BYTES: u64 = (1 << 53) - 1;
/// Stretches of entries that the record of one run names as read, over all its scopes; a stretch takes 24 bytes.
pub const READ_RANGES: usize = 4_096;
/// Patterns of scopes that a projection component may be fed by: they fit an entry's `sys`.
pub const PROJECTION_SCOPES: usize = 64;
/// Bytes of the state that a projection component gives to be kept, and of its answer to a question.
pub const SNAPSHOT_BYTES: usize = 16 << 20;
/// Bytes of the payload of a summary that a compactor component proposes.
pub const SUMMARY_BYTES: usize = 64 << 10;
/// Bytes of a ledger's origin.
pub const ORIGIN_BYTES: usize = 255;
/// Bytes of a signed note.
pub const NOTE_BYTES: usize = 1_000_000;
/// Bytes of a witness's answer: a few lines of signatures.
pub const WITNESS_ANSWER_BYTES: u64 = 16 << 10;
/// Verifier keys of one ledger that something is checked with: one more for each rotation.
pub const TRUSTED_KEYS: usize = 1_000;
/// Signatures on a signed note.
pub const NOTE_SIGNATURES: usize = 100;
/// Bytes of a disclosure, and of a line of a scope's export: a body and an envelope of which every byte is escaped, and a
/// proof.
pub const DISCLOSURE_BYTES: usize = 4 << 20;
/// Events in one page.
pub const PAGE_EVENTS: usize = 1_000;
/// Bytes of the bodies in one page (the page's last event may go past it, so that every event fits some page).
pub const PAGE_BYTES: usize = 4 << 20;
/// Keyed entries whose idempotency keys are remembered, the newest.
pub const REMEMBERED_KEYS: usize = 1_000_000;

/// Bytes of a message between processes that share a ledger: the drafts of a whole commit as JSON, and room to spare.
pub const MESSAGE_BYTES: usize = COMMIT_BYTES + (4 << 20);
/// Bytes of the messages that the writing process receives at once, from all others together.
pub const MESSAGES_BYTES: usize = 64 << 20;
/// Milliseconds in which a message whose beginning is there must come whole, and in which an answer must be taken.
pub const MESSAGE_MS: u64 = 10_000;
/// Connections of other processes that the writing process serves at once.
pub const CONNECTIONS: usize = 256;

/// Bytes that are imported at once.
pub const IMPORT_BYTES: usize = 2 << 30;
/// Bytes of a component, or of a core module, that is audited.
pub const COMPONENT_BYTES: usize = 256 << 20;
/// Bytes of the list of dependencies in a component, unpacked.
pub const DEPENDENCY_BYTES: usize = 4 << 20;
/// Bytes of an attestation.
pub const ATTESTATION_BYTES: usize = 1 << 20;
/// Bytes of a policy that components are held against.
pub const POLICY_BYTES: usize = 1 << 20;

/// Bytes of text up to which a task looks for secrets on its own thread; for longer ones it waits for another.
pub const GUARD_INLINE_BYTES: usize = 4 << 10;
/// Bytes that the secret guard gives to its rules at once; longer texts are cut into pieces of this size.
pub const GUARD_PIECE_BYTES: usize = 16 << 10;
/// Bytes that each of these pieces shares with the one before it: a longer secret may be cut in two.
pub const GUARD_OVERLAP_BYTES: usize = 4 << 10;
/// How often, at most, the secret guard undoes an encoding within another.
pub const GUARD_DEPTH: usize = 2;
/// Bytes, counted again for each rule that reads them, that the secret guard reads of one draft; what needs more is
/// refused. Of drafts that are appended together it reads 512 times their bytes, where that is more.
pub const GUARD_WORK_BYTES: usize = 128 << 20;
/// Actors, each in a scope, of whom the secret guard remembers the newest entries.
pub const GUARD_ACTORS: usize = 1_024;
/// Entries of an actor that the secret guard remembers, to find what is split over several.
pub const GUARD_ENTRIES: usize = 8;
/// Texts of one of those entries that it remembers.
pub const GUARD_FIELDS: usize = 4;
/// Bytes of the end of such a text.
pub const GUARD_TAIL_BYTES: usize = 512;
/// Bytes of a file that names agents, `quipu.toml`.
pub const AGENTS_BYTES: usize = 1 << 20;
/// Bytes of an agent's name.
pub const AGENT_NAME_BYTES: usize = 64;
/// Scopes, or beginnings of scopes, that a named agent may read besides its home, as many that it may append to, and as
/// many kinds: all of them fit the entry that approves it.
pub const AGENT_LIST: usize = 128;
/// Bytes that a guest of WASI writes to its standard output and are traced, and as many of its standard error.
pub const STREAM_BYTES: usize = 64 << 10;
/// Bytes of compiled code that are kept on the disk, of all components together.
pub const CODE_CACHE_BYTES: u64 = 1 << 30;
/// Bytes of what a compiler in another process may say of why it refuses a component.
pub const COMPILER_WORDS_BYTES: usize = 16 << 10;

/// What compiling one component may use, where another process does it. That process is ended at the first one that is
/// passed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompileLimits {
    /// Bytes of the component.
    pub component_bytes: usize,
    /// Bytes of address space.
    pub memory_bytes: u64,
    /// Seconds of processor time, of all its threads together.
    pub cpu_seconds: u64,
    /// Seconds from its start to its end, whatever it does meanwhile.
    pub wall_seconds: u64,
    /// Bytes of the code that comes of it.
    pub code_bytes: usize,
    /// Threads.
    pub threads: usize,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            component_bytes: 64 << 20,
            memory_bytes: 4 << 30,
            cpu_seconds: 120,
            wall_seconds: 600,
            code_bytes: 512 << 20,
            threads: 8,
        }
    }
}

/// What one run may use. All limits hold for each run on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the guest's linear memories and tables together.
    pub memory_bytes: usize,
    /// Milliseconds of wall time from the guest's instantiation to its return. Waiting for room, keeping the component
    /// and recording the run's beginning and end come on top.
    pub deadline_ms: u64,
    /// Entries that a run may append.
    pub appends: u32,
    /// Bytes that one host call may copy out of the guest (wasmtime's host-call fuel).
    pub host_call_bytes: usize,
    /// Handles that one instance may hold at once.
    pub handles: usize,
    /// Bytes of recorded answers, refusals and recalls of one run.
    pub told_bytes: usize,
    /// Bytes of a run's input, and of its output.
    pub input_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            deadline_ms: 30_000,
            appends: 10_000,
            host_call_bytes: 16 << 20,
            handles: 1_000,
            told_bytes: 16 << 20,
            input_bytes: 512 << 10,
        }
    }
}
