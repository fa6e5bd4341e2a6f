//! A Redis server of a test's own.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::Instant;

/// How long a server may take to start, or to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server, with its socket and its files in a folder of its own. Killed when the last of those who use it ends.
#[derive(Debug)]
pub struct Redis {
    folder: TempDir,
    process: Mutex<Option<Child>>,
}

/// An answer of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Nil,
    /// A number.
    Number(i64),
    /// Bytes, or a simple text.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Self>),
}

impl Value {
    /// A number.
    pub fn number(&self) -> i64 {
        let Self::Number(number) = self else { panic!("not a number: {self:?}") };
        *number
    }

    /// A text.
    pub fn text(&self) -> String {
        let Self::Bytes(bytes) = self else { panic!("not a text: {self:?}") };
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The texts of a list.
    pub fn texts(&self) -> Vec<String> {
        let Self::List(items) = self else { panic!("not a list: {self:?}") };
        items.iter().map(Self::text).collect()
    }
}

impl Redis {
    /// Starts a server, and waits until it answers.
    pub fn start() -> Arc<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let redis = Self { folder, process: Mutex::new(None) };
        redis.start_again();
        Arc::new(redis)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Starts it again on the same files.
    pub fn start_again(&self) {
        // What a crash left; nobody may take it for the new one.
        let _none = std::fs::remove_file(self.socket());
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "yes", "--loglevel", "warning"])
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--dir")
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server cannot be started ({error}); tests/dep.sh installs it"));
        *self.process() = Some(process);
        let deadline = Instant::now() + PATIENCE;
        while self.try_run(&["PING"]).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&self) {
        if let Some(mut process) = self.process().take() {
            // It may have ended by itself; that is the caller's affair.
            let _ = process.kill();
            let _ = process.wait();
        }
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
        let mut socket = UnixStream::connect(self.socket())?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let bulk = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
        let command = format!("*{}\r\n{}", words.len(), words.iter().map(bulk).collect::<String>());
        socket.write_all(command.as_bytes())?;
        read(&mut BufReader::new(socket))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read(from: &mut impl BufRead) -> io::Result<Value> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let line = line.trim_end();
    let wrong = |what: &dyn fmt::Display| io::Error::other(format!("{what}"));
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| wrong(&"no answer"))?;
    let number = || rest.parse::<i64>().map_err(|error| wrong(&error));
    match kind {
        "+" => Ok(Value::Bytes(rest.into())),
        "-" => Err(wrong(&rest)),
        ":" => Ok(Value::Number(number()?)),
        "$" => {
            let Ok(length) = usize::try_from(number()?) else { return Ok(Value::Nil) };
            let mut bytes = vec![0; length + 2];
            from.read_exact(&mut bytes)?;
            bytes.truncate(length);
            Ok(Value::Bytes(bytes))
        }
        "*" => (0..number()?).map(|_| read(from)).collect::<io::Result<_>>().map(Value::List),
        _ => Err(wrong(&line)),
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
