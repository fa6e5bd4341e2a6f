//! The names of keys: asynq's for what asynq knows, ours below `proxq:`. All keys of one queue lie in one slot.

use crate::job::JobId;

/// The queues that asynq's tools show.
pub(super) const ASYNQ_QUEUES: &str = "asynq:queues";
/// The deployment's shared secrets.
pub(super) const DEPLOYMENT: &str = "proxq:deployment";
/// Written to see whether writing is possible.
pub(super) const PROBE: &str = "proxq:probe";
/// The servers that live, ours and asynq's.
pub(super) const SERVERS: &str = "asynq:servers";
/// The tasks that each of them works on.
pub(super) const WORKERS: &str = "asynq:workers";
/// The channel on which asynq's tools name a job whose attempt is to end, whatever its queue.
pub(super) const CANCEL_CHANNEL: &str = "asynq:cancel";

/// The channel on which an instance hears of changes of the jobs that it watches.
pub(super) fn changed_channel(instance: &str) -> String {
    format!("proxq:changed:{instance}")
}

/// The channel on which the instances of a queue hear of leases that were taken away: the job's id and the lease's token.
/// They also hear `ready` there, when a job of high or low priority is pending.
pub(super) fn queue_channel(queue: &str) -> String {
    format!("proxq:changed:{{{queue}}}")
}

/// The keys of one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    /// What asynq's keys begin with.
    pub(super) asynq: String,
    /// What ours begin with.
    pub(super) own: String,
}

impl Keys {
    /// The keys of the queue with this name.
    pub(super) fn of(queue: &str) -> Self {
        Self { asynq: format!("asynq:{{{queue}}}:"), own: format!("proxq:{{{queue}}}:") }
    }

    /// The hash of a job.
    pub(super) fn task(&self, id: JobId) -> String {
        format!("{}t:{id}", self.asynq)
    }

    /// A list or a set of asynq's.
    pub(super) fn asynq(&self, name: &str) -> String {
        format!("{}{name}", self.asynq)
    }

    /// A key of ours.
    pub(super) fn own(&self, name: &str) -> String {
        format!("{}{name}", self.own)
    }

    /// The set of all queues that this deployment has had, beside this one.
    pub(super) fn queues(&self) -> String {
        self.own("queues")
    }

    /// The chunks of a blob.
    pub(super) fn blob(&self, blob: uuid::Uuid) -> String {
        format!("{}blob:{blob}", self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_queue_bear_its_hash_tag() {
        let id: JobId = "550e8400-e29b-41d4-a716-446655440000".parse().unwrap();
        let keys = Keys::of("q1");
        assert_eq!(keys.task(id), "asynq:{q1}:t:550e8400-e29b-41d4-a716-446655440000");
        assert_eq!(keys.asynq("pending"), "asynq:{q1}:pending");
        assert_eq!(keys.own, "proxq:{q1}:");
    }
}
