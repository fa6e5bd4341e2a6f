//! A Redis server of a test's own.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::config::{RedisAddress, RedisConfig};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server, with its socket and its files in a folder of its own. Killed when dropped.
pub(super) struct RedisServer {
    folder: TempDir,
    process: Child,
    connection: MultiplexedConnection,
}

impl RedisServer {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = spawn(&folder);
        let connection = connect(&folder).await;
        Self { folder, process, connection }
    }

    /// How to reach it.
    pub(super) fn config(&self) -> RedisConfig {
        let path = self.folder.path().join("socket");
        RedisConfig { address: RedisAddress::Unix { path }, ..RedisConfig::default() }
    }

    /// Runs a command of this test's own.
    pub(super) async fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let mut connection = self.connection.clone();
        command.query_async(&mut connection).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// A connection of this test's own.
    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// What the scripts of tests go by.
    pub(super) async fn set_time(&self, now: Timestamp) {
        let [seconds, micros]: [u64; 2] = self.run(&["TIME"]).await;
        let begun = seconds * 1_000_000 + micros;
        let _: i64 = self.run(&["SETNX", "proxq:test:begun", &begun.to_string()]).await;
        let () = self.run(&["SET", "proxq:test:now", &now.as_millis().to_string()]).await;
    }

    /// Ends it as a crash would.
    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again on the same files.
    pub(super) async fn start_again(&mut self) {
        self.process = spawn(&self.folder);
        self.connection = connect(&self.folder).await;
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(folder: &TempDir) -> Child {
    let socket = folder.path().join("socket");
    let mut command = Command::new("redis-server");
    command
        .args(["--port", "0", "--unixsocket", socket.to_str().unwrap()])
        .args(["--save", "", "--appendonly", "yes", "--appendfsync", "no", "--loglevel", "warning"])
        .arg("--dir")
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.spawn().expect("redis-server can be started; it is installed by tests/dep.sh")
}

/// Connects as soon as the server lets anybody in.
async fn connect(folder: &TempDir) -> MultiplexedConnection {
    let client = Client::open(format!("unix://{}", folder.path().join("socket").display())).unwrap();
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(mut connection) = client.get_multiplexed_async_connection_with_config(&config).await {
            let loaded: redis::RedisResult<String> = redis::cmd("PING").query_async(&mut connection).await;
            if loaded.is_ok() {
                return connection;
            }
        }
        assert!(Instant::now() < deadline, "redis-server did not start");
        tokio::task::yield_now().await;
    }
}
