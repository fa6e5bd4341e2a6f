//! The store's time: what the instants in its database are milliseconds of.
//!
//! It begins as the time of day and goes on with the machine, asleep or awake. It never goes back, and it does not
//! follow a clock that is set: what is to happen in ten minutes happens in ten minutes. What people are shown is the
//! time of day that an instant has by the present clock.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use crate::clock::{Clock, Timestamp};
use crate::job::{Job, JobRequest, Progress};

/// How far the wall clock must be from where it should be to count as set. Less than that may be a leap second, or a
/// clock that is brought closer step by step.
const SET_MILLIS: i64 = 1_000;

/// The time of one store. It never stands still, also while the store is closed.
#[derive(Debug)]
pub(super) struct StoreTime {
    clock: Clock,
    began: Moment,
    /// What is added to the store's time to get the time of day.
    to_wall: AtomicI64,
}

/// One moment by every clock. The latest is kept in the database, so that the next run can tell how much time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Which start of the machine `since_boot` counts from.
    boot: Uuid,
    since_boot: Timestamp,
    wall: Timestamp,
    pub(super) store: Timestamp,
}

impl Moment {
    /// What was added to the store's time to get the time of day.
    pub(super) fn to_wall(self) -> i64 {
        self.wall.millis_since(self.store)
    }
}

impl StoreTime {
    /// Goes on after `last`, and not before any instant that has passed already.
    ///
    /// While the machine runs, its own clock tells how much time has passed. After a restart of the machine, only the
    /// wall clock does, and where it was set back no time has passed.
    pub(super) fn resume(clock: Clock, last: Option<Moment>, passed: Option<Timestamp>) -> Self {
        let (boot, since_boot, wall) = (clock.boot(), clock.since_boot(), clock.wall());
        let resumed = match last {
            None => wall,
            Some(last) if last.boot == boot && last.since_boot <= since_boot => {
                last.store.shifted(since_boot.millis_since(last.since_boot))
            }
            Some(last) => last.store.after(wall.since(last.wall)),
        };
        let store = passed.map_or(resumed, |passed| resumed.max(passed));
        let to_wall = AtomicI64::new(last.map_or(0, Moment::to_wall));
        let time = Self { clock, began: Moment { boot, since_boot, wall, store }, to_wall };
        time.follow_wall();
        time
    }

    /// The present.
    pub(super) fn now(&self) -> Timestamp {
        self.began.store.shifted(self.clock.since_boot().millis_since(self.began.since_boot))
    }

    /// The present by every clock.
    pub(super) fn moment(&self) -> Moment {
        let to_wall = self.follow_wall();
        let (since_boot, store) = (self.clock.since_boot(), self.now());
        Moment { boot: self.began.boot, since_boot, wall: store.shifted(to_wall), store }
    }

    /// Finds out whether the wall clock was set. Gives what to add to the store's time to get the time of day.
    fn follow_wall(&self) -> i64 {
        let known = self.to_wall.load(Ordering::Relaxed);
        let found = self.clock.wall().millis_since(self.now());
        let set_by = found.saturating_sub(known);
        if set_by.saturating_abs() <= SET_MILLIS {
            return known;
        }
        if self.to_wall.compare_exchange(known, found, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let by = Duration::from_millis(set_by.unsigned_abs());
            let direction = if set_by > 0 { "forward" } else { "back" };
            tracing::warn!(?by, direction, "the clock was set; delays, retries and retention go on as if it was not");
        }
        found
    }

    /// When something happened that has this time of day.
    pub(super) fn of_wall(&self, wall: Timestamp) -> Timestamp {
        wall.shifted(self.follow_wall().saturating_neg()).min(self.now())
    }

    /// What was submitted, with the time of day.
    pub(super) fn request_shown(&self, request: JobRequest) -> JobRequest {
        JobRequest { created_at: request.created_at.shifted(self.follow_wall()), ..request }
    }

    /// How far a job has come, with the time of day.
    pub(super) fn progress_shown(&self, mut progress: Progress) -> Progress {
        let to_wall = self.follow_wall();
        let of_attempts =
            progress.history.iter_mut().flat_map(|attempt| [&mut attempt.started_at, &mut attempt.ended_at]);
        let of_job =
            [&mut progress.started_at, &mut progress.attempt_started_at, &mut progress.ended_at, &mut progress.due_at];
        for instant in of_job.into_iter().flatten().chain(of_attempts) {
            *instant = instant.shifted(to_wall);
        }
        progress
    }

