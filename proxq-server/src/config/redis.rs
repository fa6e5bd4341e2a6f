//! Where a Redis server is, and how it is entered.

use std::fmt;
use std::path::PathBuf;

use super::ClientIdentity;

/// One Redis server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// Where it is.
    pub address: RedisAddress,
    /// Who enters; empty for the default user.
    pub username: String,
    /// What they know; empty for nothing.
    pub password: Secret,
    /// The number of its database.
    pub db: u16,
    /// How TLS is spoken to it.
    pub tls: RedisTls,
}

/// Where a Redis server is.
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

/// How TLS is spoken to Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// PEM file of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What proxq shows as a client.
    pub identity: Option<ClientIdentity>,
}

/// The port of Redis.
pub(super) const REDIS_PORT: u16 = 6379;

impl Default for RedisConfig {
    /// What an empty `redis:` section means.
    fn default() -> Self {
        Self {
            address: RedisAddress::Tcp { host: "127.0.0.1".to_owned(), port: REDIS_PORT },
            username: String::new(),
            password: Secret::default(),
            db: 0,
            tls: RedisTls::default(),
        }
    }
}

impl fmt::Display for RedisConfig {
    /// Its URL, without password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            RedisAddress::Tcp { host, port } => write!(f, "redis://{}:{port}/{}", bracketed(host), self.db),
            RedisAddress::Tls { host, port } => write!(f, "rediss://{}:{port}/{}", bracketed(host), self.db),
            RedisAddress::Unix { path } if self.db == 0 => write!(f, "unix://{}", path.display()),
            RedisAddress::Unix { path } => write!(f, "unix://{}?db={}", path.display(), self.db),
        }
    }
}

/// A host as URLs have it.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for whom it is meant.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let config = RedisConfig { password: Secret::new("hush".to_owned()), ..RedisConfig::default() };
        assert!(!format!("{config:?} {config}").contains("hush"));
        assert_eq!(config.to_string(), "redis://127.0.0.1:6379/0");
    }
}
