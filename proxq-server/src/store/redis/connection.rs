//! The connections on which commands go, many at once on each: one for each core, so that an answer wakes no other thread
//! than its own. When one breaks, all are made anew (`connecting.rs`): what ended it has ended others, which nobody has noticed
//! yet. A core without a connection borrows that of another core.
//!
//! While the first try to connect again is under way, commands wait. When it failed, they fail at once. A command whose answer
//! was lost with the connection is sent again on the next one, if a repetition does no harm.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, Pipeline, RedisError, Value};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::connecting::{RESPONSE_TIMEOUT, State, Tries, keep_connected};
use super::error::{
    Sent, checked, classify, is_unknown_script, lost_answer, says_nothing_of_health, spoils_connection, unexpected,
};
use super::keys::Keys;
use super::scripts::{Call, Scripts};
use crate::clock::{Clock, Timestamp};
use crate::metrics::StoreMetrics;
use crate::store::{RECLAIM_AFTER_OUTAGE, StoreError};
use crate::tasks::{PerCore, Tasks};

/// The most commands that wait for their answers at once; others wait for their turn here. So when thousands of clients ask
/// in one moment, the time limit of an answer measures Redis, and not the queue of commands before it.
const UNDER_WAY_MAX: usize = 512;
/// The words of a call before its arguments, and the bytes that they usually have at most: a command with a body is copied once
/// less if its length is right from the start.
const HEAD_WORDS: usize = 5;
const HEAD_BYTES: usize = 256;
/// How often one command is sent again. When one connection after the other breaks, more tries do not help: they only make
/// more connections that break.
const REPETITIONS_MAX: usize = 3;

/// Where commands go.
pub(super) struct Commands {
    client: Client,
    scripts: Scripts,
    turns: Semaphore,
    /// The connection of each core, as its `keep_connected` reports it.
    lines: PerCore<watch::Receiver<State>>,
    /// Connections of this generation, and of earlier ones, are of no use any more.
    broken: watch::Sender<u64>,
    tries: Arc<Tries>,
    tasks: Tasks,
    closing: CancellationToken,
    clock: Clock,
    answering_since: AtomicI64,
    metrics: StoreMetrics,
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").field("lines", &self.lines).finish_non_exhaustive()
    }
}

/// Not answering, or never asked.
const SILENT: i64 = i64::MAX;

impl Commands {
    /// Begins to connect, as each core does with its first command, and keeps connected until `closing`. On each connection,
    /// these scripts are loaded first.
    pub(super) fn keep_connected(
        client: Client,
        scripts: Scripts,
        tasks: Tasks,
        closing: CancellationToken,
        clock: Clock,
        metrics: StoreMetrics,
    ) -> Self {
        let commands = Self {
            client,
            scripts,
            turns: Semaphore::new(UNDER_WAY_MAX),
            lines: PerCore::new(),
            broken: watch::Sender::new(0),
            tries: Arc::default(),
            tasks,
            closing,
            clock,
            metrics,
            answering_since: AtomicI64::new(SILENT),
        };
        commands.line();
        commands
    }

    /// The state of this core's connection.
    fn line(&self) -> &watch::Receiver<State> {
        self.lines.get_or_init(|| {
            let (report, state) = watch::channel(State::Connecting);
            let (client, breaks) = (self.client.clone(), self.broken.subscribe());
            let (tries, closing) = (Arc::clone(&self.tries), self.closing.clone());
            self.tasks.spawn(keep_connected(client, self.scripts.loading(), report, breaks, tries, closing));
            state
        })
    }

    /// Changes with every connection that is made.
    pub(super) fn connected(&self) -> watch::Receiver<u64> {
        self.tries.connected()
    }

    /// The generation of the connections; 0 while there is none.
    pub(super) fn generation(&self) -> u64 {
        let usable = |line: &watch::Receiver<State>| match &*line.borrow() {
            State::Up { generation, .. } => Some(*generation).filter(|generation| self.is_usable(*generation)),
            State::Connecting | State::Down { .. } => None,
        };
        self.lines.all().find_map(usable).unwrap_or(0)
    }

    /// Whether Redis has answered every command for so long that owners of leases that live have renewed them.
    pub(super) fn is_well(&self) -> bool {
        let since = self.answering_since.load(Ordering::Acquire);
        since != SILENT && self.clock.steady().since(Timestamp::from_millis(since)) >= RECLAIM_AFTER_OUTAGE
    }

    /// Returns when nothing is sent any more.
    pub(super) async fn closed(&self) {
        self.closing.cancelled().await;
    }

    /// Runs a command that may be repeated.
    pub(super) async fn run(&self, name: &'static str, command: &Cmd) -> Result<Answer, StoreError> {
        self.one(name, command, true).await.map_err(StoreError::from)
    }

    /// Calls a script on a queue's keys; loads it first where Redis does not know it.
    pub(super) async fn call<C: Call>(&self, keys: &Keys, call: C) -> Result<C::Output, StoreError> {
        let script = C::script(&self.scripts);
        let arguments = call.arguments();
        let mut command = Cmd::with_capacity(HEAD_WORDS + arguments.count(), HEAD_BYTES + arguments.length());
        command.arg("EVALSHA").arg(&script.sha).arg(2).arg(&keys.asynq).arg(&keys.own);
        for argument in arguments {
            command.arg(argument);
        }
        let answer = match self.one(script.name, &command, C::REPEATABLE).await {
            Err(Failed::Answered(error)) if is_unknown_script(&error) => {
                self.run("SCRIPT LOAD", redis::cmd("SCRIPT").arg("LOAD").arg(&script.text)).await?;
                self.one(script.name, &command, C::REPEATABLE).await?
            }
            answered => answered?,
        };
        C::output(answer)
    }

