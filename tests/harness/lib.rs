//! The harness of the end-to-end tests: the real server as a process, a scripted upstream, raw HTTP in between.
//!
//! - [`Proxq`] starts the `proxq` binary on a free port with a data folder of its own, and speaks to it.
//! - [`Upstream`] is what it forwards to: answers from a script, well or badly, and keeps what it received.
//! - [`Limited`] is one with limits, which counts what comes and refuses what is too much.
//! - [`RawUpstream`] is one whose bytes are the matter: the test plays them.
//! - [`Wire`] writes and reads bytes on one connection, where the bytes themselves are the matter.
//! - [`Curl`] is the client that everybody has, [`Nginx`] a real proxy or web server beside it.
//! - [`websocket`] is a client and a server of a library of its own.
//! - [`Collector`] takes spans of traces, and keeps them.
//! - [`Redis`] is a server of a test's own: on a socket, on TCP, behind TLS.
//! - [`SetClock`] is a wall clock that can be set.
//! - [`SmallDisk`] is a file system that can be filled.
//! - [`Document`] is a page of the project's own, with the blocks that tests try.
//! - [`Cable`] lies between proxq and such a server, to be cut.
//! - [`Tap`] lies between a client and proxq, and keeps what the client sends.
//! - [`on_every_store!`] makes a test for each store of one async function, [`once!`] a single test.
//!
//! One word is used for each thing: a submission is *accepted* when proxq answers it with `202`, a connection is *made* (an
//! upstream is *connected* to), and a request *arrives*.
//!
//! Nothing here normalises what it carries: heads are kept byte for byte, bodies are neither decoded nor cut,
//! redirects are not followed. A test waits for events, each with a deadline; a pause has a name that says why it is there.
//! Whatever the harness sees of proxq's own replies is checked against [`reply::OWN_HEADERS`], and a server that
//! panicked or logged an error that its test did not announce fails that test.
//!
//! `PROXQ_BIN` names another binary to test than the one beside the tests. `PROXQ_TEST_KILLS`, `PROXQ_TEST_BODIES`,
//! `PROXQ_TEST_BODY_MIB` and `PROXQ_TEST_DIRECT_MIB` make the trials of recovery and memory larger than a quick run wants
//! them.
//! `PROXQ_TEST_REUSES` is how many requests of each kind are sent around the moment in which their upstream closes their
//! connection.
//! `PROXQ_TEST_CASES` is how many generated requests are compared on every way, `PROXQ_TEST_SEED` the first from which one
//! is made.

#![expect(clippy::missing_panics_doc, reason = "panicking is how a harness fails a test")]
#![expect(clippy::must_use_candidate, reason = "tests look at what they need")]

mod authority;
mod body;
mod cable;
mod client;
mod collector;
mod config;
mod connections;
mod curl;
mod docs;
mod events;
mod gate;
mod http2_client;
mod job;
mod limited;
mod log;
mod message;
mod nginx;
mod openssl;
mod process;
mod proxq;
mod raw_upstream;
mod redis;
mod refusing;
pub mod reply;
mod request;
mod runner;
mod set_clock;
mod small_disk;
mod tap;
mod tls_client;
mod upstream;
mod waiting;
pub mod websocket;
mod wire;

pub use authority::{Authority, Validity};
pub use body::{Digest, Pattern};
pub use cable::Cable;
pub use client::Client;
pub use collector::{CollectedSpan, Collector};
pub use config::{Config, Route};
pub use curl::{Curl, curl, curl_reading};
pub use docs::{Block, Document, checkout};
pub use events::Events;
pub use gate::Gate;
pub use http2_client::{Http2Client, Http2Reply};
pub use job::Job;
pub use limited::{Hints, Limited, Limits, Seen, Tally};
pub use log::{Log, Record};
pub use message::{Head, Reply};
pub use nginx::Nginx;
pub use openssl::s_client;
pub use process::{Exit, Launch, binary};
pub use proxq::Proxq;
pub use raw_upstream::RawUpstream;
pub use redis::{Redis, Value, Visitors};
pub use refusing::Refusing;
pub use request::{Request, delete, get, head, post, put, request};
pub use runner::{Store, run};
pub use set_clock::SetClock;
pub use small_disk::SmallDisk;
pub use tap::Tap;
pub use tls_client::{TlsClient, TlsWire};
pub use upstream::{Answer, Received, Upstream};
pub use waiting::{count_for, eventually, keep_pace, never_within, outlast, stay_silent, within};
pub use wire::Wire;
