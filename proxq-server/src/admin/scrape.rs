//! The answer to Prometheus: what was counted, and how the queues stand now.

use super::desk::Desk;
use super::model::Queue;

impl Desk {
    /// All metrics as text. Where the store does not answer, the queues are as they were last.
    pub(crate) async fn scrape(&self) -> String {
        let standing = self.standing().await;
        let gauges = &self.metrics.queues;
        gauges.readable.set(i64::from(standing.problem.is_none()));
        for queue in &standing.queues {
            let name = queue.name.as_str();
            gauges.running.with_label_values(&[name]).set(whole(queue.running));
            gauges.limit.with_label_values(&[name]).set(whole(queue.limit));
        }
        for upstream in self.upstreams(&standing) {
            let down = i64::from(upstream.down == Some(true));
            gauges.breaker_open.with_label_values(&[&upstream.prefix]).set(down);
        }
        if standing.problem.is_none() {
            standing.queues.iter().for_each(|queue| self.show(queue));
        }
        self.metrics.text()
    }

    fn show(&self, queue: &Queue) {
        let (gauges, name) = (&self.metrics.queues, queue.name.as_str());
        for (state, count) in queue.jobs.by_state() {
            gauges.jobs.with_label_values(&[name, state]).set(whole(count));
        }
        gauges.oldest.with_label_values(&[name]).set(queue.oldest_age_seconds);
        gauges.paused.with_label_values(&[name]).set(i64::from(queue.paused));
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
