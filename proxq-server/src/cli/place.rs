//! Flags that say where the running server is.

use std::path::PathBuf;

use clap::Args;

/// Where operators are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct AtOperators {
    /// Where the server listens for operators, `http://host:port`. Without this, `PROXQ_ADMIN_URL` says it, or the
    /// configuration's admin.listenAddress [default: `http://127.0.0.1:9090`].
    #[arg(long, value_name = "URL")]
    pub admin_url: Option<String>,

    /// File with the token that the server asks for. Without this, `PROXQ_ADMIN_TOKEN` is the token, or the configuration's
    /// where the address is the configuration's.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
}

/// Where clients are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct AtClients {
    /// Where the server listens, `http://host:port`. Without this, `PROXQ_URL` says it, or the configuration's
    /// listenAddress [default: `http://127.0.0.1:8080`].
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}
