//! Which calls to the storage go wrong, and when the power goes.

use std::io;

use super::dice::Dice;

/// What becomes of one call.
pub(super) enum Outcome {
    Done,
    /// It is done for this many of its bytes only, and reports that.
    Short(usize),
    /// It fails. This much of it is done all the same: bytes of a write, all or nothing of the rest.
    Failed {
        error: io::Error,
        done: usize,
    },
    /// It is the last one of its process, and this much of it is done.
    Last {
        done: usize,
    },
}

/// How a process ends, or what its end begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The power is cut: every process ends, and what is not on the medium is gone.
    PowerCut,
    /// The process is killed: what it wrote stays in memory, where the next process finds it.
    Kill,
    /// The call fails, and the process goes on: of a sync that failed, the next process finds what is perhaps nowhere else.
    Fault,
}

/// A kind of call, as far as faults differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Look,
    Open,
    Read,
    Write,
    /// A write that makes a file larger, or a new name: what a full disk refuses.
    Grow,
    Name,
    Sync,
}

/// A medium, or a path to it, that does not keep to what `docs/FORMAT.md`, "Media", relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    /// A sync of a file reports success and writes nothing.
    FileSync,
    /// A sync of a folder reports success and writes nothing.
    FolderSync,
    /// A rename first removes the name that it replaces, and a power cut may come between.
    Rename,
    /// Bytes that are written again as they stand are not written: after a failed sync they never reach the medium.
    SameBytes,
    /// A lock is granted to everybody.
    Lock,
}

#[derive(Debug, Clone)]
pub(super) struct Plan {
    dice: Dice,
    /// One call in so many fails; 0: none does.
    pub(super) fails_one_in: usize,
    /// No room is left: nothing can grow.
    pub(super) full: bool,
    /// After how many calls of the writer it ends, and how.
    pub(super) ending: Option<(usize, Ending)>,
    /// It has come.
    pub(super) struck: bool,
    pub(super) lie: Option<Lie>,
    /// Calls that failed or were cut short, for the report.
    pub(super) faults: u64,
}

impl Plan {
    pub(super) fn new(dice: Dice) -> Self {
        Self {
            dice,
            fails_one_in: 0,
            full: false,
            ending: None,
            struck: false,
            lie: None,
            faults: 0,
        }
    }

    /// Decides about a call on so many bytes. Only the writer's calls count towards its end.
    pub(super) fn decide(&mut self, call: Call, bytes: usize, writer: bool) -> Outcome {
        if writer && let Some((left, ending)) = &mut self.ending {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.struck = true;
                if *ending == Ending::Fault {
                    self.ending = None;
                    self.faults += 1;
                    let error = io::Error::other("input/output error");
                    return Outcome::Failed { error, done: 0 };
                }
                let done = self.part(bytes);
                return Outcome::Last { done };
            }
        }
        if self.full && call == Call::Grow {
            self.faults += 1;
            let error = io::ErrorKind::StorageFull.into();
            let done = if bytes > 0 { self.dice.below(bytes) } else { 0 };
            return Outcome::Failed { error, done };
        }
        if self.fails_one_in == 0 || !self.dice.one_in(self.fails_one_in) {
            return Outcome::Done;
        }
        self.faults += 1;
        let transfer = matches!(call, Call::Read | Call::Write | Call::Grow) && bytes > 0;
        match self.dice.below(4) {
            0 if transfer => Outcome::Failed {
                error: io::ErrorKind::Interrupted.into(),
                done: 0,
            },
            1 if transfer => Outcome::Short(1 + self.dice.below(bytes)),
            2 if matches!(call, Call::Grow | Call::Name) => Outcome::Failed {
                error: io::ErrorKind::StorageFull.into(),
                done: self.part(bytes),
            },
            _ => Outcome::Failed {
                error: io::Error::other("input/output error"),
                done: self.part(bytes),
            },
        }
    }

    pub(super) fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// How much is done of a call that does not end well; of one without bytes, whether it is.
    fn part(&mut self, bytes: usize) -> usize {
        self.dice.below(bytes.max(1) + 1)
    }
}
