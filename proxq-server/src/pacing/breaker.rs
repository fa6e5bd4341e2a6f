//! A circuit breaker: while an upstream is down, its jobs stay where they are, and only probes find out when it is back.
//!
//! ```text
//!  closed ── failures ──▶ open ── its time is over, or a connection was made ──▶ one job is tried
//!    ▲                     ▲                                                      │       │
//!    │                     └──────────────────── it failed ───────────────────────┘       │ it succeeded
//!    └───────── ten seconds ── slow start: ten a second, then twice as many each second ◀─┘
//! ```

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use super::BreakerPolicy;
use super::rate::{Pace, Rate, Schedule};
use crate::clock::Timestamp;

/// The longest that it stays open before the next job is tried, however often that failed.
const OPEN_MAX: Duration = Duration::from_mins(5);
/// How often a connection is tried while connecting fails.
pub(crate) const CONNECT_EVERY: Duration = Duration::from_secs(10);
/// How many attempts may begin in the first second of a slow start; in each second after it, twice as many.
const SLOW_START: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
/// After so many seconds of a slow start there is no limit any more: ten a second have become 10,240 by then.
const SLOW_SECONDS: u32 = 10;
/// Into how many parts the window is divided: a failure is forgotten at most a tenth too late.
const WINDOW_PARTS: u32 = 10;

/// The breaker of one upstream.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    policy: BreakerPolicy,
    state: State,
    /// Grows with each change of state, so that the end of an attempt is told from one that began before.
    era: u64,
}

#[derive(Clone, Debug)]
enum State {
    Closed { failed_in_a_row: u32, recent: VecDeque<Part> },
    Open { cause: Cause, rounds: u32, until: Timestamp },
    Probing { cause: Cause, rounds: u32 },
    SlowStart { since: Timestamp, schedule: Schedule, failed_in_a_row: u32, recent: VecDeque<Part> },
}

/// What happened in a part of the window.
#[derive(Clone, Copy, Debug)]
struct Part {
    began: Timestamp,
    attempts: u32,
    failures: u32,
}

/// Why attempts fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No connection is made.
    Connect,
    /// Anything else.
    Other,
}

/// How an attempt ended, as far as it tells of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptSign {
    /// The upstream answered.
    Good,
    /// It did not, or with an error.
    Bad(Cause),
    /// It tells nothing: it was not made, or broken off.
    None,
}

/// Whether attempts may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// As many as like.
    All,
    /// So many.
    Some(usize),
    /// One, which is to find out whether the upstream is back.
    Probe,
    /// None before then; `None` for none before something is told.
    NoneUntil(Option<Timestamp>),
}

/// Marks an attempt with what the breaker was like as it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Era(u64);

