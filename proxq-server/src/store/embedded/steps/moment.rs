//! Keeps what the next run needs to tell how much time has passed.

use std::time::Duration;

use super::super::step::{Step, StepError, Tx};

/// How often the present moment is kept. After a power failure, and with a wall clock that was set back by it, at most so
/// much time is not counted.
const KEPT_EVERY: Duration = Duration::from_mins(10);

/// Keeps the present moment.
#[derive(Debug)]
pub(in super::super) struct KeepMoment;

impl Step for KeepMoment {
    type Output = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), StepError> {
        tx.state.kept_moment = None;
        Ok(keep_moment(tx)?)
    }
}

/// Keeps the present moment, if that is due or the wall clock was set.
pub(super) fn keep_moment(tx: &mut Tx<'_>) -> rusqlite::Result<()> {
    let moment = tx.shared.time.moment();
    let is_kept = tx
        .state
        .kept_moment
        .is_some_and(|kept| kept.to_wall() == moment.to_wall() && moment.store.since(kept.store) < KEPT_EVERY);
    if !is_kept {
        tx.connection
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('moment', ?1)")?
            .execute((moment.to_string().as_bytes(),))?;
        tx.state.kept_moment = Some(moment);
    }
    Ok(())
}
