//! A request to a running server's `readyz`, for containers that have neither shell nor curl.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::config::Config;

/// How long each step of the exchange may take. A healthy server answers in milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes that are read of an answer: `readyz` answers with one line.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

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
/// # Errors
/// Where it does not answer, or says that it is not ready.
pub fn healthcheck(config: &Config) -> Result<(), HealthcheckError> {
    let path = format!("{}/readyz", config.jobs_path.as_str().trim_end_matches('/'));
    let answer = ask(&config.listen_address, &path).map_err(|source| HealthcheckError::NoAnswer {
        address: config.listen_address.clone(),
        path,
        source,
    })?;
    match answer.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(HealthcheckError::NotReady { answer: Said(answer) }),
    }
}

fn ask(address: &str, path: &str) -> io::Result<String> {
    let mut last = io::Error::other("the name has no address");
    for address in address.to_socket_addrs()?.flat_map(from_here) {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return exchange(stream, address, path),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn exchange(mut stream: TcpStream, address: SocketAddr, path: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
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
