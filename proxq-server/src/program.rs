//! What only the program `proxq` needs of the library. It is no part of the library's interface and changes with any
//! release.

pub use crate::cli::{
    Command, Options, OwnCertificate, TokenCommand, completions, new_token, parse, read_config, read_config_to_ask,
    read_config_to_check,
};
pub use crate::commands::{CommandError, End, jobs, submit, top};
pub use crate::config::{ConfigErrors, Loaded, Mistake, differences_report, example, report, schema};
pub use crate::failure::chain;
pub use crate::healthcheck::healthcheck;
pub use crate::process::{raise_file_limit, runtime, survive_file_size_limits};
pub use crate::reload::ReloadRequests;
pub use crate::server::{StoreCheck, StoreCheckError, check_store};
pub use crate::telemetry::{InitError as TelemetryInitError, Log, init as init_telemetry};

/// The stores and their vocabulary. The program uses none of it: it is reachable here because its items are public, and documented
/// as such, for whoever reads the seam.
pub mod store {
    pub use crate::clock::Clock;
    pub use crate::job::*;
    pub use crate::sealing::{KeyId, StreamSeal};
    pub use crate::store::*;
}
