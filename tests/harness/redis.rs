//! A Redis server of a test's own.

use std::io::{self, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::authority::Authority;

mod value;

pub use value::Value;

/// How long a server may take to start, or to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it is left alone before it is asked again whether it has started: it answers after some 5 ms.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(2);

/// How often a free port is looked for: another process may take one before Redis does.
const PORTS_TRIED: usize = 5;

/// Who runs the harness's own commands, so that the default user is the test's to lock out.
const HARNESS: &str = "harness";

/// The names of this machine.
const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

/// A running server, with its socket and its files in a folder of its own. Killed when the last of those who use it ends.
#[derive(Debug)]
pub struct Redis {
    folder: TempDir,
    process: Mutex<Option<Child>>,
    network: Network,
}

/// How it is reached beside its socket.
#[derive(Debug)]
enum Network {
    None,
    Tcp { port: u16 },
    Tls { port: u16, authority: Box<Authority>, clients: Visitors },
}

/// Whom a server behind TLS lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visitors {
    /// Everybody.
    Any,
    /// Those with a certificate of its authority.
    Known,
}

impl Redis {
    /// Starts a server on a socket, and waits until it answers.
    pub fn start() -> Arc<Self> {
        let redis = Self::new(Network::None);
        redis.start_again();
        Arc::new(redis)
    }

    /// The same, on a free port of loopback, too.
    pub fn start_tcp() -> Arc<Self> {
        Self::on_a_free_port(|port| Network::Tcp { port })
    }

    /// The same, on a free port of loopback with TLS, with a certificate of a private authority.
    pub fn start_tls(clients: Visitors) -> Arc<Self> {
        Self::on_a_free_port(|port| {
            let authority = Box::new(Authority::new());
            authority.issue_files("server", &HERE);
            Network::Tls { port, authority, clients }
        })
    }

    fn new(network: Network) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self { folder, process: Mutex::new(None), network }
    }

    fn on_a_free_port(network: impl Fn(u16) -> Network) -> Arc<Self> {
        for _ in 0..PORTS_TRIED {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port of loopback");
            let port = listener.local_addr().expect("a bound socket has an address").port();
            drop(listener);
            let redis = Self::new(network(port));
            if redis.comes_up() {
                return Arc::new(redis);
            }
        }
        panic!("redis-server found none of {PORTS_TRIED} ports free");
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Its `host:port`.
    pub fn host_and_port(&self) -> String {
        match &self.network {
            Network::None => panic!("it is on a socket only"),
            Network::Tcp { port } | Network::Tls { port, .. } => format!("127.0.0.1:{port}"),
        }
    }

    /// A file of its private authority: `ca.pem`, `client.pem`, `client-key.pem`.
    pub fn tls_file(&self, name: &str) -> String {
        let Network::Tls { authority, .. } = &self.network else { panic!("it speaks no TLS") };
        authority.file(name).display().to_string()
    }

    /// Starts it again on the same files.
    pub fn start_again(&self) {
        assert!(self.comes_up(), "redis-server ended at once");
    }

    /// Starts it, and waits until it answers or has ended.
    fn comes_up(&self) -> bool {
        // What a crash left; nobody may take it for the new one.
        let _none = std::fs::remove_file(self.socket());
        let process = Command::new("redis-server")
            .args(["--save", "", "--appendonly", "yes", "--loglevel", "warning"])
            .args(["--user", HARNESS, "on", "nopass", "~*", "&*", "+@all"])
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--dir")
            .arg(self.folder.path())
            .args(self.network.options())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server cannot be started ({error}); tests/dep.sh installs it"));
        *self.process() = Some(process);
        let deadline = Instant::now() + PATIENCE;
        while self.try_run(&["PING"]).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            if self.process().as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(Some(_)))) {
                return false;
            }
            std::thread::sleep(ASK_AGAIN_AFTER);
        }
        true
    }

    /// Ends it as a crash would.
    pub fn kill(&self) {
        if let Some(mut process) = self.process().take() {
            // It may have ended by itself; that is the caller's affair.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.process().as_ref().expect("it runs").id()
    }

    /// Stops it where it stands, or lets it go on.
    pub fn signal(&self, signal: Signal) {
        let process = self.process();
        let process = process.as_ref().expect("it runs");
        kill_process(Pid::from_child(process), signal).expect("the process is ours and was not waited for");
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a command.
    pub fn run(&self, words: &[&str]) -> Value {
        self.try_run(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The keys that match a pattern, in order.
    pub fn keys(&self, pattern: &str) -> Vec<String> {
        let mut keys = self.run(&["KEYS", pattern]).texts();
        keys.sort();
        keys
    }

    fn try_run(&self, words: &[&str]) -> io::Result<Value> {
        self.run_as(HARNESS, "", words)
    }

    /// Runs a command as another user than the harness's own.
    ///
    /// # Errors
    /// What the server says against it, the connection's errors too.
    pub fn run_as(&self, user: &str, password: &str, words: &[&str]) -> io::Result<Value> {
        let mut socket = UnixStream::connect(self.socket())?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let login = value::command(&["AUTH", user, password]);
        socket.write_all((login + &value::command(words)).as_bytes())?;
        let mut answers = BufReader::new(socket);
        value::read(&mut answers)?;
        value::read(&mut answers)
    }
}

impl Network {
    /// What it means on Redis's command line.
    fn options(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        match self {
            Self::None => words(&["--port", "0"]),
            Self::Tcp { port } => words(&["--bind", "127.0.0.1", "--port", &port.to_string()]),
            Self::Tls { port, authority, clients } => {
                let file = |name: &str| authority.file(name).display().to_string();
                let asks = if *clients == Visitors::Known { "yes" } else { "no" };
                [
                    words(&["--bind", "127.0.0.1", "--port", "0", "--tls-port", &port.to_string()]),
                    words(&["--tls-cert-file", &file("server.pem"), "--tls-key-file", &file("server-key.pem")]),
                    words(&["--tls-ca-cert-file", &file("ca.pem"), "--tls-auth-clients", asks]),
                ]
                .concat()
            }
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_and_comes_back_with_what_it_had() {
        let redis = Redis::start();
        redis.run(&["RPUSH", "list", "a", "b"]);
        assert_eq!(redis.run(&["LRANGE", "list", "0", "-1"]).texts(), ["a", "b"]);
        assert_eq!(redis.run(&["GET", "nothing"]), Value::Nil);
        redis.kill();
        redis.start_again();
        assert_eq!(redis.run(&["LLEN", "list"]).number(), 2);
        assert_eq!(redis.keys("*"), ["list"]);
    }
}