impl Breaker {
    pub(crate) fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: State::closed(), era: 0 }
    }

    /// Goes by another policy from now on.
    pub(crate) fn set_policy(&mut self, policy: BreakerPolicy) {
        self.policy = policy;
    }

    /// Whether the upstream counts as down.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. } | State::Probing { .. })
    }

    /// Whether a connection should be tried from time to time: until one was made, no job is.
    pub(crate) fn wants_connection(&self) -> bool {
        matches!(self.state, State::Open { cause: Cause::Connect, .. })
    }

    /// Notes that a connection was made: a job may be tried now.
    pub(crate) fn connected(&mut self, now: Timestamp) {
        if let State::Open { cause: Cause::Connect, rounds, .. } = self.state {
            self.state = State::Open { cause: Cause::Other, rounds, until: now };
        }
    }

    /// How many attempts may begin now, and what marks them.
    pub(crate) fn allowed(&mut self, now: Timestamp) -> (Allowed, Era) {
        self.end_slow_start(now);
        let allowed = match &self.state {
            State::Closed { .. } => Allowed::All,
            State::Open { cause: Cause::Connect, .. } | State::Probing { .. } => Allowed::NoneUntil(None),
            State::Open { cause: Cause::Other, until, .. } if *until > now => Allowed::NoneUntil(Some(*until)),
            State::Open { .. } => Allowed::Probe,
            State::SlowStart { since, schedule, .. } => match slow_pace(*since, now) {
                None => Allowed::All,
                Some(pace) => match schedule.room(pace, now) {
                    0 => Allowed::NoneUntil(schedule.next(now)),
                    room => Allowed::Some(room),
                },
            },
        };
        (allowed, Era(self.era))
    }

    /// Notes that so many attempts begin of those that were allowed. Gives what marks them: what has changed since then is not their
    /// doing.
    pub(crate) fn begin(&mut self, count: usize, (allowed, era): (Allowed, Era), now: Timestamp) -> Era {
        match &mut self.state {
            State::Open { cause, rounds, .. } if allowed == Allowed::Probe && count > 0 && era == Era(self.era) => {
                let (cause, rounds) = (*cause, *rounds);
                self.enter(State::Probing { cause, rounds });
                return Era(self.era);
            }
            State::SlowStart { since, schedule, .. } => {
                if let Some(pace) = slow_pace(*since, now) {
                    schedule.take(count, pace, now);
                }
            }
            State::Closed { .. } | State::Open { .. } | State::Probing { .. } => {}
        }
        era
    }

    /// What marks an attempt that begins whatever the breaker says; `None` where its end is to say nothing: while the upstream is
    /// down, only probes do.
    pub(crate) fn era_outside(&self) -> Option<Era> {
        (!self.is_open()).then_some(Era(self.era))
    }

    /// Notes how an attempt ended. Gives whether its failure is its job's own. That of one which began before it was known that
    /// the upstream is down is not, and neither is that of a probe that found no connection.
    pub(crate) fn ended(&mut self, began: Era, sign: AttemptSign, now: Timestamp) -> bool {
        self.end_slow_start(now);
        if began != Era(self.era) {
            return !matches!(sign, AttemptSign::Bad(_)) || !self.is_open();
        }
        match (&mut self.state, sign) {
            (
                State::Closed { failed_in_a_row, recent } | State::SlowStart { failed_in_a_row, recent, .. },
                AttemptSign::Good,
            ) => {
                *failed_in_a_row = 0;
                note(recent, self.policy, false, now);
            }
            (
                State::Closed { failed_in_a_row, recent } | State::SlowStart { failed_in_a_row, recent, .. },
                AttemptSign::Bad(cause),
            ) => {
                *failed_in_a_row += 1;
                note(recent, self.policy, true, now);
                if *failed_in_a_row >= self.policy.failures.get() || is_above(recent, self.policy) {
                    self.open(cause, 0, now);
                }
            }
            (State::Probing { .. }, AttemptSign::Good) => self.enter(State::SlowStart {
                since: now,
                schedule: Schedule::default(),
                failed_in_a_row: 0,
                recent: VecDeque::new(),
            }),
            (State::Probing { rounds, .. }, AttemptSign::Bad(cause)) => {
                let rounds = *rounds + 1;
                self.open(cause, rounds, now);
                return cause != Cause::Connect;
            }
            (State::Probing { cause, rounds }, AttemptSign::None) => {
                let (cause, rounds) = (*cause, *rounds);
                self.enter(State::Open { cause, rounds, until: now });
            }
            (State::Open { .. }, _) | (State::Closed { .. } | State::SlowStart { .. }, AttemptSign::None) => {}
        }
        true
    }

    /// After a slow start it is closed, with what is known of the attempts in it.
    fn end_slow_start(&mut self, now: Timestamp) {
        if let State::SlowStart { since, failed_in_a_row, recent, .. } = &mut self.state
            && slow_pace(*since, now).is_none()
        {
            self.state = State::Closed { failed_in_a_row: *failed_in_a_row, recent: std::mem::take(recent) };
        }
    }

    fn open(&mut self, cause: Cause, rounds: u32, now: Timestamp) {
        let span =
            self.policy.open.saturating_mul(2_u32.saturating_pow(rounds.min(16))).min(OPEN_MAX.max(self.policy.open));
        self.enter(State::Open { cause, rounds, until: now.after(span) });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }
}

impl State {
    fn closed() -> Self {
        Self::Closed { failed_in_a_row: 0, recent: VecDeque::new() }
    }
}

/// The pace of a slow start; `None` once it is over.
fn slow_pace(since: Timestamp, now: Timestamp) -> Option<Pace> {
    let seconds = u32::try_from(now.since(since).as_secs()).ok().filter(|seconds| *seconds < SLOW_SECONDS)?;
    let count = SLOW_START.saturating_mul(NonZeroU32::new(1 << seconds).expect("a power of two"));
    Rate::new(count, Duration::from_secs(1)).map(Pace::steady)
}

