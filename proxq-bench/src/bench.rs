//! What all measures use: the upstream, a folder, how much effort is made, and the progress bar.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use harness::Redis;
use tempfile::TempDir;

use crate::Problem;
use crate::load::Limit;
use crate::progress::Progress;
use crate::server::{Launch, Program, Server};
use crate::upstream::Upstream;

/// Any 32 bytes: it is the work that is measured, not the secrecy.
const ENCRYPTION_KEY: &[u8; 32] = b"a key of the bench, 32 bytes all";

/// How thoroughly everything is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Each measures everything once, in turn; figures are medians.
    pub(crate) rounds: u32,
    /// How long one row is measured in one round.
    pub(crate) phase: Duration,
    /// How many requests a row is measured with, where it is their number that is fixed.
    pub(crate) requests: u32,
    /// How long servers are left alone where that is what is measured.
    pub(crate) wait: Duration,
    /// By how much bodies, connections and queues are smaller than in a full run.
    pub(crate) shrink: u32,
}

impl Effort {
    /// Some twenty minutes.
    pub(crate) const FULL: Self =
        Self { rounds: 5, phase: Duration::from_secs(2), requests: 20_000, wait: Duration::from_secs(5), shrink: 1 };
    /// All measures in three minutes, the long ones at a tenth of their size.
    pub(crate) const QUICK: Self = Self {
        rounds: 3,
        phase: Duration::from_millis(400),
        requests: 4_000,
        wait: Duration::from_secs(1),
        shrink: 10,
    };
}

/// One round of a measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// The first round warms everything up: it is shorter, and its figures are dropped.
    pub(crate) is_warm_up: bool,
    pub(crate) phase: Duration,
    pub(crate) requests: u32,
}

impl Round {
    /// As long as one row is measured.
    pub(crate) fn limit(self) -> Limit {
        Limit::After(self.phase)
    }
}

/// What all measures use.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) upstream: Upstream,
    pub(crate) effort: Effort,
    pub(crate) progress: Progress,
    /// Command lines of other servers.
    peers: Vec<String>,
    folder: TempDir,
}

impl Bench {
    /// All files are below `parent`, so that every store writes to the same disk.
    pub(crate) async fn start(
        effort: Effort,
        peers: Vec<String>,
        progress: Progress,
        parent: &Path,
    ) -> Result<Self, Problem> {
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(parent)?;
        Ok(Self { upstream: Upstream::start().await?, effort, progress, peers, folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A warm-up round, and those that count.
    pub(crate) fn rounds(&self) -> impl Iterator<Item = Round> + use<> {
        self.rounds_split(1)
    }

    /// The same, each split into so many: rows have their turns sooner, for differences that are smaller than what the
    /// machine does from one second to the next.
    pub(crate) fn rounds_split(&self, parts: u32) -> impl Iterator<Item = Round> + use<> {
        let Effort { rounds, phase, requests, .. } = self.effort;
        let (phase, requests) = (phase / parts, requests / parts);
        (0..=rounds * parts).map(move |number| match number {
            0 => Round { is_warm_up: true, phase: phase / 3, requests: requests / 3 },
            _ => Round { is_warm_up: false, phase, requests },
        })
    }

    /// proxq on Redis, on the embedded store, and the peers.
    pub(crate) async fn queues(&self, concurrency: u32) -> Result<Vec<Server>, Problem> {
        let mut servers = self.proxqs(concurrency).await?;
        servers.extend(self.peers(concurrency).await?);
        Ok(servers)
    }

    /// Each peer, on a Redis of its own.
    pub(crate) async fn peers(&self, concurrency: u32) -> Result<Vec<Server>, Problem> {
        let mut servers = Vec::new();
        for (number, line) in (1..).zip(&self.peers) {
            let proxq = Launch::proxq(format!("peer {number}, Redis"), Some(Redis::start_tcp()), concurrency);
            servers.push(self.server(Launch { program: Program::Peer(line.clone()), ..proxq }).await?);
        }
        Ok(servers)
    }

    /// proxq on Redis and on the embedded store, in this order.
    pub(crate) async fn proxqs(&self, concurrency: u32) -> Result<Vec<Server>, Problem> {
        let mut servers = Vec::new();
        for (name, redis) in [("proxq, Redis", Some(Redis::start_tcp())), ("proxq, embedded", None)] {
            servers.push(self.server(Launch::proxq(name, redis, concurrency)).await?);
        }
        Ok(servers)
    }

    /// The section of the configuration with which a server seals what it stores.
    pub(crate) fn encryption(&self) -> Result<String, Problem> {
        let file = self.folder().join("encryption.key");
        fs::write(&file, ENCRYPTION_KEY)?;
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        Ok(format!("encryption:\n  keyFile: {}\n", file.display()))
    }

    pub(crate) async fn server(&self, launch: Launch) -> Result<Server, Problem> {
        Server::start(launch, self.folder(), self.upstream.address()).await
    }
}
