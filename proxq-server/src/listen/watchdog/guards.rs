//! What a connection is busy with: guards that tell its watchdog when a request has ended, and when a body has.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Ending, Phase, Shared};

/// A request is being handled or its answer is being sent.
#[derive(Debug)]
pub(in crate::listen) struct Busy {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u64,
    pub(super) answered: bool,
}

impl Busy {
    /// The request has an answer, which may still have to be sent.
    pub(in crate::listen) fn note_answered(&mut self) {
        self.answered = true;
    }

    /// Something of the answer was given away to be sent; until more is asked for, the client takes nothing.
    pub(in crate::listen) fn note_piece_given(&self) {
        let mut state = self.shared.lock();
        // With one answer at a time the socket tells, by not taking what is sent.
        if state.multiplexed {
            state.stalled.note_piece_given(self.number, Instant::now() + self.shared.idle_limit);
            self.shared.tell(&state);
        }
    }

    /// The answer broke off, and only the connection's end can tell.
    pub(in crate::listen) fn note_broken(&self) {
        self.shared.lock().ending = Ending::Reset;
    }

    /// More of the answer is asked for.
    pub(in crate::listen) fn note_more_asked(&self) {
        let mut state = self.shared.lock();
        if state.multiplexed {
            state.stalled.note_more_asked(self.number);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let idle_limit = self.shared.idle_limit;
        self.shared.change(|state| {
            state.requests -= 1;
            // What was the last of it may still have to be sent.
            state.stalled.note_ended(self.number, Instant::now() + idle_limit);
            state.break_offs.request_ended(self.answered);
            if state.requests == 0 {
                state.rest(idle_limit);
                self.shared.freed.notify_waiters();
                state.tell_if_idle();
            }
        });
    }
}

/// A request's body is coming: what arrives is no new head, whether or not the request was answered.
#[derive(Debug)]
pub(in crate::listen) struct OpenBody {
    pub(super) shared: Arc<Shared>,
}

impl Drop for OpenBody {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.open_bodies -= 1;
        if matches!(state.phase, Phase::Silent { .. }) {
            state.rest(self.shared.idle_limit);
        }
        state.tell_if_idle();
    }
}