/// Counts an attempt, and forgets those that lie before the window.
fn note(recent: &mut VecDeque<Part>, policy: BreakerPolicy, failed: bool, now: Timestamp) {
    while recent.front().is_some_and(|part| now.since(part.began) > policy.window) {
        recent.pop_front();
    }
    let part_lasts = policy.window / WINDOW_PARTS;
    if recent.back().is_none_or(|part| now.since(part.began) >= part_lasts) {
        recent.push_back(Part { began: now, attempts: 0, failures: 0 });
    }
    if let Some(part) = recent.back_mut() {
        part.attempts = part.attempts.saturating_add(1);
        part.failures = part.failures.saturating_add(u32::from(failed));
    }
}

/// Whether the share of failures is too high.
fn is_above(recent: &VecDeque<Part>, policy: BreakerPolicy) -> bool {
    let sum = |count: fn(&Part) -> u32| recent.iter().map(count).fold(0, u32::saturating_add);
    let (attempts, failures) = (sum(|part| part.attempts), sum(|part| part.failures));
    attempts >= policy.minimum.get() && f64::from(failures) >= policy.ratio * f64::from(attempts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BAD: AttemptSign = AttemptSign::Bad(Cause::Other);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn attempt(breaker: &mut Breaker, sign: AttemptSign, now: i64) -> bool {
        let era = begin(breaker, 1, now);
        breaker.ended(era, sign, at(now))
    }

    fn allowed(breaker: &mut Breaker, now: i64) -> Allowed {
        breaker.allowed(at(now)).0
    }

    fn begin(breaker: &mut Breaker, count: usize, now: i64) -> Era {
        let allowed = breaker.allowed(at(now));
        breaker.begin(count, allowed, at(now))
    }

    fn opened(cause: Cause) -> Breaker {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        for _ in 0..5 {
            assert_eq!(allowed(&mut breaker, 0), Allowed::All);
            assert!(attempt(&mut breaker, AttemptSign::Bad(cause), 0), "the failures that open it are their jobs' own");
        }
        assert!(breaker.is_open());
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_job_is_tried_after_its_time() {
        let mut breaker = opened(Cause::Other);
        assert_eq!(allowed(&mut breaker, 29_999), Allowed::NoneUntil(Some(at(30_000))));
        assert_eq!(allowed(&mut breaker, 30_000), Allowed::Probe);
        let probe = begin(&mut breaker, 1, 30_000);
        assert_eq!(allowed(&mut breaker, 30_000), Allowed::NoneUntil(None), "one at a time");
        assert!(breaker.ended(probe, BAD, at(30_001)), "it failed at an upstream that was there");
        assert_eq!(allowed(&mut breaker, 30_001), Allowed::NoneUntil(Some(at(90_001))), "twice as long");
        for _ in 0..10 {
            let Allowed::NoneUntil(Some(until)) = allowed(&mut breaker, 30_001) else { panic!("it is open") };
            assert!(until <= at(30_001).after(OPEN_MAX.saturating_mul(11)));
            let Allowed::Probe = allowed(&mut breaker, until.as_millis()) else { panic!("its time is over") };
            let probe = begin(&mut breaker, 1, until.as_millis());
            breaker.ended(probe, BAD, until);
            let Allowed::NoneUntil(Some(next)) = allowed(&mut breaker, until.as_millis()) else { panic!("it is open") };
            assert!(next.since(until) <= OPEN_MAX);
        }
    }

    #[test]
    fn while_no_connection_is_made_no_job_is_tried() {
        let mut breaker = opened(Cause::Connect);
        assert!(breaker.wants_connection());
        assert_eq!(allowed(&mut breaker, 10_000_000), Allowed::NoneUntil(None));
        breaker.connected(at(10_000_000));
        assert_eq!(allowed(&mut breaker, 10_000_000), Allowed::Probe);
        assert!(!attempt(&mut breaker, AttemptSign::Bad(Cause::Connect), 10_000_000), "it costs its job nothing");
        assert!(breaker.wants_connection());
    }

    #[test]
    fn after_a_probe_it_starts_slowly() {
        let mut breaker = opened(Cause::Other);
        let probe = begin(&mut breaker, 1, 30_000);
        breaker.ended(probe, AttemptSign::Good, at(30_000));
        let mut begun = [0; 12];
        for now in (30_000..42_000).step_by(5) {
            let count = match allowed(&mut breaker, now) {
                Allowed::All => 1_000,
                Allowed::Some(count) => count,
                Allowed::Probe | Allowed::NoneUntil(_) => 0,
            };
            begin(&mut breaker, count, now);
            begun[usize::try_from(now - 30_000).unwrap() / 1_000] += count;
        }
        assert!((9..=11).contains(&begun[0]), "{begun:?}");
        assert!((18..=22).contains(&begun[1]), "{begun:?}");
        assert!(begun[9] > 4_000 && begun[10] > 100_000, "{begun:?}");
    }

    #[test]
    fn a_slow_start_bears_what_a_closed_one_does() {
        let mut breaker = opened(Cause::Other);
        attempt(&mut breaker, AttemptSign::Good, 30_000);
        for now in (30_000..45_000).step_by(50) {
            let sign = if now % 1_000 == 0 { BAD } else { AttemptSign::Good };
            if !matches!(allowed(&mut breaker, now), Allowed::NoneUntil(_)) {
                assert!(attempt(&mut breaker, sign, now), "each failure is its job's own");
            }
        }
        assert_eq!(allowed(&mut breaker, 45_000), Allowed::All);
    }

    #[test]
    fn what_was_allowed_before_it_opened_is_no_probe() {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        let before = breaker.allowed(at(0));
        for _ in 0..5 {
            attempt(&mut breaker, BAD, 0);
        }
        let late = breaker.begin(100, before, at(0));
        assert!(!breaker.ended(late, BAD, at(0)));
        assert_eq!(allowed(&mut breaker, 0), Allowed::NoneUntil(Some(at(30_000))), "as it was");
        assert_eq!(breaker.era_outside(), None);
    }

    #[test]
    fn half_of_many_failing_opens_it() {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        for index in 0..19 {
            attempt(&mut breaker, if index % 2 == 0 { BAD } else { AttemptSign::Good }, index);
            assert!(!breaker.is_open());
        }
        attempt(&mut breaker, BAD, 20);
        assert!(breaker.is_open());
        // The same, but over more time than the window.
        let mut breaker = Breaker::new(BreakerPolicy::default());
        for index in 0..100 {
            attempt(&mut breaker, if index % 2 == 0 { BAD } else { AttemptSign::Good }, index * 4_000);
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn attempts_that_began_before_it_opened_change_nothing_and_cost_their_jobs_nothing() {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        let before = begin(&mut breaker, 10, 0);
        for _ in 0..5 {
            breaker.ended(before, BAD, at(0));
        }
        assert!(!breaker.ended(before, BAD, at(1)));
        assert!(breaker.ended(before, AttemptSign::None, at(1)), "that was not the upstream's doing");
        breaker.ended(before, AttemptSign::Good, at(1));
        assert!(breaker.is_open());
    }

    #[test]
    fn a_probe_that_tells_nothing_is_followed_by_another() {
        let mut breaker = opened(Cause::Other);
        let probe = begin(&mut breaker, 1, 30_000);
        breaker.ended(probe, AttemptSign::None, at(30_500));
        assert_eq!(allowed(&mut breaker, 30_500), Allowed::Probe);
    }

    proptest! {
        #[test]
        fn it_always_comes_back(signs in prop::collection::vec(0_u8..4, 0..200)) {
            let mut breaker = Breaker::new(BreakerPolicy::default());
            let mut now = 0;
            for sign in signs {
                now += 700;
                let sign = match sign { 0 => AttemptSign::Good, 1 => BAD, 2 => AttemptSign::Bad(Cause::Connect), _ => AttemptSign::None };
                if !matches!(allowed(&mut breaker, now), Allowed::NoneUntil(_)) {
                    attempt(&mut breaker, sign, now);
                }
            }
            breaker.connected(at(now));
            let later = now + 300_001;
            prop_assert!(!matches!(allowed(&mut breaker, later), Allowed::NoneUntil(_)));
            attempt(&mut breaker, AttemptSign::Good, later);
            prop_assert_eq!(allowed(&mut breaker, later + 10_001), Allowed::All);
        }
    }
}
