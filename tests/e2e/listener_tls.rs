//! Tests of the TLS that proxq speaks to clients and operators.
//!
//! | promise | in |
//! |---|---|
//! | which handshakes succeed, and what becomes of other connections | `handshake.rs` |
//! | requests and responses are the same as without TLS | `traffic.rs` |
//! | a new certificate is shown within a second, and a bad one is not | `renewal.rs` |
//! | operators connect by TLS, too, unless they should not | `operators.rs` |
//! | proxq's own commands speak it | `commands.rs` |

mod commands;
mod handshake;
mod operators;
mod renewal;
mod traffic;

use harness::{Authority, Config, Proxq, Store, TlsClient, Upstream, curl};

/// The names of this machine.
const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

/// A server that clients connect to by TLS, and the authority that vouches for it.
struct Bench {
    proxq: Proxq,
    upstream: Upstream,
    authority: Authority,
}

impl Bench {
    async fn start(store: Store) -> Self {
        Self::with(store, |config, _| config).await
    }

    /// The same with other keys.
    async fn with(store: Store, change: impl FnOnce(Config, &Authority) -> Config) -> Self {
        let upstream = Upstream::start().await;
        let authority = Authority::new();
        authority.issue_files("server", &HERE);
        let config = showing(store.config_for(&upstream), "tls", &authority, "server");
        let proxq = Proxq::start(change(config, &authority)).await;
        Self { proxq, upstream, authority }
    }

    fn client(&self) -> TlsClient {
        TlsClient::of(&self.authority)
    }

    /// The certificate that is shown at this moment.
    async fn shown(&self) -> Vec<u8> {
        self.client().certificate_at(self.proxq.address()).await
    }

    /// The server's URL, without a path.
    fn url(&self) -> String {
        self.proxq.url().replace("http:", "https:")
    }

    fn ca_file(&self) -> String {
        self.authority.file("ca.pem").display().to_string()
    }

    /// Runs curl, which trusts the authority.
    async fn curl(&self, args: &[&str]) -> String {
        curl(&[&["--cacert", &self.ca_file()], args].concat()).await
    }
}

/// A configuration whose section names the certificate of `who`.
fn showing(config: Config, section: &str, authority: &Authority, who: &str) -> Config {
    let file = |name: String| authority.file(&name).display().to_string();
    config
        .set(&format!("{section}.certFile"), file(format!("{who}.pem")))
        .set(&format!("{section}.keyFile"), file(format!("{who}-key.pem")))
}
