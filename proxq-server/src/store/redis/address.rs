//! The client library's view of the configured Redis server: address, credentials, TLS and keep-alive.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    TlsCertificates,
};

use super::OpenError;
use crate::config::{Password, RedisAddress, RedisConfig, RedisTls};

/// How long a silent connection is trusted before it is asked whether it lives: well below the half hour after which
/// firewalls forget connections.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
/// How often it is asked.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// How long what was sent may stay unacknowledged by the other machine.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// A client of the server, which has not connected yet. Reads the files that TLS needs.
pub(super) fn client(config: &RedisConfig) -> Result<Client, OpenError> {
    let refused = |source: RedisError| OpenError::Address { address: config.to_string(), source };
    let info = connection_info(config, &password(&config.password)?).map_err(refused)?;
    match &config.address {
        RedisAddress::Tls { .. } => {
            choose_cryptography();
            Client::build_with_tls(info, certificates(&config.tls)?).map_err(refused)
        }
        RedisAddress::Tcp { .. } | RedisAddress::Unix { .. } => Client::open(info).map_err(refused),
    }
}

/// The client library goes by the process's choice, and panics where there is none and more than one is built in: other
/// crates of the same program decide that. A choice that was made stands.
fn choose_cryptography() {
    let _made_already = rustls::crypto::ring::default_provider().install_default();
}

fn password(password: &Password) -> Result<String, OpenError> {
    match password {
        Password::None | Password::Given(_) => Ok(password.reveal().unwrap_or_default()),
        Password::File(file) => password.reveal().map_err(|source| OpenError::File { file: file.clone(), source }),
    }
}

fn connection_info(config: &RedisConfig, password: &str) -> Result<ConnectionInfo, RedisError> {
    let address = match &config.address {
        RedisAddress::Tcp { host, port } => ConnectionAddr::Tcp(host.clone(), *port),
        RedisAddress::Tls { host, port } => {
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
        }
        RedisAddress::Unix { path } => ConnectionAddr::Unix(path.clone()),
    };
    let mut settings = RedisConnectionInfo::default().set_db(config.db.into());
    if !config.username.is_empty() {
        settings = settings.set_username(&config.username);
    }
    if !password.is_empty() {
        settings = settings.set_password(password);
    }
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let mut tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    if cfg!(target_os = "linux") {
        tcp = tcp.set_user_timeout(USER_TIMEOUT);
    }
    Ok(address.into_connection_info()?.set_redis_settings(settings).set_tcp_settings(tcp))
}

fn certificates(tls: &RedisTls) -> Result<TlsCertificates, OpenError> {
    let client_tls = match &tls.identity {
        None => None,
        Some(identity) => {
            Some(ClientTlsConfig { client_cert: read(&identity.cert_file)?, client_key: read(&identity.key_file)? })
        }
    };
    let root_cert = tls.ca_file.as_deref().map(read).transpose()?;
    Ok(TlsCertificates { client_tls, root_cert })
}

fn read(file: &Path) -> Result<Vec<u8>, OpenError> {
    std::fs::read(file).map_err(|source: io::Error| OpenError::File { file: PathBuf::from(file), source })
}
