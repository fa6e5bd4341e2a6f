//! The answers of a multiplexed connection that its client does not take.

use std::collections::BTreeSet;

use tokio::time::Instant;

/// Answers of which the client has taken nothing since it was given something, by their requests' numbers.
#[derive(Debug)]
pub(super) struct StalledAnswers {
    numbers: BTreeSet<u64>,
    /// Until when the client may leave them, if it takes of no other.
    deadline: Instant,
}

impl StalledAnswers {
    /// None is stalled.
    pub(super) fn new(deadline: Instant) -> Self {
        Self { numbers: BTreeSet::new(), deadline }
    }

    /// Something of an answer was given away to be sent.
    pub(super) fn note_piece_given(&mut self, number: u64, deadline: Instant) {
        self.deadline = deadline;
        self.numbers.insert(number);
    }

    /// More of an answer is asked for.
    pub(super) fn note_more_asked(&mut self, number: u64) {
        self.numbers.remove(&number);
    }

    /// An answer was given away to its end. The last of it may still have to be sent.
    pub(super) fn note_ended(&mut self, number: u64, deadline: Instant) {
        self.deadline = deadline;
        self.numbers.remove(&number);
    }

    /// Until when the client may take nothing, if all of its `requests` are stalled. A single stalled answer does not end
    /// the connection, which may carry other people's requests.
    pub(super) fn deadline(&self, requests: u64) -> Option<Instant> {
        let all_stalled = requests > 0 && self.numbers.len() as u64 == requests;
        all_stalled.then_some(self.deadline)
    }
}
