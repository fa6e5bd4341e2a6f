//! Takes the samples of the history.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::history::EVERY;
use crate::current::Current;

/// Takes samples until the server stops.
pub(crate) async fn remember(desk: Arc<Current<Desk>>, finished: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = finished.cancelled() => return,
        }
        let desk = desk.get();
        let standing = desk.standing().await;
        let said = standing.problem.is_none();
        let prefixes = desk.config.upstreams.iter().map(|upstream| upstream.prefix.as_str());
        desk.memory.take_upstreams(prefixes.map(|prefix| (prefix.to_owned(), desk.gates.metrics_of(prefix).totals())));
        desk.memory.take(
            desk.unix_seconds(),
            desk.metrics.totals(),
            said.then(|| standing.jobs().waiting()),
            said.then(|| standing.oldest_age_seconds()),
        );
    }
}
