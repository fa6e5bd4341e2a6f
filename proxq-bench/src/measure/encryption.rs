//! Encryption at rest: what it costs small jobs that requests and responses are sealed before they are stored.

use super::About;
use super::beside::{Beside, Setting};
use crate::Problem;
use crate::bench::Bench;
use crate::table::Table;

pub(super) const ABOUT: About = About {
    name: "encryption",
    title: "1 KiB, sealed before it is stored, beside plain: submissions, completed jobs, and contents read per second",
    limited_by: "a key derived for each value that is stored, and AES-256-GCM",
    target: "rates within 15 % of those without",
};

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let sections = &bench.encryption()?;
    let sealed = Setting { name: "sealed", flow: &[], sections };
    let compared = Beside { about: ABOUT, baseline: "plain", settings: &[sealed], headers: "", reads: true };
    compared.measure(bench).await
}
