//! Times and names of entries. Neither ever goes backwards, whatever the clock does.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use quipu_format::{EventId, Timestamp};
use ulid::Ulid;

/// Milliseconds by which the clock may disagree with itself or with the log before that is worth an entry.
const DISAGREEMENT_MS: u64 = 1_000;

/// Tells the time.
pub(crate) trait Clock: Send {
    /// Milliseconds since 1970 by the wall clock, which may be set.
    fn wall_ms(&self) -> u64;
    /// Milliseconds since some fixed instant, by a clock that nobody sets.
    fn steady_ms(&self) -> u64;
}

/// The machine's clocks.
pub(crate) struct SystemClock(Instant);

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_millis() as u64)
    }

    fn steady_ms(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }
}

/// The clock disagrees with the log (it is behind the last entry) or with itself (it was set).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disagreement {
    pub(crate) wall: Timestamp,
    pub(crate) expected: Timestamp,
}

/// Gives each entry its time and name.
pub(crate) struct Stamps {
    clock: Box<dyn Clock>,
    last: Ulid,
    now_ms: u64,
    /// Wall and steady time when they were last looked at.
    seen: Option<(u64, u64)>,
    /// The clock was behind the log when it was last looked at: said once, not with every entry.
    behind: bool,
}

impl Stamps {
    /// Goes on after the last entry's name.
    pub(crate) fn new(clock: Box<dyn Clock>, last: Ulid) -> Self {
        Self {
            clock,
            last,
            now_ms: 0,
            seen: None,
            behind: false,
        }
    }

    /// Looks at the clock, once a commit.
    pub(crate) fn look(&mut self) -> Option<Disagreement> {
        // A wall clock past the last instant that has a text counts as that instant.
        let (wall, steady) = (Timestamp::from_ms(self.clock.wall_ms()).as_ms(), self.clock.steady_ms());
        let since_seen = self.seen.map(|(w, s)| w + steady.saturating_sub(s));
        self.seen = Some((wall, steady));
        self.now_ms = wall;
        let was_behind = self.behind;
        self.behind = wall + DISAGREEMENT_MS <= self.last.timestamp_ms();
        let expected = if self.behind && !was_behind {
            self.last.timestamp_ms()
        } else {
            since_seen.filter(|&e| wall.abs_diff(e) >= DISAGREEMENT_MS)?
        };
        Some(Disagreement {
            wall: Timestamp::from_ms(wall),
            expected: Timestamp::from_ms(expected),
        })
    }

    /// The instant of the last look, and not before the last entry.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.now_ms.max(self.last.timestamp_ms()))
    }

    /// Time and name of the next entry, at the instant of the last look or just after the entry before it.
    pub(crate) fn next(&mut self) -> (Timestamp, EventId) {
        let random = |ms| {
            let mut bytes = [0; 16];
            // Names need not be secret, only distinct: without randomness they count up from the last one.
            let _ = crate::random::fill(&mut bytes);
            Ulid::from_parts(ms, u128::from_be_bytes(bytes))
        };
        self.last = if self.now_ms > self.last.timestamp_ms() {
            random(self.now_ms)
        } else {
            self.last
                .increment()
                .unwrap_or_else(|_| random(self.last.timestamp_ms() + 1))
        };
        (Timestamp::from_ms(self.last.timestamp_ms()), EventId(self.last))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Fake(Arc<Mutex<(u64, u64)>>);

    impl Clock for Fake {
        fn wall_ms(&self) -> u64 {
            self.0.lock().unwrap().0
        }
        fn steady_ms(&self) -> u64 {
            self.0.lock().unwrap().1
        }
    }

    fn stamps(wall: u64, last: Ulid) -> (Arc<Mutex<(u64, u64)>>, Stamps) {
        let time = Arc::new(Mutex::new((wall, 0)));
        let stamps = Stamps::new(Box::new(Fake(time.clone())), last);
        (time, stamps)
    }

    #[test]
    fn names_and_times_rise_while_the_clock_jumps_about() {
        let (time, mut stamps) = stamps(10_000, Ulid::nil());
        let mut last = (Timestamp::FIRST, EventId(Ulid::nil()));
        for wall in [10_000, 10_000, 5_000, 20_000, 0, 19_999, u64::from(u32::MAX)] {
            time.lock().unwrap().0 = wall;
            stamps.look();
            for _ in 0..3 {
                let next = stamps.next();
                assert!(next.0 >= last.0 && next.1 > last.1, "{next:?} after {last:?}");
                assert_eq!(next.0.as_ms(), next.1.0.timestamp_ms());
                last = next;
            }
        }
    }

    #[test]
    fn a_name_whose_random_part_is_used_up_takes_the_next_millisecond() {
        let (_, mut stamps) = stamps(7, Ulid::from_parts(9, u128::MAX));
        stamps.look();
        assert_eq!(stamps.next().0.as_ms(), 10);
    }

    #[test]
    fn a_clock_behind_the_log_is_said_once() {
        let (time, mut stamps) = stamps(5_000, Ulid::from_parts(10_000, 0));
        let said = stamps.look().unwrap();
        assert_eq!((said.wall.as_ms(), said.expected.as_ms()), (5_000, 10_000));
        *time.lock().unwrap() = (5_100, 100);
        assert_eq!(stamps.look(), None);
        *time.lock().unwrap() = (9_001, 4_001);
        assert_eq!(stamps.look(), None, "less than a second behind, and running evenly");
    }

    #[test]
    fn a_clock_that_is_set_is_said() {
        let (time, mut stamps) = stamps(5_000, Ulid::nil());
        assert_eq!(stamps.look(), None);
        *time.lock().unwrap() = (7_000, 500);
        let said = stamps.look().unwrap();
        assert_eq!((said.wall.as_ms(), said.expected.as_ms()), (7_000, 5_500));
        *time.lock().unwrap() = (7_999, 500);
        assert_eq!(stamps.look(), None);
    }
}
