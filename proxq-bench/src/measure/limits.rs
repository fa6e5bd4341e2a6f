//! A rate limit that is never reached: what it costs that every attempt is counted.

use super::About;
use super::beside::{Beside, Setting};
use crate::Problem;
use crate::bench::Bench;
use crate::table::Table;

pub(super) const ABOUT: About = About {
    name: "limits",
    title: "submissions and completed jobs per second with a rate limit of 100,000 a second, beside none",
    limited_by: "the choice of jobs within limits, which is made one by one",
    target: "rates within 10 % of those without",
};

/// More than is reached.
const LIMIT: Setting<'_> = Setting { name: "rate limit", flow: &["rateLimit: 100000/s"], sections: "" };

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let compared = Beside { about: ABOUT, baseline: "no limit", settings: &[LIMIT], headers: "", reads: false };
    compared.measure(bench).await
}
