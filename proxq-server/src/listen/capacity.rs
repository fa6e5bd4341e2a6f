//! How many client connections the limit on open files leaves room for. Pure.

/// Descriptors that are open whatever clients do: streams, event loops and signals, the listener, the store's database or
/// its connections to Redis, and files that are opened for a moment.
const OWN: u64 = 40;
/// What a core has open: four of its event loop, and a connection to Redis.
const PER_CORE: u64 = 5;
/// What an attempt may have open: its upstream connection, and the files of the request's and the response's body.
const PER_ATTEMPT: u64 = 3;
/// What a client connection may have open: itself, and an upstream connection or the file of a body.
const PER_CONNECTION: u64 = 2;
/// The fewest connections, however few files may be open: enough for probes beside a handful of clients.
const CONNECTIONS_MIN: u64 = 8;

/// As many connections as are configured, or as fit beside everything else that has files open.
pub(super) fn connections(configured: usize, concurrency: usize, cores: usize, file_limit: Option<u64>) -> usize {
    let Some(file_limit) = file_limit else { return configured };
    let attempts = PER_ATTEMPT.saturating_mul(concurrency as u64);
    let own = OWN.saturating_add(PER_CORE.saturating_mul(cores as u64));
    let room = file_limit.saturating_sub(own.saturating_add(attempts)) / PER_CONNECTION;
    configured.min(usize::try_from(room.max(CONNECTIONS_MIN)).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_everything_else() {
        assert_eq!(connections(16384, 10, 2, None), 16384);
        assert_eq!(connections(16384, 10, 2, Some(1 << 20)), 16384);
        assert_eq!(connections(16384, 10, 2, Some(128)), 24);
        assert_eq!(connections(16384, 10, 6, Some(128)), 14);
        assert_eq!(connections(20, 10, 2, Some(128)), 20);
        assert_eq!(connections(16384, 0, 2, Some(140)), 45, "a front");
        assert_eq!(connections(16384, 1000, 2, Some(128)), 8);
        assert_eq!(connections(4, usize::MAX, usize::MAX, Some(128)), 4);
    }
}
