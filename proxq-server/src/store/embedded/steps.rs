//! What the store does, as steps of the writer: a file for each group of verbs.

mod age;
mod batch;
mod blobs;
mod bounds;
mod claim;
mod end;
mod lease;
mod limits;
mod moment;
mod order;
mod overdue;
mod pause;
mod reclaim;
mod recover;
mod row;
mod settle;
mod submit;
mod turns;
mod upkeep;

pub(super) use self::blobs::{Probe, Unreferred};
pub(super) use self::lease::{LeaseJobs, Renew};
pub(super) use self::limits::LeaseWithin;
pub(super) use self::moment::KeepMoment;
pub(super) use self::order::{Cancel, RetryFailed};
pub(super) use self::pause::{PauseQueue, ResumeQueue};
pub(super) use self::recover::{Recover, TakeOver};
pub(super) use self::row::{job_id, number, state};
pub(super) use self::settle::{Settle, Unsettled};
pub(super) use self::submit::Submit;
pub(super) use self::turns::{Abandon, EndCall, Resume};
pub(super) use self::upkeep::{Expire, Upkeep};
#[cfg(test)]
pub(super) use self::{
    age::WAITED,
    lease::{NEXT_DUE, OLDEST_PENDING, OLDEST_PUT_ASIDE, OLDEST_WAITING},
    limits::{FIRST_FILED, FIRST_PENDING, FIRST_WAITING, NEXT_CREDENTIAL},
    reclaim::{LEFT_OVER, LOST},
    turns::{GIVEN_UP, SAME_CALL},
    upkeep::{DUE, EXPIRED, OVERDUE},
};
