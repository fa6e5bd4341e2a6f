//! The address of a Redis server, and the login and TLS files for it.

use std::path::PathBuf;
use std::{fmt, fs, io};

use super::ClientIdentity;

/// One Redis server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// The server's address.
    pub address: RedisAddress,
    /// The ACL user; empty for the default one.
    pub username: String,
    /// The user's password.
    pub password: Password,
    /// The number of the database.
    pub db: u16,
    /// The files for TLS.
    pub tls: RedisTls,
}

/// A password or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// None: nobody is asked for one.
    None,
    /// Written in the configuration.
    Given(Secret),
    /// The content of this file, without white space at its end.
    File(PathBuf),
}

impl Password {
    /// The secret itself; empty where there is none. Reads the file, if it is in one.
    pub(crate) fn reveal(&self) -> io::Result<String> {
        match self {
            Self::None => Ok(String::new()),
            Self::Given(secret) => Ok(secret.reveal().to_owned()),
            Self::File(file) => Ok(String::from_utf8_lossy(&fs::read(file)?).trim_end().to_owned()),
        }
    }
}

/// The address of a Redis server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisAddress {
    /// On the network.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// On the network, behind TLS.
    Tls {
        /// Name or address; its certificate is checked against it.
        host: String,
        /// Port.
        port: u16,
    },
    /// On this machine.
    Unix {
        /// The socket.
        path: PathBuf,
    },
}

/// The files for TLS to Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// PEM file of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate and key that proxq shows as a client.
    pub identity: Option<ClientIdentity>,
}

/// The port of Redis.
pub(super) const REDIS_PORT: u16 = 6379;

impl Default for RedisConfig {
    /// The meaning of an empty `redis:` section.
    fn default() -> Self {
        Self {
            address: RedisAddress::Tcp { host: "127.0.0.1".to_owned(), port: REDIS_PORT },
            username: String::new(),
            password: Password::None,
            db: 0,
            tls: RedisTls::default(),
        }
    }
}

impl fmt::Display for RedisAddress {
    /// `host:port`, or the path of the socket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } | Self::Tls { host, port } => write!(f, "{}:{port}", bracketed(host)),
            Self::Unix { path } => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Display for RedisConfig {
    /// Its URL, without password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            RedisAddress::Tcp { .. } => write!(f, "redis://{}/{}", self.address, self.db),
            RedisAddress::Tls { .. } => write!(f, "rediss://{}/{}", self.address, self.db),
            RedisAddress::Unix { path } if self.db == 0 => write!(f, "unix://{}", path.display()),
            RedisAddress::Unix { path } => write!(f, "unix://{}?db={}", path.display(), self.db),
        }
    }
}

/// What a URL says about a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RedisUrl {
    pub(super) address: RedisAddress,
    pub(super) username: String,
    pub(super) password: Option<String>,
    pub(super) db: u16,
}

impl RedisUrl {
    /// Reads `redis://`, `rediss://` (TLS) or `unix://`.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const FORMS: &str = "is no URL of a Redis server; write one like redis://127.0.0.1:6379/0, rediss://host:6380 \
                             or unix:///run/redis.sock";
        let (scheme, rest) = text.split_once("://").ok_or(FORMS)?;
        if scheme == "unix" {
            return Self::of_socket(rest);
        }
        if rest.contains(['?', '#']) {
            return Err("has a query or a fragment, which say nothing here");
        }
        let (authority, db) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, host_port) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (username, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let (host, port) = host_and_port(host_port).ok_or(FORMS)?;
        let address = match scheme {
            "redis" => RedisAddress::Tcp { host, port },
            "rediss" => RedisAddress::Tls { host, port },
            _ => return Err(FORMS),
        };
        Ok(Self {
            address,
            username: decoded(username)?,
            password: Some(decoded(password)?).filter(|password| !password.is_empty()),
            db: database(db)?,
        })
    }

    /// `/path?db=1`, as is usual where a path has taken the database's place.
    fn of_socket(rest: &str) -> Result<Self, &'static str> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !path.starts_with('/') {
            return Err("has no absolute path; write one like unix:///run/redis.sock");
        }
        let db = match query.strip_prefix("db=") {
            Some(db) => database(db)?,
            None if query.is_empty() => 0,
            None => return Err("may only say ?db= after its path; a password has a key of its own"),
        };
        let address = RedisAddress::Unix { path: PathBuf::from(decoded(path)?) };
        Ok(Self { address, username: String::new(), password: None, db })
    }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let with_port = match text.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => text.to_owned(),
        _ => format!("{text}:{REDIS_PORT}"),
    };
    let checked = super::listen_address::parse(&with_port).ok().filter(|_| !with_port.starts_with(':'))?;
    let (host, port) = checked.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port.parse().ok()?))
}

fn database(text: &str) -> Result<u16, &'static str> {
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| "names a database that is no number") }
}

fn decoded(text: &str) -> Result<String, &'static str> {
    String::from_utf8(crate::path::decode(text).into_owned()).map_err(|_| "has something that is not UTF-8")
}

/// A host as URLs have it.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// A secret text. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RedisUrl {
        RedisUrl::parse(text).unwrap()
    }

    #[test]
    fn urls_name_server_user_and_database() {
        let tcp = |host: &str, port| RedisAddress::Tcp { host: host.to_owned(), port };
        assert_eq!(url("redis://redis").address, tcp("redis", 6379));
        assert_eq!(
            url("redis://[::1]:7000/3"),
            RedisUrl { address: tcp("::1", 7000), username: String::new(), password: None, db: 3 }
        );
        assert_eq!(url("redis://[::1]").address, tcp("::1", 6379));
        let full = url("rediss://me:s%40cret@host:6380/0");
        assert_eq!(full.address, RedisAddress::Tls { host: "host".to_owned(), port: 6380 });
        assert_eq!((full.username.as_str(), full.password.as_deref()), ("me", Some("s@cret")));
        let socket = url("unix:///run/redis.sock?db=2");
        assert_eq!((socket.address, socket.db), (RedisAddress::Unix { path: "/run/redis.sock".into() }, 2));
    }

    #[test]
    fn what_is_no_url_of_redis_is_refused() {
        for bad in
            ["", "redis", "http://x", "redis://", "redis://:1", "redis://a:b", "redis://a/x", "redis://a?b", "unix://x"]
        {
            assert!(RedisUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let config =
            RedisConfig { password: Password::Given(Secret::new("hush".to_owned())), ..RedisConfig::default() };
        assert!(!format!("{config:?} {config}").contains("hush"));
        assert_eq!(config.to_string(), "redis://127.0.0.1:6379/0");
    }
}
