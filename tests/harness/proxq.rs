//! A proxq server: the process, its folder, and a client of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, thread};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::client::Client;
use crate::config::Config;
use crate::log::{Log, Record};
use crate::process::{Exit, Launch, Process};
use crate::redis::Redis;
use crate::set_clock::SetClock;
use crate::small_disk::SmallDisk;
use crate::waiting::{eventually, within};

/// A running server with a folder of its own, which outlives restarts. Speaks through [`Client`].
///
/// When it is dropped, the process is killed; the test fails if it panicked or logged an error that the test did not
/// announce by [`Proxq::expect_error`].
#[derive(Debug)]
pub struct Proxq {
    client: Client,
    process: Option<Process>,
    logs: Vec<Log>,
    expected_errors: Vec<String>,
    setup: Setup,
}

/// Everything that a restart needs.
#[derive(Debug)]
struct Setup {
    folder: TempDir,
    redis: Option<Arc<Redis>>,
    data_dir: PathBuf,
    starter: Vec<String>,
    /// In place of the configuration file.
    args: Option<Vec<String>>,
    env: Vec<(&'static str, String)>,
    /// What its log is written in: `json`, or `text`.
    log_format: &'static str,
}

impl Proxq {
    /// Starts a server with this configuration, on a free port and a fresh data folder.
    pub async fn start(config: Config) -> Self {
        Self::builder(config).start().await
    }

    /// A server that is started in a special way.
    pub fn builder(config: Config) -> Builder {
        Builder { config, data_dir: None, starter: Vec::new(), args: None, env: Vec::new(), log_format: "json" }
    }

    /// Starts a server by flags alone, with everything forwarded to this URL.
    pub async fn without_file(url: &str) -> Self {
        Self::by_flags(url, &[]).await
    }

    /// The same, with these flags as well.
    pub async fn by_flags(url: &str, more: &[&str]) -> Self {
        let builder = Self::builder(Config::new());
        let usual = ["--upstream", url, "--listen", "127.0.0.1:0", "--data-dir", "data"];
        let args = usual.iter().chain(more).map(|&arg| arg.to_owned()).collect();
        Builder { args: Some(args), ..builder }.start().await
    }

    /// The folder with the configuration, the data and whatever the test puts there.
    pub fn folder(&self) -> &Path {
        self.setup.folder.path()
    }

    /// The server's `dataDir`.
    pub fn data_dir(&self) -> &Path {
        &self.setup.data_dir
    }

    /// The Redis in which it keeps its jobs.
    pub fn redis(&self) -> &Redis {
        self.setup.redis.as_ref().expect("it keeps its jobs in Redis")
    }

    /// How many large bodies it keeps, and what else it may have beside them: only changes of it say anything.
    pub fn large_bodies(&self) -> usize {
        match &self.setup.redis {
            Some(redis) => redis.keys("proxq:{*}:blob:*").len(),
            None => self.files().len(),
        }
    }

    /// Returns when it keeps so many large bodies, by the count of [`Proxq::large_bodies`].
    pub async fn keeps_large_bodies(&self, count: usize) {
        eventually(&format!("{count} large bodies are kept"), async || self.large_bodies() == count).await;
    }

