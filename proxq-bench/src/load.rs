//! Load: requests on many connections at once, in one of two ways.
//!
//! - [`closed`]: each connection sends its next request as soon as the last one was answered. This finds the highest rate.
//! - [`open`]: requests are due at fixed times, whatever becomes of earlier ones, and a latency counts from the time at
//!   which its request was due. So a server that stops for a moment shows it in all requests of that moment.

mod closed;
mod open;
mod pacer;

use std::time::Duration;

pub(crate) use closed::{Limit, closed};
pub(crate) use open::open;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Problem;
use crate::latencies::Latencies;

/// The connections of a load, unless it is another number that is measured.
pub(crate) const CONNECTIONS: u32 = 64;

/// A request that is sent again and again, and the status of a right answer.
///
/// Where there are several, each connection begins at another one and takes them in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requests<'a> {
    pub(crate) bytes: &'a [Vec<u8>],
    pub(crate) status: u16,
}

/// What a load of requests came to.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) requests: u32,
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Latencies,
}

impl Load {
    pub(crate) fn per_second(&self) -> f64 {
        f64::from(self.requests) / self.elapsed.as_secs_f64()
    }

    /// Waits for all connections, and adds up what each measured.
    async fn sum(began: Instant, mut running: JoinSet<Result<Latencies, Problem>>) -> Result<Self, Problem> {
        let mut latencies = Latencies::new();
        while let Some(of_one) = running.join_next().await {
            latencies.merge(&of_one??)?;
        }
        Ok(Self { requests: u32::try_from(latencies.count())?, elapsed: began.elapsed(), latencies })
    }
}
