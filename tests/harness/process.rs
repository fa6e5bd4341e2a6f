//! The `proxq` binary as a child process.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use crate::docs::checkout;
use crate::log::Log;
use crate::waiting::within;

/// How the binary is started.
#[derive(Debug)]
pub struct Launch {
    command: Command,
}

impl Launch {
    /// In this folder, without arguments and without any of our own environment variables.
    pub fn new(folder: &Path) -> Self {
        Self::through(folder, &[])
    }

    /// The same, started by another program that takes the binary and its arguments as its last ones.
    pub fn through(folder: &Path, starter: &[String]) -> Self {
        let mut words = starter.iter().map(OsString::from).chain([binary().into()]);
        let mut command = Command::new(words.next().expect("the binary, if nothing else"));
        command.args(words).current_dir(folder).env_remove("RUST_LOG").stdin(Stdio::null());
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PROXQ_")) {
            command.env_remove(name);
        }
        Self { command }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(self, arg: impl AsRef<OsStr>) -> Self {
        self.args([arg])
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it.
    pub(crate) fn spawn(mut self) -> Process {
        let mut child = self
            .command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {:?}: {e}", self.command));
        let log = Log::follow(child.stderr.take().expect("standard error is a pipe"));
        Process { child, log }
    }

    /// Asks another program to stop, and waits until it has.
    pub fn stop(program: &mut Child) {
        // It may have ended by itself.
        let _ = kill_process(Pid::from_child(program), Signal::TERM);
        let _ = program.wait();
    }

    /// Lets it run to its end.
    pub async fn to_exit(mut self) -> Exit {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap_or_else(|e| panic!("cannot start {:?}: {e}", self.command));
        let output = Log::follow(child.stdout.take().expect("standard output is a pipe"));
        let log = Log::follow(child.stderr.take().expect("standard error is a pipe"));
        let mut process = Process { child, log };
        let status = process.exit().await;
        output.ended().await;
        Exit { code: status.code(), output: output.text(), log: process.log.text() }
    }
}

/// How a process ended.
#[derive(Clone, Debug)]
pub struct Exit {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it wrote to its standard output.
    pub output: String,
    /// What it wrote to its standard error.
    pub log: String,
}

/// A running process. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) log: Log,
}

impl Process {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is ours and was not waited for");
    }

    /// Waits for its end.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        within("the process ends", self.log.ended()).await;
        self.child.wait().expect("the process is ours")
    }

    /// Ends it as a crash would, and returns when it is gone.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself; that is the caller's affair.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Limits the size of the files that it writes, from now on. `None` lifts the limit.
    pub(crate) fn limit_file_size(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(self.pid()), Resource::Fsize, limit).expect("the soft limit of a process of ours");
    }

    /// Limits how many files and sockets it may have open, from now on; those that are open stay.
    pub(crate) fn limit_open_files(&self, count: u64) {
        let limit = Rlimit { current: Some(count), ..getrlimit(Resource::Nofile) };
        prlimit(Some(self.pid()), Resource::Nofile, limit).expect("the soft limit of a process of ours");
    }

    /// A figure of `/proc/PID/status`, in bytes.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {status}"));
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number of KiB");
        kib << 10
    }

    /// How many files it has open, sockets included.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the process runs").count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where the binary is: `PROXQ_BIN`, else beside the tests; built first if it is missing or older than its source.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = env::var_os("PROXQ_BIN") {
            return path.into();
        }
        // target/PROFILE/deps/e2e-HASH
        let test = env::current_exe().expect("a test knows its own path");
        let profile = test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps");
        let binary = profile.join("proxq");
        if is_stale(&binary) {
            build(profile);
        }
        assert!(binary.exists(), "{} is missing: run `cargo build` first, or set PROXQ_BIN", binary.display());
        binary
    })
}

fn is_stale(binary: &Path) -> bool {
    let Ok(built) = fs::metadata(binary).and_then(|file| file.modified()) else { return true };
    newest_source() > Some(built)
}

/// When the server's source was changed last.
fn newest_source() -> Option<SystemTime> {
    ["proxq-server/src", "proxq-protocol/src"].iter().filter_map(|folder| newest(&checkout().join(folder))).max()
}

fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    entries
        .filter_map(
            |entry| if entry.path().is_dir() { newest(&entry.path()) } else { entry.metadata().ok()?.modified().ok() },
        )
        .max()
}

fn build(profile: &Path) {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--workspace", "--bin", "proxq"]).current_dir(checkout());
    command.arg("--target-dir").arg(profile.parent().expect("a profile lies in a target folder"));
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status().expect("cargo can be started");
    assert!(status.success(), "proxq does not build");
    // Cargo leaves the binary as it is where only tests have changed. Without a new date it would be stale again and again.
    if let Some(newest) = newest_source() {
        let binary = File::open(profile.join("proxq")).expect("it has just been built");
        binary.set_modified(newest).expect("the binary is ours");
    }
}
