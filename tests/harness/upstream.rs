//! A scripted upstream on raw sockets: keeps every request byte for byte, answers as the test says.

mod answer;
mod farewell;
mod http2;
mod received;
mod serve;
mod state;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proxq_protocol::JobId;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

pub use self::answer::Answer;
pub use self::received::Received;
use self::serve::accept;
use self::state::{Shared, State};
use self::tls::{Clients, Tls, Versions};
use crate::authority::{Authority, Validity};
use crate::gate::Gate;
use crate::message::Head;
use crate::waiting::within;

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

    /// Answers what comes to a listener.
    pub(crate) fn on(listener: TcpListener) -> Self {
        Self::serve(listener, None)
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

#[cfg(test)]
mod tests;
