//! The connection on which all commands go, many at once. It is made anew whenever it breaks, in the background: what is
//! asked meanwhile waits while there is hope, and fails at once when Redis was asked and did not take the connection.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, Value};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::error::{
    NoConnection, Sent, checked, classify, is_refused_login, is_unknown_script, no_connection, says_nothing_of_health,
    spoils_connection, unexpected,
};
use super::keys::Keys;
use super::script::{Script, Scripts};
use crate::clock::Clock;
use crate::failure::chain;
use crate::store::StoreError;
use crate::tasks::Tasks;

/// How long an answer may take. Longer than any script of ours by far; short enough that a submission can be asked about
/// again within the five seconds that intake has for it.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection may take to be made, TLS and login included.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest and the longest pause between two tries to connect. The longest is what an operator waits for at most
/// once Redis is back.
const RECONNECT_PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// Growing pauses between tries to connect, no two instances in step.
pub(super) fn reconnect_pauses() -> impl Iterator<Item = Duration> + Send {
    let [min, max] = RECONNECT_PAUSES;
    ExponentialBuilder::default().with_min_delay(min).with_max_delay(max).with_jitter().without_max_times().build()
}

/// The pause after which a try to connect is made for certain.
pub(super) const LONGEST_PAUSE: Duration = RECONNECT_PAUSES[1];

/// Where commands go.
pub(super) struct Commands {
    state: watch::Receiver<State>,
    broken: watch::Sender<u64>,
    closing: CancellationToken,
    clock: Clock,
    answering_since: AtomicI64,
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}

#[derive(Clone)]
enum State {
    /// The first try since the last break is under way.
    Connecting,
    Up {
        connection: MultiplexedConnection,
        /// How many connections there have been.
        generation: u64,
    },
    /// The last try failed; there will be others.
    Down(Arc<RedisError>),
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting"),
            Self::Up { generation, .. } => write!(f, "up, connection {generation}"),
            Self::Down(error) => write!(f, "down: {error}"),
        }
    }
}

/// Not answering, or never asked.
const SILENT: i64 = i64::MAX;

impl Commands {
    /// Begins to connect, and keeps connected until `closing`. On each connection, these scripts are loaded first.
    pub(super) fn keep_connected(
        client: Client,
        scripts: &Scripts,
        tasks: &Tasks,
        closing: CancellationToken,
        clock: Clock,
    ) -> Self {
        let (report, state) = watch::channel(State::Connecting);
        let (broken, breaks) = watch::channel(0);
        tasks.spawn(keep_connected(client, scripts.loading(), report, breaks, closing.clone()));
        Self { state, broken, closing, clock, answering_since: AtomicI64::new(SILENT) }
    }

    /// How many connections there have been; changes with every new one.
    pub(super) fn generation(&self) -> u64 {
        match &*self.state.borrow() {
            State::Up { generation, .. } => *generation,
            State::Connecting | State::Down(_) => 0,
        }
    }

    /// For how long Redis has answered whatever it was asked; `None` if it did not the last time.
    pub(super) fn answering_for(&self) -> Option<Duration> {
        let since = self.answering_since.load(Ordering::Acquire);
        let now = self.clock.steady().as_millis();
        (since != SILENT).then(|| Duration::from_millis(u64::try_from(now - since).unwrap_or(0)))
    }

    /// Runs a command.
    pub(super) async fn run(&self, name: &'static str, command: &Cmd) -> Result<Answer, StoreError> {
        Ok(Answer { value: self.send(command).await?, command: name })
    }

