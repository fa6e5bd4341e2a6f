//! An upstream with limits, as those of LLM providers have them: so many requests of each credential in a window, so many at
//! once. It refuses what is too much, says so in one of the usual ways, and counts.

mod hints;
mod tally;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::hints::Hints;
pub use self::tally::{Seen, Tally};
use crate::connections::serve_each;
use crate::message::{Framed, Head, ReceivedBody};
use crate::waiting::within;

/// What an upstream bears, and how it says that it is too much.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    window: Option<(usize, Duration)>,
    at_once: usize,
    takes: Duration,
    hints: Hints,
    refusal: u16,
}

impl Limits {
    /// None: every request is answered with `200`, after so long.
    pub fn none(takes: Duration) -> Self {
        Self { window: None, at_once: usize::MAX, takes, hints: Hints::None, refusal: 429 }
    }

    /// Takes so many requests of each credential in a window. A credential's first window begins with its first request, and the
    /// next where one ends.
    #[must_use]
    pub fn in_window(self, count: usize, span: Duration) -> Self {
        Self { window: Some((count, span)), ..self }
    }

    /// Takes so many requests at once, of all credentials together.
    #[must_use]
    pub fn at_once(self, count: usize) -> Self {
        Self { at_once: count, ..self }
    }

    /// Says in this way what is left of a window.
    #[must_use]
    pub fn hints(self, hints: Hints) -> Self {
        Self { hints, ..self }
    }

    /// Refuses with this status in place of `429`.
    #[must_use]
    pub fn refusing_with(self, refusal: u16) -> Self {
        Self { refusal, ..self }
    }
}

/// A server with such limits. Ends when dropped, with every connection.
#[derive(Debug)]
pub struct Limited {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// The accept loop, which owns the connections.
    _serving: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<(Limits, Tally)>,
    changes: watch::Sender<()>,
}

impl Limited {
    /// Starts on a free port.
    pub async fn start(limits: Limits) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("a free port of loopback"), limits)
    }

    /// Answers what comes to a listener.
    pub(crate) fn on(listener: TcpListener, limits: Limits) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Mutex::new((limits, Tally::new()));
        let shared = Arc::new(Shared { state, changes: watch::channel(()).0 });
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, _serving: serving }
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has other limits from now on. Requests that run end as they began.
    pub fn change(&self, limits: Limits) {
        self.shared.lock().0 = limits;
    }

    /// What it has counted so far.
    pub fn tally(&self) -> Tally {
        let mut tally = self.shared.lock().1.clone();
        tally.note_time(Instant::now());
        tally
    }

    /// Returns when it has counted such; waits for that.
    pub async fn counts(&self, what: &str, is_such: impl Fn(&Tally) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        within(what, async {
            while !is_such(&self.shared.lock().1) {
                changes.changed().await.expect("the sender is in `self`");
            }
        })
        .await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (Limits, Tally)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, and decides what becomes of it: the head of the answer, and after how long one that is taken has it.
    fn arrives(&self, head: &Head) -> (String, Option<Duration>) {
        let mut state = self.lock();
        let (limits, tally) = &mut *state;
        let now = Instant::now();
        let is_free = tally.at_once() < limits.at_once;
        let credential = head.value("authorization").unwrap_or_default();
        let quota = limits.window.map(|(count, span)| tally.quota(&credential, count, span, now));
        let is_taken = is_free && quota.is_none_or(|quota| quota.left > 0);
        tally.arrives(head, credential, is_taken, now);
        // What is left after this one.
        let quota = quota.map(|quota| quota.after(usize::from(is_taken)));
        let status = if is_taken { 200 } else { limits.refusal };
        // One too many at once says nothing of the window.
        let hints = quota.filter(|_| is_free).map(|quota| limits.hints.fields(quota, is_taken)).unwrap_or_default();
        let takes = is_taken.then_some(limits.takes);
        drop(state);
        self.changes.send_replace(());
        (format!("HTTP/1.1 {status} \r\n{hints}Content-Length: 2\r\n\r\nok"), takes)
    }

    fn ends(&self) {
        self.lock().1.ends(Instant::now());
        self.changes.send_replace(());
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let serve = |stream| {
        let shared = Arc::clone(&shared);
        async move {
            // How a connection ends is its client's affair, and the test looks at what was counted.
            let _ended = converse(stream, &shared).await;
        }
    };
    serve_each(listener, serve).await;
}

async fn converse(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut framed = Framed::new(stream);
    while let Some(head) = framed.head().await? {
        let framing = head.request_framing().map_err(io::Error::other)?;
        framed.body(framing, &mut ReceivedBody::default()).await?;
        let (answer, takes) = shared.arrives(&head);
        if let Some(takes) = takes {
            tokio::time::sleep(takes).await;
            // Before the answer: whoever has it may send the next one.
            shared.ends();
        }
        framed.send(answer.as_bytes()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