    /// Runs commands that may be repeated in one round trip. Each has an answer of its own, or none has.
    pub(super) async fn run_all(&self, name: &'static str, commands: &Pipeline) -> Result<Vec<Answer>, StoreError> {
        let answers = self.send(name, Packed::All(commands), true).await?;
        if answers.len() == commands.len() { Ok(answers) } else { Err(unexpected(name)) }
    }

    async fn one(&self, name: &'static str, command: &Cmd, repeatable: bool) -> Result<Answer, Failed> {
        let answer = self.send(name, Packed::One(command), repeatable).await?.pop();
        answer.ok_or_else(|| Failed::NotSent(unexpected(name)))
    }

    /// Sends commands, and sends them again on the next connection if theirs breaks. All tries together take no longer than one
    /// answer may.
    async fn send(&self, name: &'static str, commands: Packed<'_>, repeatable: bool) -> Result<Vec<Answer>, Failed> {
        let measuring = self.metrics.begin(name);
        let sent = self.send_until_answered(name, commands, repeatable).await;
        let failed = |failed: &Failed| !matches!(failed, Failed::Answered(error) if is_unknown_script(error));
        measuring.end(sent.as_ref().is_err_and(failed));
        sent
    }

    async fn send_until_answered(
        &self,
        name: &'static str,
        commands: Packed<'_>,
        repeatable: bool,
    ) -> Result<Vec<Answer>, Failed> {
        let _turn = self.turns.acquire().await.map_err(|_closed| Failed::NotSent(StoreError::Closed))?;
        let deadline = Instant::now() + RESPONSE_TIMEOUT;
        let mut sent = self.send_once(commands).await;
        let mut repetitions = 0;
        while let Err(Failed::Answered(lost)) = &sent
            && repeatable
            && lost_answer(lost)
            && repetitions < REPETITIONS_MAX
        {
            repetitions += 1;
            match tokio::time::timeout_at(deadline, self.send_once(commands)).await {
                // This try says nothing about the former one, whose error stands.
                Err(_) | Ok(Err(Failed::NotSent(_))) => break,
                Ok(again) => sent = again,
            }
        }
        let answer = |value| Answer { value, command: name, repeated: repetitions > 0 };
        Ok(sent?.into_iter().map(answer).collect())
    }

    async fn send_once(&self, commands: Packed<'_>) -> Result<Vec<Value>, Failed> {
        let (mut connection, generation) = self.connection().await.map_err(Failed::NotSent)?;
        let sent = match commands {
            Packed::One(command) => connection.send_packed_command(command).await.map(|value| vec![value]),
            Packed::All(commands) => connection.send_packed_commands(commands, 0, commands.len()).await,
        };
        let checked = sent.and_then(|values| values.into_iter().map(checked).collect());
        self.note(checked, generation).map_err(Failed::Answered)
    }

    /// A connection. Waits while this core's is being made and no other core has one; fails when it could not be made.
    async fn connection(&self) -> Result<(MultiplexedConnection, u64), StoreError> {
        let mut own = self.line().clone();
        let mut of_others = None;
        loop {
            if self.closing.is_cancelled() {
                return Err(StoreError::Closed);
            }
            let usable = self.usable(&own.borrow_and_update());
            if let Some(usable) = usable.or_else(|| self.lines.all().find_map(|line| self.usable(&line.borrow()))) {
                return Ok(usable);
            }
            match &*own.borrow() {
                State::Down { error, generation } if self.is_usable(*generation) => {
                    self.answering_since.store(SILENT, Ordering::Release);
                    return Err(classify(RedisError::clone(error), Sent::No));
                }
                State::Up { .. } | State::Connecting | State::Down { .. } => {}
            }
            let Some(of_others) = &mut of_others else {
                of_others = Some(self.connected());
                continue; // one may have been made before it was listened to
            };
            tokio::select! {
                changed = own.changed() => if changed.is_err() { return Err(StoreError::Closed) },
                // Its sender is borrowed from self, and lives.
                _ = of_others.changed() => {}
            }
        }
    }

    /// Whether connections of this generation are not known to be broken.
    fn is_usable(&self, generation: u64) -> bool {
        generation > *self.broken.borrow()
    }

    /// The connection of a core, if there is one. What is known to be broken is replaced soon.
    fn usable(&self, state: &State) -> Option<(MultiplexedConnection, u64)> {
        match state {
            State::Up { connection, generation } if self.is_usable(*generation) => {
                Some((connection.clone(), *generation))
            }
            State::Up { .. } | State::Connecting | State::Down { .. } => None,
        }
    }

    /// Notes whether Redis answers, and has all connections replaced if this one is of no use any more.
    fn note<T>(&self, outcome: Result<T, RedisError>, generation: u64) -> Result<T, RedisError> {
        match &outcome {
            Ok(_) => {
                let now = self.clock.steady().as_millis();
                let _kept = self.answering_since.compare_exchange(SILENT, now, Ordering::AcqRel, Ordering::Acquire);
            }
            Err(error) if says_nothing_of_health(error) => {}
            Err(error) => {
                self.answering_since.store(SILENT, Ordering::Release);
                if spoils_connection(error) {
                    self.broken
                        .send_if_modified(|broken| std::mem::replace(broken, generation.max(*broken)) < generation);
                }
            }
        }
        outcome
    }
}

/// What is sent at once.
#[derive(Clone, Copy)]
enum Packed<'a> {
    One(&'a Cmd),
    All(&'a Pipeline),
}

/// Why a command has no result.
enum Failed {
    NotSent(StoreError),
    /// By an error, or not at all.
    Answered(RedisError),
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NotSent(error) => error,
            Failed::Answered(error) => classify(error, Sent::Yes),
        }
    }
}
