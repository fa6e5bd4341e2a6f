//! A scripted upstream on raw sockets: keeps every request byte for byte, answers as the test says.

mod answer;
mod farewell;
mod http2;
mod serve;
mod tls;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proxq_protocol::{JobId, header};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::answer::Answer;
use self::serve::accept;
use self::tls::{Clients, Tls, Versions};
use crate::authority::{Authority, Validity};
use crate::body::Digest;
use crate::gate::Gate;
use crate::message::{Head, ReceivedBody};
use crate::waiting::within;

/// A request as an upstream received it.
#[derive(Clone, Debug)]
pub struct Received {
    /// The head, byte for byte.
    pub head: Head,
    /// The body, without its transfer coding; for a very large one only its beginning.
    pub body: Vec<u8>,
    /// Length and hash of the whole body.
    pub digest: Digest,
    /// Whether all of the body came.
    pub complete: bool,
    /// Whether the sender went away before it had the whole answer.
    pub abandoned: bool,
    /// The number of the connection that it came on, from 0.
    pub connection: usize,
}

impl Received {
    /// The method.
    pub fn method(&self) -> &str {
        self.head.word(0)
    }

    /// The request target: path and query.
    pub fn target(&self) -> &str {
        self.head.word(1)
    }

    /// The value of a header that is there at most once.
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.value(name)
    }

    /// Every value of a header, in order.
    pub fn headers(&self, name: &str) -> Vec<String> {
        self.head.values(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The job that it is an attempt of.
    pub fn job_id(&self) -> Option<JobId> {
        self.header(header::JOB_ID).and_then(|id| id.parse().ok())
    }

    /// The attempt's number.
    pub fn attempt(&self) -> Option<u32> {
        self.header(header::ATTEMPT).and_then(|number| number.parse().ok())
    }
}

/// A server that answers from a script. Ends when dropped, with every connection.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    authority: Option<Authority>,
    /// The accept loop, which owns the connections.
    serving: JoinSet<()>,
}

/// The names of this machine.
const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

/// Chooses the answer to a request by its head.
type Plan = Box<dyn FnMut(&Head) -> Answer + Send>;

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

struct State {
    script: VecDeque<Answer>,
    otherwise: Plan,
    received: Vec<Received>,
    taken: usize,
    connections: usize,
    /// Connections on which both sides have agreed on TLS.
    secured: usize,
    open: usize,
    /// How long a connection stays open between requests.
    idle_limit: Duration,
    /// How many requests of a connection are answered.
    answers_max: usize,
    http2: http2::Manners,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("received", &self.received.len()).finish_non_exhaustive()
    }
}

impl Shared {
    fn new() -> Self {
        let state = State {
            script: VecDeque::new(),
            otherwise: Box::new(|_| Answer::status(200)),
            received: Vec::new(),
            taken: 0,
            connections: 0,
            secured: 0,
            open: 0,
            idle_limit: Duration::MAX,
            answers_max: usize::MAX,
            http2: http2::Manners::default(),
        };
        Self { state: Mutex::new(state), changes: watch::channel(()).0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a connection stays open between requests, and how many of its requests are answered.
    fn limits(&self) -> (Duration, usize) {
        let state = self.state();
        (state.idle_limit, state.answers_max)
    }

    /// Changes the state and tells whoever waits.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.state());
        self.changes.send_replace(());
        value
    }

    /// Keeps a request's head, and chooses the answer. Gives the request's place, too.
    fn take(&self, head: &Head, connection: usize) -> (usize, Answer) {
        let received = Received {
            head: head.clone(),
            body: Vec::new(),
            digest: Digest::default(),
            complete: false,
            abandoned: false,
            connection,
        };
        self.change(|state| {
            state.received.push(received);
            let answer = state.script.pop_front().unwrap_or_else(|| (state.otherwise)(head));
            (state.received.len() - 1, answer)
        })
    }

    /// Keeps what came of a request's body.
    fn body(&self, index: usize, body: ReceivedBody, complete: bool) {
        self.change(|state| {
            let received = &mut state.received[index];
            received.body = body.kept;
            received.digest = body.digest;
            received.complete = complete;
            received.abandoned = !complete;
        });
    }

    /// Notes that the sender of a request went away.
    fn abandon(&self, index: usize) {
        self.change(|state| state.received[index].abandoned = true);
    }

    async fn until<T>(&self, mut there: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(value) = there(&mut self.state()) {
                return value;
            }
            changes.changed().await.expect("the sender is in `self`");
        }
    }
}

