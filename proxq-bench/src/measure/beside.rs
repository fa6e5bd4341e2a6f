//! What settings cost: jobs of a proxq with each, beside those of one without, on both stores.

use harness::Redis;

use super::About;
use super::jobs::complete;
use super::read::completed;
use crate::Problem;
use crate::bench::{Bench, Round};
use crate::load::{Requests, closed};
use crate::metric::Metric;
use crate::requests::get;
use crate::server::{Launch, Server};
use crate::table::Table;

const CONCURRENCY: u32 = 100;
/// Into how many each round is split. Five times five rates that each vary by a tenth have a median that varies by a
/// fiftieth or so.
const PARTS: u32 = 5;

/// What is compared, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside<'a> {
    pub(super) about: About,
    /// What the rows are called that have nothing set.
    pub(super) baseline: &'a str,
    pub(super) settings: &'a [Setting<'a>],
    /// Header lines of all requests, also of those to servers that have nothing set.
    pub(super) headers: &'a str,
    /// Whether contents are read as well.
    pub(super) reads: bool,
}

/// What a server has that the other one has not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    /// Of its rows.
    pub(super) name: &'a str,
    /// As in [`Launch`].
    pub(super) flow: &'static [&'static str],
    pub(super) sections: &'a str,
}

impl Beside<'_> {
    pub(super) async fn measure(self, bench: &Bench) -> Result<Table, Problem> {
        let mut table = Table::new(self.about);
        for store in ["Redis", "embedded"] {
            let mut servers = self.servers(bench, store).await?;
            let baseline = servers[0].target.name.clone();
            for round in bench.rounds_split(PARTS) {
                for server in &servers {
                    bench.progress.step(&server.target.name);
                    self.jobs(bench, server, round, &mut table).await?;
                }
                // Each comes first in its turn: what grows or wanes meanwhile favours none.
                servers.rotate_left(1);
            }
            if self.reads {
                self.contents(bench, &servers, &mut table).await?;
            }
            for (metric, ratio) in [
                (Metric::Rate, Metric::RateRatio),
                (Metric::JobRate, Metric::JobRateRatio),
                (Metric::ReadRate, Metric::ReadRateRatio),
                (Metric::CpuMicros, Metric::CpuRatio),
            ] {
                table.compare(store, metric, &baseline, ratio);
            }
        }
        Ok(table)
    }

    /// A server for each setting, behind one that has nothing set.
    async fn servers(self, bench: &Bench, store: &str) -> Result<Vec<Server>, Problem> {
        let nothing = Setting { name: self.baseline, flow: &[], sections: "" };
        let mut servers = Vec::new();
        for Setting { name, flow, sections } in [&[nothing], self.settings].concat() {
            let redis = (store == "Redis").then(Redis::start_tcp);
            let proxq = Launch::proxq(format!("{store}, {name}"), redis, CONCURRENCY);
            servers.push(bench.server(Launch { flow, sections: sections.to_owned(), ..proxq }).await?);
        }
        Ok(servers)
    }

    async fn jobs(self, bench: &Bench, server: &Server, round: Round, table: &mut Table) -> Result<(), Problem> {
        let name = &server.target.name;
        let before = server.target.cpu()?;
        let rates = complete(bench, server, self.headers, round).await?;
        let used = server.target.cpu()?.since(before);
        if !round.is_warm_up {
            table.keep(name, Metric::Rate, rates.submissions_per_second);
            table.keep(name, Metric::JobRate, rates.jobs_per_second);
            used.keep(table, name, round.requests);
        }
        Ok(())
    }

    async fn contents(self, bench: &Bench, servers: &[Server], table: &mut Table) -> Result<(), Problem> {
        let mut rows = Vec::new();
        for server in servers {
            let ids = completed(bench, server, self.headers).await?;
            let requests: Vec<_> = ids.iter().map(|id| get(&format!("/__jobs/{id}/content"), self.headers)).collect();
            rows.push((&server.target, requests));
        }
        for round in bench.rounds_split(PARTS) {
            for (target, requests) in &rows {
                bench.progress.step(&target.name);
                let load = closed(target.address, Requests { bytes: requests, status: 200 }, round.limit()).await?;
                if !round.is_warm_up {
                    table.keep(&target.name, Metric::ReadRate, load.per_second());
                }
            }
            rows.rotate_left(1);
        }
        Ok(())
    }
}