    /// Every file below the data folder, with its length.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        let mut folders = vec![self.setup.data_dir.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                    Ok(metadata) => found.push((entry.path(), metadata.len())),
                    Err(_gone) => {}
                }
            }
        }
        found.sort();
        found
    }

    /// The log of the running process, or of the last one.
    pub fn log(&self) -> &Log {
        self.logs.last().expect("it was started")
    }

    /// Announces an `ERROR` line that contains this text.
    pub fn expect_error(&mut self, text: &str) {
        self.expected_errors.push(text.to_owned());
    }

    /// A client of its listener for operators, at the address of its last start.
    pub async fn operators(&self) -> Client {
        let record =
            self.log().record("operators are listened to", |record| record.message() == "listening for operators");
        let address = record.await.field("address").expect("it says where");
        Client::at(address.parse().expect("it is an address"))
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("the server runs")
    }

    /// Asks it to stop by `SIGTERM`; returns at once.
    pub fn terminate(&self) {
        self.process().signal(Signal::TERM);
    }

    /// Returns when it has begun to drain, after [`Proxq::terminate`].
    pub async fn drains(&self) {
        self.log().record("it drains", |record| record.message().starts_with("draining")).await;
    }

    /// Asks it to stop by `SIGINT`, as a terminal does; returns at once.
    pub fn interrupt(&self) {
        self.process().signal(Signal::INT);
    }

    /// Asks it to read its configuration again; returns at once.
    pub fn hang_up(&self) {
        self.process().signal(Signal::HUP);
    }

    /// Where its configuration is.
    pub fn config_file(&self) -> PathBuf {
        self.setup.config_file()
    }

    /// Writes another configuration, of which it knows nothing before [`Proxq::hang_up`].
    pub fn rewrite(&self, config: Config) {
        self.setup.write(config);
    }

    /// Has it read its configuration again; gives the first record of how that ended.
    pub async fn read_again(&self) -> Record {
        let before = self.log().lines().len();
        self.hang_up();
        let ended = |record: &Record| {
            let message = record.message();
            message.starts_with("configuration reloaded") || message.starts_with("configuration not reloaded")
        };
        let record = within("the configuration is read again", self.log().find_after(before, ended)).await;
        record
            .unwrap_or_else(|| panic!("proxq ended instead of reading its configuration again:\n{}", self.log().text()))
    }

    /// Has it take another configuration over, which must succeed; gives the keys of what changed.
    pub async fn reload(&self, config: Config) -> String {
        self.rewrite(config);
        let record = self.read_again().await;
        assert_eq!((record.level(), record.message().as_str()), ("INFO", "configuration reloaded"), "{record:?}");
        record.field("changed").unwrap_or_default()
    }

    /// Waits for its end; gives the exit code, or `None` after a signal.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let status = self.process.as_mut().expect("the server runs").exit().await;
        self.process = None;
        status.code()
    }

    /// Asks it to stop, and waits until it has, cleanly.
    pub async fn stop(&mut self) {
        self.terminate();
        assert_eq!(self.exit_code().await, Some(0), "exit code after SIGTERM\n{}", self.log().text());
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process.take().expect("the server runs").kill();
    }

    /// Starts it again on the same data, after [`Proxq::stop`] or [`Proxq::kill`].
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "it was stopped before");
        let (process, address) = self.setup.spawn().await;
        self.logs.push(process.log.clone());
        self.process = Some(process);
        self.client.moved_to(address);
    }

    /// The same, with another configuration.
    pub async fn start_again_with(&mut self, config: Config) {
        let config = match &self.setup.redis {
            Some(redis) => config.in_redis(Arc::clone(redis)),
            None => config,
        };
        self.setup.write(config);
        self.start_again().await;
    }

    /// Starts it on the same data where that must fail; gives how.
    pub async fn fails_to_start(&self) -> Exit {
        assert!(self.process.is_none(), "it was stopped before");
        self.setup.launch().to_exit().await
    }

    /// Memory that the process holds at this moment, in bytes.
    pub fn memory(&self) -> u64 {
        self.process().memory("VmRSS:")
    }

    /// The most memory that the process has ever held, in bytes.
    pub fn memory_peak(&self) -> u64 {
        self.process().memory("VmHWM:")
    }

    /// How many files and sockets the process has open.
    pub fn open_files(&self) -> usize {
        self.process().open_files()
    }

    /// Limits how many files and sockets it may have open, from now on; those that are open stay.
    pub fn limit_open_files(&self, count: u64) {
        self.process().limit_open_files(count);
    }

    /// Limits the size of the files that it writes, from now on. `None` lifts the limit.
    pub fn limit_file_size(&self, bytes: Option<u64>) {
        self.process().limit_file_size(bytes);
    }
}

impl Deref for Proxq {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Proxq {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
        if thread::panicking() {
            for log in &self.logs {
                eprintln!("--- log of proxq\n{}", log.text());
            }
            return;
        }
        let problems_of = |log: &Log| match self.setup.log_format {
            "json" => log.problems(&self.expected_errors),
            _ => log.lines().into_iter().filter(|line| line.contains("panicked")).collect(),
        };
        let problems: Vec<_> = self.logs.iter().flat_map(problems_of).collect();
        assert!(problems.is_empty(), "the server's log has what it should not have:\n{}", problems.join("\n"));
    }
}