impl Upstream {
    /// Starts on a free port. Answers `200` without a body until told otherwise.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port of loopback");
        Self::serve(listener, None)
    }

    /// The same behind TLS, with a certificate for `localhost` and `127.0.0.1` from a private authority.
    pub async fn start_tls() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port of loopback");
        Self::serve(listener, Some(Tls::new(&HERE, Clients::Any, Versions::One)))
    }

    /// The same for clients that can speak HTTP/2, too: with those that can, it does.
    pub async fn start_http2() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port of loopback");
        Self::serve(listener, Some(Tls::new(&HERE, Clients::Any, Versions::Both)))
    }

    /// The same with a certificate for another machine.
    pub async fn start_tls_as(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port of loopback");
        Self::serve(listener, Some(Tls::new(&[name], Clients::Any, Versions::One)))
    }

    /// The same with a self-signed certificate for this name, which is its own authority.
    pub async fn start_self_signed(name: &str, validity: Validity) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port of loopback");
        Self::serve(listener, Some(Tls::self_signed(&[name], validity)))
    }

    /// The same, for clients with a certificate of that authority only.
    pub async fn start_mutual_tls() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port of loopback");
        Self::serve(listener, Some(Tls::new(&HERE, Clients::Known, Versions::One)))
    }

    /// Starts where another one was. To be called inside the test's runtime.
    pub fn start_at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a fresh socket takes options");
        socket.bind(address).expect("nobody else took the port");
        Self::serve(socket.listen(1024).expect("a bound socket listens"), None)
    }

    fn serve(listener: TcpListener, tls: Option<(Authority, Tls)>) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::new());
        let (authority, tls) = tls.unzip();
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, tls, Arc::clone(&shared)));
        Self { address, shared, authority, serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The certificate file of its private authority.
    pub fn ca_file(&self) -> String {
        self.tls_file("ca.pem")
    }

    /// The files of a client that the authority vouches for: certificate and key.
    pub fn client_files(&self) -> (String, String) {
        (self.tls_file("client.pem"), self.tls_file("client-key.pem"))
    }

    fn tls_file(&self, name: &str) -> String {
        self.authority.as_ref().expect("an upstream with TLS").file(name).display().to_string()
    }

    /// Answers every request with this status and body from now on.
    pub fn answers(&self, status: u16, body: &str) {
        self.always(Answer::status(status).body(body));
    }

    /// Gives this answer to every request from now on.
    pub fn always(&self, answer: Answer) {
        self.plan(move |_| answer.clone());
    }

    /// Chooses the answer by the request's head from now on.
    pub fn plan(&self, plan: impl FnMut(&Head) -> Answer + Send + 'static) {
        self.shared.state().otherwise = Box::new(plan);
    }

    /// Gives this answer once, before what [`Upstream::always`] says. Several are given in their order.
    pub fn once(&self, answer: Answer) {
        self.shared.state().script.push_back(answer);
    }

    /// Closes connections that have been idle for so long, as servers do.
    pub fn closes_idle_after(&self, limit: Duration) {
        self.shared.state().idle_limit = limit;
    }

    /// Answers only so many requests of a connection: reads one more, and hangs up.
    pub fn hangs_up_after(&self, answers: usize) {
        self.shared.state().answers_max = answers;
    }

    /// Allows only so many streams at a time on an HTTP/2 connection; more are refused.
    pub fn allow_streams(&self, count: u32) {
        self.shared.state().http2.streams_max = count;
    }

    /// Holds back the settings with which the upstream opens an HTTP/2 connection.
    pub fn hold_settings(&self, gate: &Gate) {
        self.shared.state().http2.settings = Some(gate.clone());
    }

    /// Goes away from the next HTTP/2 connection when a request comes: tells that of its streams those up to this one
    /// were or may be processed (RFC 9113 §6.8), and ends the connection. The first stream is number 1.
    pub fn goes_away_once(&self, last_stream: u32) {
        self.shared.state().http2.farewells.push_back(last_stream);
    }

    /// The next complete request that no call has given yet; waits for it.
    pub async fn request(&self) -> Received {
        within("a request reaches the upstream", async {
            self.shared
                .until(|state| {
                    let next = state.received.get(state.taken).filter(|received| received.complete)?.clone();
                    state.taken += 1;
                    Some(next)
                })
                .await
        })
        .await
    }

    /// Returns when the heads of so many requests have come, since the beginning.
    pub async fn arrivals(&self, count: usize) {
        let what = format!("{count} requests reach the upstream");
        within(&what, self.shared.until(|state| (state.received.len() >= count).then_some(()))).await;
    }

    /// Returns when so many connections have been made, since the beginning.
    pub async fn connected(&self, count: usize) {
        let what = format!("{count} connections reach the upstream");
        within(&what, self.shared.until(|state| (state.connections >= count).then_some(()))).await;
    }

    /// Returns when both sides have agreed on TLS on so many connections, since the beginning.
    pub async fn secured(&self, count: usize) {
        let what = format!("{count} connections to the upstream are secured");
        within(&what, self.shared.until(|state| (state.secured >= count).then_some(()))).await;
    }

    /// Returns when the sender of this job's latest attempt has gone away without its answer.
    pub async fn abandoned(&self, id: JobId) {
        let of_job = |state: &mut State| {
            let latest = state.received.iter().rev().find(|received| received.job_id() == Some(id))?;
            latest.abandoned.then_some(())
        };
        within("the exchange is broken off", self.shared.until(of_job)).await;
    }

    /// Returns when no connection is open.
    pub async fn quiet(&self) {
        within("all connections end", self.shared.until(|state| (state.open == 0).then_some(()))).await;
    }

    /// Every request so far, complete or not.
    pub fn received(&self) -> Vec<Received> {
        self.shared.state().received.clone()
    }

    /// How many connections have been made so far.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// How many attempts of a job have reached it; an incomplete one counts.
    pub fn deliveries(&self, id: JobId) -> usize {
        self.shared.state().received.iter().filter(|received| received.job_id() == Some(id)).count()
    }

    /// Goes away: connections break off, new ones are refused. Gives the address for [`Upstream::start_at`].
    pub async fn stop(mut self) -> SocketAddr {
        self.serving.shutdown().await;
        self.address
    }
}

