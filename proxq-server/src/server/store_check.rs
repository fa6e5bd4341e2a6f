//! A look at a store: at the embedded one while no server has it open, at the one in Redis at any time. For `proxq check --store`.

use std::path::Path;

use crate::config::{self, Config, KeyFileError, StoreConfig};
use crate::sealing::Keyring;
use crate::store::KeyUse;
use crate::store::embedded::{self, OpenError, Verified};
use crate::store::redis::{CountError, count_keys};

/// What was found in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCheck {
    /// What there is to say, a line each.
    pub lines: Vec<String>,
    /// Whether everything is as it was written, and the key of everything is there.
    pub is_sound: bool,
}

/// Why a store was not looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreCheckError {
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The embedded store is in use, or cannot be opened at all.
    #[error(transparent)]
    Embedded(#[from] OpenError),
    /// Redis cannot be asked.
    #[error("count the jobs of each key")]
    Redis(#[from] CountError),
}

/// Reads all of an embedded store: every record and every body is as it was written, or is named. Of a store in Redis, counts
/// the jobs of each key; what is damaged there shows when it is read.
///
/// # Errors
/// Where the store cannot be read at all.
pub async fn check_store(config: &Config) -> Result<StoreCheck, StoreCheckError> {
    let keys = config::read_keyring(config.encryption.as_ref())?;
    Ok(match &config.store {
        StoreConfig::Embedded { data_dir, .. } => said_of_files(data_dir, &embedded::verify(data_dir, &keys)?, &keys),
        StoreConfig::Redis(server) => said_of_keys(&count_keys(server, config).await?, &keys),
    })
}

fn said_of_files(data_dir: &Path, Verified { findings, keys: used }: &Verified, keys: &Keyring) -> StoreCheck {
    let mut said = said_of_keys(used, keys);
    if findings.is_empty() {
        said.lines.insert(0, format!("# {}: every record and every body is as it was written", data_dir.display()));
    } else {
        said.lines.splice(0..0, findings.iter().map(ToString::to_string));
        said.is_sound = false;
    }
    said
}

fn said_of_keys(used: &KeyUse, keys: &Keyring) -> StoreCheck {
    let mut is_sound = true;
    let line = |(key, count): (&Option<_>, &u64)| {
        let jobs = if *count == 1 { "1 job".to_owned() } else { format!("{count} jobs") };
        match *key {
            None => format!("# not sealed: {jobs}"),
            Some(key) if keys.sealing_id() == Some(key) => format!("# sealed with key {key} (keyFile): {jobs}"),
            Some(key) if keys.knows(key) => format!("# sealed with key {key} (previousKeyFiles): {jobs}"),
            Some(key) => {
                is_sound = false;
                format!("sealed with key {key}, which is not configured: {jobs} that cannot be read")
            }
        }
    };
    let lines = used.jobs.iter().map(line).collect();
    StoreCheck { lines, is_sound }
}
