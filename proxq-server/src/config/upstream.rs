//! One upstream: which requests are its own, where it is and how it is treated.

mod flow;
mod place;

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderMap;

pub use self::flow::FlowControl;
pub(crate) use self::flow::queue_of_prefix;
pub use self::place::{Prefix, UpstreamUrl};
use super::{KeyExclusions, PathFilter, Patterns};
use crate::job::{Delivery, RetryPolicy};

/// One upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The requests that go to it.
    pub prefix: Prefix,
    /// Where it is.
    pub url: UpstreamUrl,
    /// Limit for one attempt's whole exchange.
    pub timeout: Duration,
    /// The longest limit that a client may ask for instead.
    pub max_timeout: Duration,
    /// How failed attempts are retried.
    pub retries: RetryPolicy,
    /// What may be sent again.
    pub delivery: Delivery,
    /// Whether it honours `Idempotency-Key`.
    pub honours_idempotency_key: bool,
    /// The largest body that is queued, in bytes.
    pub max_body_size: u64,
    /// Bodies that are longer, in bytes, bypass the queue; `None` for no such limit.
    pub direct_proxy_threshold: Option<u64>,
    /// How a request that bypasses the queue reaches it.
    pub direct_mode: DirectMode,
    /// Whether clients may say how their requests travel.
    pub client_mode: ClientMode,
    /// How queued requests are answered.
    pub answer_mode: AnswerMode,
    /// How long a follower's request is held before it is sent on to the next hop.
    pub follow_wait: Duration,
    /// How many hops a follower is sent on at most.
    pub follow_hops: u32,
    /// Whether a later try of a held client gets the job of an earlier one.
    pub join_retries: JoinRetries,
    /// What becomes of a job whose held client goes away.
    pub on_abandon: OnAbandon,
    /// Paths that bypass the queue.
    pub path_filter: PathFilter,
    /// How requests for streams are told.
    pub stream_detection: StreamDetection,
    /// Paths, with their queries, whose responses are streams: they bypass the queue, too.
    pub stream_paths: Patterns,
    /// What does not count when its requests are compared with those whose responses are cached.
    pub cache_key_exclusions: KeyExclusions,
    /// How fast and how wide it is used, and what holds its jobs back.
    pub flow: FlowControl,
    /// Which `Host` it is sent.
    pub host_header: HostHeader,
    /// How TLS is spoken to it.
    pub tls: UpstreamTls,
}

impl Upstream {
    /// An upstream with every default.
    #[must_use]
    pub fn new(prefix: Prefix, url: UpstreamUrl) -> Self {
        /// 10 MiB: a larger body bypasses the queue, and would be refused by it.
        const BODY_LIMIT: u64 = 10_485_760;
        Self {
            prefix,
            url,
            timeout: Duration::from_mins(5),
            max_timeout: Duration::from_hours(1),
            retries: RetryPolicy::NONE,
            delivery: Delivery::Auto,
            honours_idempotency_key: false,
            max_body_size: BODY_LIMIT,
            direct_proxy_threshold: Some(BODY_LIMIT),
            direct_mode: DirectMode::Proxy,
            client_mode: ClientMode::Heeded,
            answer_mode: AnswerMode::Queue,
            follow_wait: FOLLOW_WAIT,
            follow_hops: FOLLOW_HOPS,
            join_retries: JoinRetries::Joined,
            on_abandon: OnAbandon::Keep,
            path_filter: PathFilter::default(),
            stream_detection: StreamDetection::Full,
            stream_paths: Patterns::default(),
            cache_key_exclusions: KeyExclusions::default(),
            flow: FlowControl::default(),
            host_header: HostHeader::Upstream,
            tls: UpstreamTls::default(),
        }
    }

    /// Whether it matters that a held client goes away.
    pub(crate) fn tracks_turns(&self) -> bool {
        self.join_retries == JoinRetries::Joined || self.on_abandon == OnAbandon::Cancel
    }

    /// Whether sending a request twice is harmless (RFC 9110 §9.2.2), by its method or by its `Idempotency-Key`.
    #[must_use]
    pub fn is_repeatable(&self, method: &http::Method, headers: &HeaderMap) -> bool {
        method.is_idempotent() || self.honours_idempotency_key && headers.contains_key("idempotency-key")
    }
}

/// How long a follower's request is held by default: gateways commonly cut a request after 60 s without an answer.
pub(crate) const FOLLOW_WAIT: Duration = Duration::from_secs(50);
/// How many hops a follower gets by default: most HTTP clients follow 20 redirects.
pub(crate) const FOLLOW_HOPS: u32 = 19;
/// The shortest and the longest hold of a follower's request: Node.js gives up after 300 s without a response head.
pub(super) const FOLLOW_WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(280)];

/// How queued requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerMode {
    /// With `202` at once.
    Queue,
    /// With the upstream's response if it comes within `maxWait`, else with `202`.
    Wait,
    /// With the upstream's response if it comes within `followWait`, else with a redirect to where it will be.
    Follow,
}

impl AnswerMode {
    /// The words for it: in the configuration, in `X-Proxq-Mode` and behind `--mode`.
    pub(crate) const WORDS: [(&str, Self); 3] =
        [("queue", Self::Queue), ("wait", Self::Wait), ("follow", Self::Follow)];

    /// The mode with this word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, mode)| *mode)
    }
}

/// Whether a later try of a held client gets the job of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinRetries {
    /// Each try is a job.
    Separate,
    /// It does, where the client says that it tries again.
    Joined,
}

/// What becomes of a job whose held client goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAbandon {
    /// It goes on.
    Keep,
    /// It is cancelled, unless the client comes back soon.
    Cancel,
}

/// How requests that bypass the queue reach their upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectMode {
    /// Through proxq, streamed both ways.
    Proxy,
    /// By the client itself, which is sent there, where that can work.
    Redirect,
}

/// Whether clients may say, by `X-Proxq-Mode`, how their requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMode {
    /// What they say counts.
    Heeded,
    /// It is as if they had not said it.
    Ignored,
}

/// How requests for streams are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamDetection {
    /// By headers, path, query and body.
    Full,
    /// By headers alone.
    HeadersOnly,
}

/// Which `Host` an upstream is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// Its own.
    Upstream,
    /// The client's.
    Client,
}

/// How TLS is spoken to an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM file of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What proxq shows as a client.
    pub identity: Option<ClientIdentity>,
    /// Whether its certificate is checked.
    pub verification: TlsVerification,
}

/// A client certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// PEM file of the certificate chain.
    pub cert_file: PathBuf,
    /// PEM file of the private key.
    pub key_file: PathBuf,
}

/// Whether an upstream's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVerification {
    /// Against the trusted authorities and the URL's host.
    #[default]
    Full,
    /// Not at all; for tests.
    None,
}
