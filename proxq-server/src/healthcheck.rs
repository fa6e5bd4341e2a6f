//! A request to a running server's `readyz`, for containers that have neither shell nor curl.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::cli::OwnCertificate;
use crate::config::Config;
use crate::tls::{TlsFileError, client_of_server, is_another_certificate, is_certificate_required};

/// How long each step of the exchange may take. A healthy server answers in milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes that are read of an answer: `readyz` answers with one line.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// How long a server with another certificate than its file's may take until it has that one, too: somewhat longer than it needs.
const RENEWAL_TIME: Duration = Duration::from_secs(2);

/// Why a server is not healthy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealthcheckError {
    /// It does not answer.
    #[error("ask {address} for {path}")]
    NoAnswer {
        /// Where it should listen.
        address: String,
        /// What was asked for.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The files of TLS cannot be used.
    #[error("prepare to speak TLS")]
    Tls(#[from] TlsFileError),
    /// Somebody else answers, or it has not taken over what its file has now.
    #[error("{address} shows another certificate than the configuration's certFile has")]
    AnotherCertificate {
        /// Where it should listen.
        address: String,
    },
    /// It does not take work.
    #[error("not ready: {answer}")]
    NotReady {
        /// What it said instead.
        answer: Said,
    },
}

/// An answer as it was given.
#[derive(Debug)]
pub struct Said(String);

impl fmt::Display for Said {
    /// The status line and the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, body) = self.0.split_once("\r\n\r\n").unwrap_or((&self.0, ""));
        write!(f, "{} {}", head.lines().next().unwrap_or("nothing was said"), body.trim())
    }
}

/// Asks the server that runs on this configuration, on this machine, for `readyz`. Blocks the thread.
///
/// By TLS, the server has to show the configuration's certificate, and is shown `own`. Where it asks for a client's certificate
/// and there is none to show, that is the answer of a healthy server.
///
/// # Errors
/// Where it does not answer, or says that it is not ready.
pub fn healthcheck(config: &Config, own: &OwnCertificate) -> Result<(), HealthcheckError> {
    let path = format!("{}/readyz", config.jobs_path.as_str().trim_end_matches('/'));
    let answer = match ask(config, &path, own)? {
        // A renewed certificate is in its file a moment before the server shows it.
        Err(error) if is_another_certificate(&error) => {
            thread::sleep(RENEWAL_TIME);
            ask(config, &path, own)?
        }
        answer => answer,
    };
    let asks_clients = config.tls.as_ref().is_some_and(|files| files.client_ca_file.is_some());
    let answer = match answer {
        Err(error) if asks_clients && own.files().is_none() && is_certificate_required(&error) => return Ok(()),
        answer => answer.map_err(|source| {
            let address = config.listen_address.clone();
            if is_another_certificate(&source) {
                return HealthcheckError::AnotherCertificate { address };
            }
            HealthcheckError::NoAnswer { address, path, source }
        })?,
    };
    match answer.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(HealthcheckError::NotReady { answer: Said(answer) }),
    }
}

/// Asks once. Reads the files of TLS.
fn ask(config: &Config, path: &str, own: &OwnCertificate) -> Result<io::Result<String>, TlsFileError> {
    let client = |(files, section)| client_of_server(files, section, own.files()).map(Arc::new);
    let tls = config.tls_of_clients().map(client).transpose()?;
    Ok(ask_at(&config.listen_address, path, tls.as_ref()))
}

fn ask_at(address: &str, path: &str, tls: Option<&Arc<ClientConfig>>) -> io::Result<String> {
    let mut last = io::Error::other("the name has no address");
    for address in address.to_socket_addrs()?.flat_map(from_here) {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return exchange(stream, address, path, tls),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn exchange(
    mut stream: TcpStream,
    address: SocketAddr,
    path: &str,
    tls: Option<&Arc<ClientConfig>>,
) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let Some(tls) = tls else { return converse(stream, &request) };
    let name = ServerName::from(address.ip());
    let mut connection = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
    converse(rustls::Stream::new(&mut connection, &mut stream), &request)
}

fn converse(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The address at which a server is reached from the same machine. "All interfaces" of IPv6 include those of IPv4, and
/// mean IPv4 alone on a machine without IPv6.
fn from_here(address: SocketAddr) -> Vec<SocketAddr> {
    let (v4, v6) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
    let ips = match address.ip() {
        ip if !ip.is_unspecified() => vec![ip],
        IpAddr::V4(_) => vec![v4],
        IpAddr::V6(_) => vec![v6, v4],
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, address.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_interfaces_are_reached_over_loopback() {
        for (listens, reached) in [
            ("0.0.0.0:80", &["127.0.0.1:80"][..]),
            ("[::]:80", &["[::1]:80", "127.0.0.1:80"]),
            ("192.0.2.1:80", &["192.0.2.1:80"]),
        ] {
            let found: Vec<_> = from_here(listens.parse().unwrap()).iter().map(ToString::to_string).collect();
            assert_eq!(found, reached, "{listens}");
        }
    }

    #[test]
    fn an_answer_is_told_by_its_first_line_and_its_body() {
        let said = Said("HTTP/1.1 503 Service Unavailable\r\nX-A: 1\r\n\r\n{\"code\":\"DRAINING\"}\n".to_owned());
        assert_eq!(said.to_string(), "HTTP/1.1 503 Service Unavailable {\"code\":\"DRAINING\"}");
        assert_eq!(Said(String::new()).to_string().trim(), "nothing was said");
    }
}
