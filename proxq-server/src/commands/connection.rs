//! HTTP to one server: its origin, and requests to it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme, Uri};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioTimer;
use rustls::ClientConfig;

use super::error::CommandError;
use crate::config::shown_url;
use crate::tasks::Tasks;

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The most fields of a response and the most bytes of its head: more than proxq passes on of an upstream's response.
const FIELDS_MAX: usize = 1024;
const HEAD_BYTES_MAX: usize = 512 * 1024;

/// The body of a request.
pub(super) type Outgoing = UnsyncBoxBody<Bytes, std::io::Error>;

/// Scheme, host and port of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: Scheme,
    authority: Authority,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl Origin {
    /// Reads a URL that has nothing but an origin. `source` is what it was said by.
    pub(super) fn read(url: &str, source: &str) -> Result<Self, CommandError> {
        let (origin, target) = Self::split(url, source)?;
        match &*target {
            "/" => Ok(origin),
            _ => Err(wrong(url, source, "it has a path or a query; write http://host:port")),
        }
    }

    /// Reads a URL; gives its path and query, too.
    pub(super) fn split(url: &str, source: &str) -> Result<(Self, String), CommandError> {
        let uri: Uri = url.parse().map_err(|_| {
            wrong(url, source, "it is no URL such as http://127.0.0.1:8080/path; encode other characters with %")
        })?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let parts = uri.into_parts();
        let scheme = parts.scheme.filter(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
        match (scheme, parts.authority) {
            (Some(_), Some(authority)) if authority.as_str().contains('@') => {
                Err(wrong(url, source, "it has a user or a password; give credentials in a header or a token file"))
            }
            (Some(scheme), Some(authority)) => Ok((Self { scheme, authority }, target)),
            _ => Err(wrong(url, source, "it must begin with http:// or https://")),
        }
    }

    /// The origin of a server of this machine that listens at an address. "All interfaces" are reached over loopback.
    pub(super) fn listening_at(address: &str, speaks_tls: bool, source: &str) -> Result<Self, CommandError> {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "80"));
        if port == "0" {
            let message = format!("{source}: {address:?} leaves the port open, so nobody knows where the server is");
            return Err(CommandError::Usage(format!("{message}; say it with --url or --admin-url")));
        }
        let host = match host {
            "0.0.0.0" => "127.0.0.1",
            "[::]" => "localhost",
            host => host,
        };
        let scheme = if speaks_tls { "https" } else { "http" };
        Self::read(&format!("{scheme}://{host}:{port}"), source)
    }

    /// Whether it speaks TLS.
    pub(super) fn speaks_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The URL of a path and query here.
    pub(super) fn url(&self, target: &str) -> Result<Uri, CommandError> {
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(target);
        uri.build().map_err(|_| {
            let what = "has characters that a path must not have; encode them with %, such as %20 for a space";
            CommandError::Usage(format!("{target:?} {what}"))
        })
    }
}

fn wrong(url: &str, source: &str, why: &str) -> CommandError {
    CommandError::Usage(format!("{source}: {} is not valid: {why}", shown_url(url)))
}

/// Connections to one server.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    client: Client<HttpsConnector<HttpConnector>, Outgoing>,
    origin: Origin,
    /// What would be right where nothing listens.
    hint: &'static str,
}

impl Connection {
    /// `tls` is how TLS is spoken, where the origin speaks it.
    pub(super) fn to(origin: Origin, tls: Option<ClientConfig>, hint: &'static str) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        let builder = HttpsConnectorBuilder::new();
        let builder = match tls {
            Some(tls) => builder.with_tls_config(tls),
            None => builder
                .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
                .expect("ring supports the default protocol versions"),
        };
        let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(Tasks::default())
            .pool_timer(TokioTimer::new())
            .http1_max_headers(FIELDS_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        Self { client, origin, hint }
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Sends a request, whose target is a path here; gives the response as soon as its head is there.
    pub(super) async fn send(
        &self,
        target: &str,
        request: Request<Outgoing>,
        limit: Option<Duration>,
    ) -> Result<Response<Incoming>, CommandError> {
        let (mut head, body) = request.into_parts();
        head.uri = self.origin.url(target)?;
        let answer = self.client.request(Request::from_parts(head, body));
        let answered = match limit {
            None => answer.await,
            Some(limit) => tokio::time::timeout(limit, answer).await.map_err(|_| self.too_late(limit))?,
        };
        answered.map_err(|error| {
            if error.is_connect() {
                let origin = self.origin.to_string();
                return CommandError::NoServer { origin, hint: self.hint, source: error.into() };
            }
            self.broken(error)
        })
    }

    pub(super) fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CommandError {
        CommandError::Broken { origin: self.origin.to_string(), source: source.into() }
    }

    pub(super) fn too_late(&self, limit: Duration) -> CommandError {
        self.broken(format!("no answer within {limit:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_url_without_a_path() {
        for url in ["http://127.0.0.1:9090", "https://proxq.example/", "http://[::1]:1"] {
            assert_eq!(Origin::read(url, "x").unwrap().to_string(), url.trim_end_matches('/'));
        }
        for (url, why) in [
            ("127.0.0.1:9090", "http:// or https://"),
            ("ftp://a", "http:// or https://"),
            ("http://a/b", "a path"),
            ("http://a?b", "a path"),
            ("http://me:hush@a", "a user or a password"),
            ("http://a b", "no URL"),
            ("", "no URL"),
        ] {
            let message = Origin::read(url, "--admin-url").unwrap_err().to_string();
            assert!(message.starts_with("--admin-url: ") && message.contains(why), "{url}: {message}");
            assert!(!message.contains("hush"), "{message}");
        }
    }

    #[test]
    fn all_interfaces_are_reached_over_loopback() {
        for (address, origin) in [
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:8080", "http://localhost:8080"),
            ("[::1]:1", "http://[::1]:1"),
            ("proxq.example:9", "http://proxq.example:9"),
        ] {
            assert_eq!(Origin::listening_at(address, false, "x").unwrap().to_string(), origin);
        }
        let by_tls = Origin::listening_at("0.0.0.0:443", true, "x").unwrap();
        assert_eq!((by_tls.to_string().as_str(), by_tls.speaks_tls()), ("https://127.0.0.1:443", true));
        Origin::listening_at("127.0.0.1:0", false, "listenAddress").unwrap_err();
    }
}
