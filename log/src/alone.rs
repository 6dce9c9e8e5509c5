//! One writer at a time, on tasks: it may commit on its own thread, and is spared two changes of threads, each of which
//! takes a good part of the time that a sync does.

use tokio::runtime::{self, Handle, RuntimeFlavor};

/// Commits of one writer in a row after which the next is taken for one too.
const CERTAIN: u32 = 3;

/// Of so many commits one is made by the committing thread all the same. A task that appends several things at once
/// looks like one writer as long as each is committed before the next is begun, and is found out this way.
const LOOK: u32 = 32;

/// What is known of that.
#[derive(Default)]
pub(crate) struct Alone {
    /// Commits of one writer in a row.
    commits: u32,
    /// The last writer was on a thread that may block.
    may_block: bool,
}

impl Alone {
    /// Takes note of how many wrote at the time of a commit.
    pub(crate) fn saw(&mut self, writers: usize) {
        self.commits = if writers == 1 {
            self.commits.saturating_add(1)
        } else {
            0
        };
    }

    /// Whether a writer that comes now, and finds nobody, is to commit on its own thread.
    pub(crate) fn may_commit(&mut self) -> bool {
        if !self.is_certain() {
            return false;
        }
        self.may_block = may_block();
        self.may_block
    }

    /// Whether the next writer is expected to commit on its own thread.
    pub(crate) fn is_expected(&self) -> bool {
        self.may_block && self.is_certain()
    }

    fn is_certain(&self) -> bool {
        self.commits >= CERTAIN && !self.commits.is_multiple_of(LOOK)
    }
}

/// Commits on this thread, of which the executor is told.
pub(crate) fn in_place<T>(commit: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(commit)
}

/// Whether this is a thread of an executor that can go on without it.
fn may_block() -> bool {
    let is_multi = |handle: Handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread;
    runtime::worker_index().is_some() && Handle::try_current().is_ok_and(is_multi)
}