/// An address at which nobody listens, and nobody else can while this lives.
#[derive(Debug)]
pub struct Refusing {
    socket: TcpSocket,
}

impl Refusing {
    /// Takes a free port and does not listen on it.
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port of loopback");
        Self { socket }
    }

    /// Begins to listen, as an upstream that has come back.
    pub fn listen(self) -> Upstream {
        Upstream::serve(self.socket.listen(1024).expect("a bound socket listens"), None)
    }

    /// The URL that cannot be reached.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The address that cannot be reached.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }
}

impl Default for Refusing {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::body::Pattern;
    use crate::gate::Gate;
    use crate::request::{get, post};
    use crate::wire::Wire;

    #[tokio::test]
    async fn requests_are_kept_and_answers_follow_the_script() {
        let upstream = Upstream::start().await;
        upstream.answers(201, "made");
        upstream.once(Answer::status(500).header("X-A", "1").header("X-A", "2").body("boom"));
        let first = post("/a?b").header("X-Odd", b"\xff").body("hello").exchange(upstream.address()).await.unwrap();
        assert_eq!((first.status, first.text().as_str()), (500, "boom"));
        assert_eq!(first.head.values("x-a"), ["1", "2"]);
        let second = get("/").exchange(upstream.address()).await.unwrap();
        assert_eq!((second.status, second.text().as_str()), (201, "made"));
        let received = upstream.request().await;
        assert_eq!((received.method(), received.target(), received.text().as_str()), ("POST", "/a?b", "hello"));
        assert_eq!(received.head.values_raw("X-Odd"), [b"\xff"]);
        assert_eq!(upstream.request().await.method(), "GET");
        assert_eq!((upstream.received().len(), upstream.connections()), (2, 2));
    }

