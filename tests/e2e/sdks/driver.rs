//! A program in the language of the clients, which makes calls and prints what each call gives.

use std::collections::BTreeMap;
use std::env;
use std::process::{Child, Command, Stdio};
use std::thread;

use harness::{Log, Record, checkout, within};
use serde_json::Value;

use super::calls::End;

/// A running program. Ended when dropped.
pub(super) struct Driver {
    process: Child,
    output: Log,
    complaints: Log,
}

/// What a client got of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Given {
    pub(super) events: Vec<Value>,
    /// What the call returned, if it did.
    pub(super) value: Option<Value>,
    /// The error that it raised, if it did.
    pub(super) error: Option<Value>,
}

impl Driver {
    /// Starts a script of `tests/clients` with these calls, which it numbers from 0.
    pub(super) fn start(program: &str, script: &str, calls: &Value) -> Self {
        let mut command = Command::new(program);
        command.arg(checkout().join("tests/clients").join(script)).arg(calls.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Whoever runs the tests may use the SDKs, too, and a proxy to reach others.
        let is_of_sdk = |name: &str| ["OPENAI_", "ANTHROPIC_"].iter().any(|prefix| name.starts_with(prefix));
        for (name, _) in env::vars_os().filter(|(name, _)| is_of_sdk(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        let started = command.spawn();
        let mut process = started.unwrap_or_else(|e| panic!("{program} does not start ({e}): run `make dep` first"));
        let output = Log::follow(process.stdout.take().expect("standard output is a pipe"));
        let complaints = Log::follow(process.stderr.take().expect("standard error is a pipe"));
        Self { process, output, complaints }
    }

    /// Returns when the call with this number has given the first event of its stream, or has ended.
    pub(super) async fn first_event(&self, number: usize) {
        let number = number.to_string();
        let is_such = |record: &Record| record.field("call").as_ref() == Some(&number);
        within("a stream gives its first event", self.output.find(is_such)).await;
    }

    /// Returns when the program has ended, however long that takes.
    pub(super) async fn ended(&self) {
        self.output.ended().await;
    }

    /// What each call gave, by its number.
    pub(super) fn given(&self) -> BTreeMap<usize, Given> {
        let mut all: BTreeMap<usize, Given> = BTreeMap::new();
        for line in self.output.lines() {
            let told: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
            let number = told["call"].as_u64().and_then(|number| usize::try_from(number).ok());
            let given = all.entry(number.expect("each line names its call")).or_default();
            given.events.extend(told.get("event").cloned());
            given.value = told.get("value").cloned().or(given.value.take());
            given.error = told.get("error").cloned().or(given.error.take());
        }
        all
    }
}

impl Given {
    /// Whether the call ended in this way.
    pub(super) fn is(&self, end: End) -> bool {
        (self.value.is_some(), self.error.is_some()) == (end == End::Value, end == End::Error)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("--- what the clients gave\n{}\n{}", self.output.text(), self.complaints.text());
        }
    }
}
