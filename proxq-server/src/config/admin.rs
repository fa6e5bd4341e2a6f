//! The listener for operators.

use super::Password;
use crate::tls::ServerTls;

/// Where operators connect, and who is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// `host:port` to listen at.
    pub listen_address: String,
    /// What operators have to show. [`Password::None`] is for addresses that only this machine reaches.
    pub token: Password,
    /// Names by which it is reached, beside those of this machine and the one in its address.
    pub hosts: Vec<String>,
    /// Whether operators connect by TLS.
    pub tls: AdminTls,
}

/// Whether operators connect by TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdminTls {
    /// As clients do.
    #[default]
    AsClients,
    /// They do, with these files.
    Own(ServerTls),
    /// They do not, even if clients do.
    Off,
}

impl AdminConfig {
    /// Where it listens unless it is said otherwise.
    pub(crate) const ADDRESS: &str = "127.0.0.1:9090";
}

impl Default for AdminConfig {
    /// What an empty `admin:` means.
    fn default() -> Self {
        Self {
            listen_address: Self::ADDRESS.to_owned(),
            token: Password::None,
            hosts: Vec::new(),
            tls: AdminTls::AsClients,
        }
    }
}
