//! A server that is measured: proxq on one of its stores, or another server that takes proxq's configuration and requests.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use harness::{Redis, eventually};

use tempfile::TempDir;

use crate::Problem;
use crate::target::Target;

/// The folder of the embedded store, in the server's own.
const DATA: &str = "data";

/// The largest body that is queued, in bytes.
const LARGEST_BODY: u64 = 1 << 30;

/// How a server is started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) name: String,
    pub(crate) program: Program,
    /// Without one, the embedded store keeps the jobs.
    pub(crate) redis: Option<Arc<Redis>>,
    pub(crate) concurrency: u32,
    /// Flow control of the upstream, a line of YAML for each key.
    pub(crate) flow: &'static [&'static str],
    /// `RUST_LOG`; without it, a line for each request.
    pub(crate) log: Option<&'static str>,
    /// Where operators are listened to, if they are.
    pub(crate) operators: Option<SocketAddr>,
    /// Further sections of the configuration, as lines of YAML.
    pub(crate) sections: String,
}

/// What is run.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    /// The `proxq` beside this program.
    Proxq,
    /// A command line, in which `{config}` stands for the path of the configuration.
    Peer(String),
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) target: Target,
    pub(crate) redis: Option<Arc<Redis>>,
    process: Child,
    folder: TempDir,
}

impl Server {
    /// Starts a server, with a folder of its own in `parent`, and waits until it listens.
    pub(crate) async fn start(launch: Launch, parent: &Path, upstream: SocketAddr) -> Result<Self, Problem> {
        let folder = tempfile::tempdir_in(parent)?;
        let address = free_address()?;
        let config = folder.path().join("config.yaml");
        fs::write(&config, configuration(&launch, address, &folder.path().join(DATA), upstream))?;
        let log = folder.path().join("log");
        let output = File::create(&log)?;
        let mut command = launch.command(&config)?;
        let mut process = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
        eventually("the server listens, or has ended", async || {
            process.try_wait().is_ok_and(|ended| ended.is_some()) || TcpStream::connect(address).is_ok()
        })
        .await;
        let Launch { name, redis, .. } = launch;
        if let Some(exit) = process.try_wait()? {
            return Err(format!("{name} ended with {exit}: {}", fs::read_to_string(log)?).into());
        }
        let redis_pid = redis.as_ref().map(|redis| redis.pid());
        let target = Target { name, address, pid: Some(process.id()), redis_pid };
        Ok(Self { target, redis, process, folder })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Where the embedded store is.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join(DATA)
    }
}

impl Launch {
    /// proxq, with everything else as it is by default.
    pub(crate) fn proxq(name: impl Into<String>, redis: Option<Arc<Redis>>, concurrency: u32) -> Self {
        Self {
            name: name.into(),
            program: Program::Proxq,
            redis,
            concurrency,
            flow: &[],
            log: None,
            operators: None,
            sections: String::new(),
        }
    }

    fn command(&self, config: &Path) -> Result<Command, Problem> {
        let mut command = match &self.program {
            Program::Proxq => {
                let mut command = Command::new(beside_this_program("proxq")?);
                command.arg("--config").arg(config);
                command.args(self.operators.map(|address| format!("--admin={address}")));
                command
            }
            Program::Peer(line) => {
                let mut command = Command::new("sh");
                command.arg("-c").arg(format!("exec {}", line.replace("{config}", &config.display().to_string())));
                command
            }
        };
        match self.log {
            Some(level) => command.env("RUST_LOG", level),
            None => command.env_remove("RUST_LOG"),
        };
        Ok(command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Redis that never rewrites its append-only file. A rewrite takes a core for as long as it lasts, and comes more often the
/// more is written.
pub(crate) fn redis_without_rewrites() -> Arc<Redis> {
    let redis = Redis::start_tcp();
    redis.run(&["CONFIG", "SET", "auto-aof-rewrite-percentage", "0"]);
    redis
}

/// An address of this machine that nobody listens at.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// The path of a program of the workspace, built with the same profile as this one.
fn beside_this_program(name: &str) -> Result<PathBuf, Problem> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() { Ok(path) } else { Err(format!("{} is missing: `make bench` builds it", path.display()).into()) }
}

/// What all servers are configured with: nothing but where things are, and room for large bodies.
fn configuration(launch: &Launch, address: SocketAddr, data: &Path, upstream: SocketAddr) -> String {
    let store = match &launch.redis {
        Some(redis) => format!("redis:\n  addr: {}", redis.host_and_port()),
        None => format!("dataDir: {}", data.display()),
    };
    let Launch { concurrency, sections, .. } = launch;
    let room = LARGEST_BODY;
    let flow = launch.flow.iter().fold(String::new(), |lines, key| lines + "    " + key + "\n");
    format!(
        "listenAddress: \"{address}\"\nconcurrency: {concurrency}\n{store}\nupstreams:\n  - prefix: /\n    \
         url: http://{upstream}\n    timeout: 30m\n    maxBodySize: {room}\n    directProxyThreshold: {room}\n{flow}{sections}"
    )
}
