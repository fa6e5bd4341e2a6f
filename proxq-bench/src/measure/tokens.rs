//! Access tokens and owners of jobs: what it costs that requests are checked.

use std::fmt::Write as _;

use super::About;
use super::beside::{Beside, Setting};
use crate::Problem;
use crate::bench::Bench;
use crate::table::Table;

pub(super) const ABOUT: About = About {
    name: "tokens",
    title: "1 KiB with one of ten access tokens, and with jobs that belong to their clients, beside neither: submissions, completed jobs, and contents read per second",
    limited_by: "a hash for each token; for each job its owner's, and a read of the store before what is asked for is read",
    target: "rates with tokens within 2 % of those without",
};

/// How many tokens there are. The last of them is the one that is sent.
const TOKENS: u32 = 10;
const HEADERS: &str = "X-Proxq-Token: token-of-the-bench-number-9\r\n";

pub(super) async fn run(bench: &Bench) -> Result<Table, Problem> {
    let mut tokens = "auth:\n  tokens:\n".to_owned();
    for number in 0..TOKENS {
        writeln!(tokens, "    - name: bench-{number}\n      token: token-of-the-bench-number-{number}")?;
    }
    let owners = format!("{tokens}  owner: credential\n");
    let settings = [("tokens", &tokens), ("tokens and owners", &owners)];
    let settings = settings.map(|(name, sections)| Setting { name, flow: &[], sections });
    let compared = Beside { about: ABOUT, baseline: "open to all", settings: &settings, headers: HEADERS, reads: true };
    compared.measure(bench).await
}