/// How a server is started.
#[derive(Debug)]
pub struct Builder {
    config: Config,
    data_dir: Option<PathBuf>,
    starter: Vec<String>,
    /// In place of the configuration file.
    args: Option<Vec<String>>,
    env: Vec<(&'static str, String)>,
    log_format: &'static str,
}

impl Builder {
    /// Uses this data folder in place of a fresh one.
    #[must_use]
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(folder.into());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Has one thread serve everything, so that all requests and attempts share the kept connections to an upstream.
    #[must_use]
    pub fn on_one_core(self) -> Self {
        self.env("TOKIO_WORKER_THREADS", "1")
    }

    /// Has the log written as people read it. No [`Record`] can be read from it.
    #[must_use]
    pub fn text_log(mut self) -> Self {
        self.log_format = "text";
        self
    }

    /// Starts the binary through another program, which takes it and its arguments as its last ones.
    #[must_use]
    pub fn through(mut self, starter: &[impl AsRef<str>]) -> Self {
        self.starter = starter.iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// Gives it this wall clock.
    #[must_use]
    pub fn with_clock(mut self, clock: &SetClock) -> Self {
        let (starter, environment) = clock.means();
        self.env.extend(environment);
        self.through(&starter)
    }

    /// Keeps its data on this disk.
    #[must_use]
    pub fn on_disk(self, disk: &SmallDisk) -> Self {
        self.data_dir(disk.path().join("data")).through(&disk.starter())
    }

    /// Starts it, and waits until it listens.
    pub async fn start(self) -> Proxq {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let data_dir = self.data_dir.unwrap_or_else(|| folder.path().join("data"));
        let redis = self.config.redis().cloned();
        let Self { starter, args, env, log_format, .. } = self;
        let setup = Setup { folder, redis, data_dir, starter, args, env, log_format };
        setup.write(self.config);
        let (process, address) = setup.spawn().await;
        Proxq {
            client: Client::at(address),
            logs: vec![process.log.clone()],
            process: Some(process),
            expected_errors: Vec::new(),
            setup,
        }
    }
}

impl Setup {
    fn config_file(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    fn write(&self, config: Config) {
        let text = config.set("dataDir", self.data_dir.display().to_string()).text();
        // In one step, so that nobody reads half of it.
        let begun = self.folder.path().join("config.yaml.new");
        fs::write(&begun, text)
            .and_then(|()| fs::rename(begun, self.config_file()))
            .expect("the temporary folder is ours");
    }

    fn launch(&self) -> Launch {
        let mut launch = Launch::through(self.folder.path(), &self.starter);
        for (name, value) in &self.env {
            launch = launch.env(name, value);
        }
        let config_file = self.config_file().display().to_string();
        let args = self.args.clone().unwrap_or_else(|| vec!["--config".to_owned(), config_file]);
        launch.args(["--log-format", self.log_format]).args(args)
    }

    async fn spawn(&self) -> (Process, SocketAddr) {
        let process = self.launch().spawn();
        let address = listening_address(&process.log).await;
        (process, address)
    }
}

/// Where the log says that the server listens.
async fn listening_address(log: &Log) -> SocketAddr {
    let Some(line) = within("proxq listens", log.line("listening")).await else {
        panic!("proxq ended before it listened:\n{}", log.text())
    };
    // In JSON it is behind `"address":"`, as text behind `address=`.
    let behind = line.split_once("address").map_or("", |(_, behind)| behind);
    let address = behind.trim_start_matches(['"', ':', '=']).split(['"', ' ']).next().unwrap_or_default();
    let address: SocketAddr = address.parse().unwrap_or_else(|_| panic!("no address: {line}"));
    // All interfaces are asked at this machine's own.
    if address.ip().is_unspecified() { (Ipv4Addr::LOCALHOST, address.port()).into() } else { address }
}