    /// A job, with the time of day.
    pub(super) fn job_shown(&self, job: Job) -> Job {
        Job { request: self.request_shown(job.request), progress: self.progress_shown(job.progress), ..job }
    }
}

/// As it is kept in the database.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [since_boot, wall, store] = [self.since_boot, self.wall, self.store].map(Timestamp::as_millis);
        write!(f, "{} {since_boot} {wall} {store}", self.boot)
    }
}

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        let mut words = text.split(' ');
        let boot = words.next().and_then(|word| Uuid::try_parse(word).ok()).ok_or(NoMoment)?;
        let mut instant = || words.next()?.parse().ok().map(Timestamp::from_millis).ok_or(NoMoment).ok();
        let instants = [(); 3].map(|()| instant());
        let [Some(since_boot), Some(wall), Some(store)] = instants else { return Err(NoMoment) };
        Ok(Self { boot, since_boot, wall, store })
    }
}

/// What is kept is something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoMoment;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ChosenTime;

    const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
    const HOUR: Duration = Duration::from_hours(1);

    fn resumed(chosen: &'static ChosenTime, last: Moment) -> StoreTime {
        let read: Moment = last.to_string().parse().unwrap();
        assert_eq!(read, last, "it is kept as it is");
        StoreTime::resume(chosen.clock(), Some(read), None)
    }

    #[test]
    fn it_goes_on_when_the_clock_is_set() {
        let chosen = ChosenTime::at(START);
        let time = StoreTime::resume(chosen.clock(), None, None);
        assert_eq!((time.now(), time.follow_wall()), (START, 0));
        for wall in [START.before(HOUR * 10_000), START.after(HOUR * 10_000)] {
            let before = time.now();
            chosen.set_wall(wall);
            chosen.advance(HOUR);
            assert_eq!(time.now(), before.after(HOUR));
            assert_eq!(time.now().shifted(time.follow_wall()), wall.after(HOUR), "people see the clock's time");
        }
    }

    #[test]
    fn a_clock_that_drifts_does_not_count_as_set() {
        let chosen = ChosenTime::at(START);
        let time = StoreTime::resume(chosen.clock(), None, None);
        chosen.set_wall(START.after(Duration::from_secs(1)));
        assert_eq!(time.follow_wall(), 0);
        chosen.set_wall(START.after(Duration::from_millis(1_001)));
        assert_eq!(time.follow_wall(), 1_001);
    }

    #[test]
    fn it_goes_on_while_the_machine_sleeps() {
        let chosen = ChosenTime::at(START);
        let time = StoreTime::resume(chosen.clock(), None, None);
        chosen.sleep(HOUR);
        assert_eq!((time.now(), time.follow_wall()), (START.after(HOUR), 0));
    }

    #[test]
    fn between_two_runs_the_machines_own_clock_tells_what_has_passed() {
        for wall in [START.before(HOUR * 10_000), START.after(HOUR * 10_000)] {
            let chosen = ChosenTime::at(START);
            let last = StoreTime::resume(chosen.clock(), None, None).moment();
            chosen.advance(HOUR);
            chosen.set_wall(wall);
            let time = resumed(chosen, last);
            assert_eq!(time.now(), START.after(HOUR));
            assert_eq!(time.now().shifted(time.follow_wall()), wall);
        }
    }

    #[test]
    fn after_a_restart_of_the_machine_the_wall_clock_tells_it() {
        let chosen = ChosenTime::at(START);
        let time = StoreTime::resume(chosen.clock(), None, None);
        chosen.set_wall(START.after(HOUR * 2));
        let last = time.moment();
        chosen.reboot();
        chosen.advance(HOUR);
        let time = resumed(chosen, last);
        assert_eq!((time.now(), time.follow_wall()), (START.after(HOUR), 7_200_000), "as it was corrected");
    }

    #[test]
    fn it_never_goes_back() {
        let chosen = ChosenTime::at(START);
        let last = StoreTime::resume(chosen.clock(), None, None).moment();
        chosen.reboot();
        chosen.set_wall(START.before(HOUR * 10_000));
        let time = resumed(chosen, last);
        assert_eq!(time.now(), START);
        chosen.set_wall(START.after(HOUR));
        assert_eq!((time.now(), time.follow_wall()), (START, 3_600_000), "nor does it leap when that is corrected");
        let passed = START.after(HOUR);
        assert_eq!(StoreTime::resume(chosen.clock(), Some(last), Some(passed)).now(), passed);
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in ["", "1 2 3", "50630cc0-b67f-4633-a402-897558fcd79a 1 2", "x 1 2 3"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
