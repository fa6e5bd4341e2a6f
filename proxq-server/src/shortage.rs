//! Shortages of the process itself: descriptors, memory, local ports. They are neither an upstream's fault nor a job's:
//! the step is tried again, and the log says what is short.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use http::Uri;
use rustix::io::Errno;
use tokio::net::UdpSocket;

use crate::default_port::default_port;
use crate::failure::{causes, chain};
use crate::process::file_limit;
use crate::seldom::Seldom;

/// When the log last reported each shortage; shortages concern the whole process.
static REPORTED: Seldom = Seldom::new();

/// What is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// The process may open no more files and sockets.
    Descriptors,
    /// The machine may not.
    SystemDescriptors,
    Memory,
    /// Every local port for outgoing connections is in use.
    Ports,
}

impl Shortage {
    /// The shortage that caused an error. A shortage of ports shows only while connecting, see [`explained`].
    pub(crate) fn behind(error: &(dyn StdError + 'static)) -> Option<Self> {
        causes(error).find_map(|cause| match cause.downcast_ref::<Short>() {
            Some(short) => Some(short.of),
            None => cause.downcast_ref::<io::Error>().and_then(Self::of),
        })
    }

    fn of(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error)? {
            Errno::MFILE => Some(Self::Descriptors),
            Errno::NFILE => Some(Self::SystemDescriptors),
            Errno::NOBUFS | Errno::NOMEM => Some(Self::Memory),
            _ => None,
        }
    }

    /// Logs what is short, unless that was logged a moment ago. `step` is what failed because of it.
    pub(crate) fn report(self, step: &'static str, error: &(dyn StdError + 'static)) {
        if REPORTED.is_due() {
            tracing::error!(step, short_of = %self, error = chain(error), "proxq is short of something, and tries again");
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, file_limit()) {
            (Self::Descriptors, Some(limit)) => write!(f, "file descriptors of this process (limit: {limit})"),
            (Self::Descriptors, None) => f.write_str("file descriptors of this process"),
            (Self::SystemDescriptors, _) => f.write_str("file descriptors of this machine"),
            (Self::Memory, _) => f.write_str("memory for sockets"),
            (Self::Ports, _) => f.write_str("local ports"),
        }
    }
}

/// An error that a shortage caused.
#[derive(Debug, thiserror::Error)]
#[error("proxq is short of {of}")]
struct Short {
    of: Shortage,
    source: BoxError,
}

type BoxError = Box<dyn StdError + Send + Sync>;

/// Finds out whether a failed connection to an upstream was caused by a shortage, if the error alone does not tell, and
/// reports it.
pub(crate) async fn explained(error: BoxError, upstream: &Uri) -> BoxError {
    let found = match Shortage::behind(&*error) {
        None if has_no_address(&*error) => can_be_reached(upstream).await.then_some(Shortage::Ports),
        None => no_socket(),
        found => found,
    };
    let Some(of) = found else { return error };
    of.report("connect to an upstream", &*error);
    Box::new(Short { of, source: error })
}

/// A connection cannot begin at any port, or at any address: the error is the same.
fn has_no_address(error: &(dyn StdError + 'static)) -> bool {
    let no_address = |error: &io::Error| error.kind() == io::ErrorKind::AddrNotAvailable;
    causes(error).any(|cause| cause.downcast_ref().is_some_and(no_address))
}

/// Whether this machine has an address from which every address of the upstream can be reached: the connection of a
/// datagram socket sends nothing and needs no port of its own.
async fn can_be_reached(upstream: &Uri) -> bool {
    let host = upstream.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = upstream.port_u16().unwrap_or_else(|| default_port(upstream.scheme()));
    let Ok(addresses) = tokio::net::lookup_host((host, port)).await else {
        return false;
    };
    for address in addresses {
        let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let Ok(socket) = UdpSocket::bind(SocketAddr::new(any, 0)).await else { return false };
        if socket.connect(address).await.is_err() {
            return false;
        }
    }
    true
}

/// The shortage for which no socket can be had: resolving a name needs some, and does not tell why it failed.
fn no_socket() -> Option<Shortage> {
    Shortage::of(&std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).err()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_found_behind_an_error() {
        let caused_by = |code: Errno| Shortage::behind(&hidden(io::Error::from(code)));
        assert_eq!(caused_by(Errno::MFILE), Some(Shortage::Descriptors));
        assert_eq!(caused_by(Errno::NFILE), Some(Shortage::SystemDescriptors));
        assert_eq!(caused_by(Errno::NOBUFS), Some(Shortage::Memory));
        assert_eq!(caused_by(Errno::NOMEM), Some(Shortage::Memory));
        for other in [Errno::CONNREFUSED, Errno::CONNRESET, Errno::ADDRNOTAVAIL, Errno::NETUNREACH, Errno::TIMEDOUT] {
            assert_eq!(caused_by(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_lack_of_ports_differs_from_a_lack_of_addresses() {
        let explained = |uri: &'static str| async move {
            let error = Box::new(io::Error::from(Errno::ADDRNOTAVAIL));
            Shortage::behind(&*explained(error, &Uri::from_static(uri)).await)
        };
        assert_eq!(explained("http://127.0.0.1:9/x").await, Some(Shortage::Ports));
        assert_eq!(explained("http://255.255.255.255/").await, None, "no connection can go there");
        assert_eq!(explained("http://no-such-host.invalid/").await, None);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the step")]
    struct Step {
        source: io::Error,
    }

    fn hidden(source: io::Error) -> Step {
        Step { source }
    }
}
