//! The jobs that a transaction takes from one state to another.

use std::sync::Arc;

use crate::job::State;
use crate::store::signals::QueueSignal;

/// How many jobs are in each state, by the state's place in [`State::ALL`].
pub(super) type Counts = [i64; State::ALL.len()];

/// By how much a transaction changes the counts, by queue.
#[derive(Debug, Default)]
pub(super) struct Moves(Vec<(Arc<QueueSignal>, Counts)>);

impl Moves {
    /// A job goes from one state to another. `None` is none that this program knows, or no job.
    pub(super) fn note(&mut self, queue: &Arc<QueueSignal>, from: Option<State>, to: Option<State>) {
        let known = self.0.iter().position(|(moved, _)| Arc::ptr_eq(moved, queue));
        let at = known.unwrap_or_else(|| {
            self.0.push((Arc::clone(queue), Counts::default()));
            self.0.len() - 1
        });
        let counts = &mut self.0[at].1;
        for (state, by) in [(from, -1), (to, 1)] {
            if let Some(state) = state {
                counts[state as usize] += by;
            }
        }
    }

    /// By how much the counts of a queue change.
    pub(super) fn of(&self, queue: &str) -> Counts {
        self.0.iter().find(|(moved, _)| moved.name == queue).map(|(_, counts)| *counts).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them; none are left.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (Arc<QueueSignal>, Counts)> {
        self.0.drain(..)
    }

    /// The transaction was rolled back.
    pub(super) fn roll_back(&mut self) {
        self.0.clear();
    }
}
