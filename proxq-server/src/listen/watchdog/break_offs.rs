//! A client that breaks off request after request.

/// How many requests a connection may break off before they are answered, beyond those that it lets be answered. Each
/// costs an upstream an exchange, and HTTP/2 resets cost their sender nothing (CVE-2023-44487).
pub(super) const BREAK_OFFS_MAX: u64 = 200;

/// The requests that a client broke off, less those that it let be answered.
#[derive(Debug, Default)]
pub(super) struct BreakOffs(u64);

impl BreakOffs {
    /// A request has ended, with an answer or without.
    pub(super) fn request_ended(&mut self, answered: bool) {
        self.0 = if answered { self.0.saturating_sub(1) } else { self.0.saturating_add(1) };
    }

    /// Whether they are so many that the client cannot mean any of its requests.
    pub(super) fn are_too_many(&self) -> bool {
        self.0 > BREAK_OFFS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answered_requests_make_up_for_broken_off_ones() {
        let mut break_offs = BreakOffs::default();
        for _ in 0..BREAK_OFFS_MAX {
            break_offs.request_ended(false);
        }
        assert!(!break_offs.are_too_many());
        break_offs.request_ended(true);
        break_offs.request_ended(false);
        assert!(!break_offs.are_too_many());
        break_offs.request_ended(false);
        assert!(break_offs.are_too_many());
    }
}
