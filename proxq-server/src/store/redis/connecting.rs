//! The making of a connection for commands, again and again whenever it breaks.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::{NoConnection, checked, is_refused_login, lost_answer, no_connection};
use crate::failure::chain;
use crate::lock::lock;

/// How long an answer may take. Longer than any script of ours by far; short enough that a submission can be asked about
/// again within the five seconds that intake has for it.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection may take to be made, TLS and login included.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest and the longest pause between two tries to connect. The longest is what an operator waits for at most
/// once Redis is back.
const RECONNECT_PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// Growing pauses between tries to connect. They are random, so that not all instances try at the same moment.
pub(super) fn reconnect_pauses() -> impl Iterator<Item = Duration> + Send {
    let [min, max] = RECONNECT_PAUSES;
    ExponentialBuilder::default().with_min_delay(min).with_max_delay(max).with_jitter().without_max_times().build()
}

/// How often a connection is asked whether it is still there. A core may have nothing to say for long, and servers and proxies
/// close silent connections, most of them after 30 s or more. Nobody would notice before a submission is lost with it.
const PROBED_EVERY: Duration = Duration::from_secs(10);

/// The pause after which a try to connect is made for certain.
pub(super) const LONGEST_PAUSE: Duration = RECONNECT_PAUSES[1];

/// What all cores learn of the tries to connect: they meet the same, and the log is told once.
#[derive(Debug, Default)]
pub(super) struct Tries {
    /// Why the last one failed, as the log was told.
    trouble: Mutex<Option<NoConnection>>,
    /// How many succeeded.
    connected: watch::Sender<u64>,
}

impl Tries {
    /// Changes with every connection of any core.
    pub(super) fn connected(&self) -> watch::Receiver<u64> {
        self.connected.subscribe()
    }

    fn succeeded(&self) {
        if lock(&self.trouble).take().is_some() {
            tracing::info!("connected to Redis again");
        }
        self.connected.send_modify(|count| *count += 1);
    }

    fn failed(&self, error: &RedisError) {
        let why = no_connection(error);
        if lock(&self.trouble).replace(why) != Some(why) {
            warn(why, error);
        }
    }
}

/// The state of a connection.
#[derive(Clone)]
pub(super) enum State {
    /// The first try since the last break is under way.
    Connecting,
    Up {
        connection: MultiplexedConnection,
        /// How often connections had broken before, plus 1.
        generation: u64,
    },
    /// The last try failed; there will be others.
    Down {
        error: Arc<RedisError>,
        /// Of the connection that it would have been. Where others of this generation have broken since, somebody could
        /// connect, and the next try is under way.
        generation: u64,
    },
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting"),
            Self::Up { generation, .. } => write!(f, "up, connection {generation}"),
            Self::Down { error, .. } => write!(f, "down: {error}"),
        }
    }
}

/// Keeps connected until `closing`, and reports the state. `breaks` says which generation is of no use any more. The
/// commands of `loading` go first on each new connection.
pub(super) async fn keep_connected(
    client: Client,
    loading: Pipeline,
    report: watch::Sender<State>,
    mut breaks: watch::Receiver<u64>,
    tries: Arc<Tries>,
    closing: CancellationToken,
) {
    let mut pauses = reconnect_pauses();
    loop {
        let generation = *breaks.borrow() + 1;
        let connected = tokio::select! {
            connected = connect(&client, &loading) => connected,
            () = closing.cancelled() => return,
        };
        match connected {
            Ok(connection) => {
                pauses = reconnect_pauses();
                report.send_replace(State::Up { connection: connection.clone(), generation });
                tries.succeeded(); // whoever is told finds it
                tokio::select! {
                    () = lost(connection) => {}
                    broken = breaks.wait_for(|broken| *broken >= generation) => if broken.is_err() { return },
                    () = closing.cancelled() => return,
                }
                report.send_replace(State::Connecting);
            }
            Err(error) => {
                tries.failed(&error);
                report.send_replace(State::Down { error: Arc::new(error), generation });
                let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = breaks.wait_for(|broken| *broken >= generation) => {}
                    () = closing.cancelled() => return,
                }
            }
        }
    }
}

/// Returns when a connection does not answer any more.
async fn lost(mut connection: MultiplexedConnection) {
    loop {
        tokio::time::sleep(PROBED_EVERY).await;
        if connection.send_packed_command(&redis::cmd("PING")).await.is_err_and(|error| lost_answer(&error)) {
            return;
        }
    }
}

async fn connect(client: &Client, loading: &Pipeline) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    // A server that wants a password says so to a small command; one that sends as much as the scripts it cuts off.
    match connection.send_packed_command(&redis::cmd("PING")).await.and_then(checked) {
        Err(error) if is_refused_login(&error) || error.code().is_none() => return Err(error),
        _ => {}
    }
    // A script that is not loaded costs its first caller two more round trips. Any refusal is left to the callers, who meet it
    // again.
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