    #[tokio::test]
    async fn one_connection_serves_several_requests() {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        let mut wire = Wire::connect(upstream.address()).await;
        wire.send("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\none").await;
        assert_eq!(wire.reply().await.text(), "one");
        wire.send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n").await;
        assert_eq!(wire.reply().await.text(), "two");
        assert_eq!(upstream.connections(), 1);
    }

    #[tokio::test]
    async fn a_gate_holds_an_answer_and_large_bodies_are_compared_by_digest() {
        let upstream = Upstream::start().await;
        let (gate, pattern) = (Gate::new(), Pattern::new(3, 1 << 20));
        upstream.once(Answer::status(200).wait(&gate).pattern(pattern));
        let exchange = post("/").pattern(pattern);
        let (reply, ()) = tokio::join!(exchange.exchange(upstream.address()), async {
            assert_eq!(upstream.request().await.digest, pattern.digest());
            gate.open();
        });
        assert_eq!(reply.unwrap().digest, pattern.digest());
    }

    #[tokio::test]
    async fn a_misbehaving_upstream_breaks_the_exchange() {
        let upstream = Upstream::start().await;
        for broken in [
            Answer::nothing().reset(),
            Answer::nothing().close(),
            Answer::raw("HTTP/1.1 200 OK\r\nContent-Le").reset(),
            Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").close(),
            Answer::raw("This is not HTTP\r\n\r\n"),
            Answer::raw("HTTP/1.1 200 OK\r\n").endless_headers(),
        ] {
            let shown = format!("{broken:?}");
            upstream.once(broken);
            assert!(get("/").exchange(upstream.address()).await.is_err(), "{shown}");
        }
    }

    #[tokio::test]
    async fn an_early_answer_does_not_wait_for_the_body() {
        let upstream = Upstream::start().await;
        upstream.once(Answer::status(413).early().close());
        let mut wire = Wire::connect(upstream.address()).await;
        wire.send("POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n").await;
        assert_eq!(wire.reply().await.status, 413);
        assert!(!upstream.received()[0].complete);
    }

    #[tokio::test]
    async fn a_sender_that_goes_away_is_seen() {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().hang());
        let id = JobId::new();
        let mut wire = Wire::connect(upstream.address()).await;
        wire.send(format!("GET / HTTP/1.1\r\nX-Proxq-Job-Id: {id}\r\n\r\n")).await;
        upstream.arrivals(1).await;
        wire.reset();
        upstream.abandoned(id).await;
        assert_eq!(upstream.deliveries(id), 1);
        upstream.quiet().await;
    }

    #[tokio::test]
    async fn nobody_listens_where_connections_are_refused() {
        let refusing = Refusing::new();
        let address = refusing.url();
        let address: SocketAddr = address.trim_start_matches("http://").parse().unwrap();
        assert_eq!(get("/").exchange(address).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let address = Upstream::start().await.stop().await;
        assert!(get("/").exchange(address).await.is_err());
        let again = Upstream::start_at(address);
        assert_eq!(get("/").exchange(again.address()).await.unwrap().status, 200);
    }
}