    /// Runs a script on a queue's keys; loads it first where Redis does not know it.
    pub(super) async fn script(
        &self,
        script: &Script,
        keys: &Keys,
        arguments: Arguments,
    ) -> Result<Answer, StoreError> {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&script.sha).arg(2).arg(&keys.asynq).arg(&keys.own);
        for argument in arguments.0 {
            command.arg(argument);
        }
        let value = match self.send(&command).await {
            Err(Failed::Answered(error)) if is_unknown_script(&error) => {
                self.run("SCRIPT LOAD", redis::cmd("SCRIPT").arg("LOAD").arg(&script.text)).await?;
                self.send(&command).await?
            }
            sent => sent?,
        };
        Ok(Answer { value, command: script.name })
    }

    /// Runs commands in one round trip. Each has an answer of its own, or none has.
    pub(super) async fn run_all(&self, name: &'static str, commands: &Pipeline) -> Result<Vec<Answer>, StoreError> {
        let (mut connection, generation) = self.connection().await?;
        let count = commands.len();
        let sent = connection.send_packed_commands(commands, 0, count).await;
        let checked = sent.and_then(|values| values.into_iter().map(checked).collect::<Result<Vec<_>, _>>());
        let values = self.note(checked, generation).map_err(|error| classify(error, Sent::Yes))?;
        if values.len() != count {
            return Err(unexpected(name));
        }
        Ok(values.into_iter().map(|value| Answer { value, command: name }).collect())
    }

    async fn send(&self, command: &Cmd) -> Result<Value, Failed> {
        let (mut connection, generation) = self.connection().await.map_err(Failed::NotSent)?;
        let sent = connection.send_packed_command(command).await.and_then(checked);
        self.note(sent, generation).map_err(Failed::Answered)
    }

    /// The connection, as soon as there is one or it is known that there is none.
    async fn connection(&self) -> Result<(MultiplexedConnection, u64), StoreError> {
        let mut state = self.state.clone();
        loop {
            if self.closing.is_cancelled() {
                return Err(StoreError::Closed);
            }
            match &*state.borrow_and_update() {
                State::Up { connection, generation } => return Ok((connection.clone(), *generation)),
                State::Down(error) => {
                    self.answering_since.store(SILENT, Ordering::Release);
                    return Err(classify(RedisError::clone(error), Sent::No));
                }
                State::Connecting => {}
            }
            if state.changed().await.is_err() {
                return Err(StoreError::Closed);
            }
        }
    }

    /// Keeps the books about whether Redis answers, and has the connection replaced if it is spoiled.
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

/// The arguments of a script.
#[derive(Debug, Default)]
pub(super) struct Arguments(Vec<Vec<u8>>);

impl Arguments {
    /// None yet.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// One more.
    pub(super) fn with(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.0.push(argument.into());
        self
    }

    /// One more, as decimal digits.
    pub(super) fn number(self, number: impl fmt::Display) -> Self {
        self.with(number.to_string())
    }
}

async fn keep_connected(
    client: Client,
    loading: Pipeline,
    report: watch::Sender<State>,
    mut breaks: watch::Receiver<u64>,
    closing: CancellationToken,
) {
    let mut generation = 0;
    let mut pauses = reconnect_pauses();
    let mut told = None;
    loop {
        let connected = tokio::select! {
            connected = connect(&client, &loading) => connected,
            () = closing.cancelled() => return,
        };
        match connected {
            Ok(connection) => {
                if told.take().is_some() {
                    tracing::info!("connected to Redis again");
                }
                generation += 1;
                pauses = reconnect_pauses();
                report.send_replace(State::Up { connection, generation });
                tokio::select! {
                    broken = breaks.wait_for(|broken| *broken >= generation) => if broken.is_err() { return },
                    () = closing.cancelled() => return,
                }
                report.send_replace(State::Connecting);
            }
            Err(error) => {
                let why = no_connection(&error);
                if told.replace(why) != Some(why) {
                    warn(why, &error);
                }
                report.send_replace(State::Down(Arc::new(error)));
                let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = closing.cancelled() => return,
                }
            }
        }
    }
}

async fn connect(client: &Client, loading: &Pipeline) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    // Loaded later, each script would cost the first who needs it two more round trips. Who brought no password is asked for
    // one here; any other refusal is met again by whoever needs Redis.
    let sent = connection.send_packed_commands(loading, 0, loading.len()).await;
    match sent.and_then(|answers| answers.into_iter().try_for_each(|answer| checked(answer).map(drop))) {
        Err(error) if is_refused_login(&error) || error.code().is_none() => Err(error),
        _ => Ok(connection),
    }
}

/// Says why there is no connection.
fn warn(why: NoConnection, error: &RedisError) {
    let error = chain(error);
    match why {
        NoConnection::Login => tracing::warn!(
            error,
            "Redis refuses the login; check redis.username and redis.password. Trying again until it does not"
        ),
        NoConnection::Tls => tracing::warn!(
            error,
            "no encrypted connection to Redis can be made; check redis.tls and the server's certificate. Trying again until it can"
        ),
        NoConnection::Unreachable => {
            tracing::warn!(error, "Redis cannot be reached; trying again until it can");
        }
    }
}
