//! The deployment's secrets, in one hash that all instances share.

use redis::Pipeline;

use super::answer::Answer;
use super::error::unexpected;
use super::keys;
use super::shared::Shared;
use crate::store::kept_key::{self, PLAIN_ENTRY};
use crate::store::{Deployment, StoreError};

/// The deployment's secrets; made now if there are none.
pub(super) async fn deployment(shared: &Shared) -> Result<Deployment, StoreError> {
    let (made_now, keyring) = (Deployment::made_now(), &*shared.keys);
    let mut commands = Pipeline::with_capacity(2);
    commands.cmd("HSETNX").arg(keys::DEPLOYMENT).arg("via_name").arg(made_now.via_name).ignore();
    commands.cmd("HGETALL").arg(keys::DEPLOYMENT);
    let entries = fields(shared.commands.run_all("HGETALL", &commands).await?)?;
    let credential_key = kept_key::find(keyring, &entries).unwrap_or(made_now.credential_key);
    // Others may have been first: what they kept counts.
    let entry = kept_key::entry(keyring);
    let mut commands = Pipeline::with_capacity(3);
    commands.cmd("HSETNX").arg(keys::DEPLOYMENT).arg(&entry).arg(kept_key::kept(keyring, &credential_key)).ignore();
    if keyring.seals() {
        commands.cmd("HDEL").arg(keys::DEPLOYMENT).arg(PLAIN_ENTRY).ignore();
    }
    commands.cmd("HGETALL").arg(keys::DEPLOYMENT);
    let entries = fields(shared.commands.run_all("HGETALL", &commands).await?)?;
    let value = |wanted: &str| entries.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let (Some(via_name), Some(kept)) = (value("via_name"), value(&entry)) else { return Err(unexpected("HGETALL")) };
    Ok(Deployment {
        via_name: String::from_utf8(via_name).map_err(|_| unexpected("HGETALL"))?,
        credential_key: kept_key::read(keyring, kept)?,
    })
}

/// The fields of a hash, from the last answer.
fn fields(mut answers: Vec<Answer>) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let flat = answers.pop().map_or(Ok(Vec::new()), Answer::fields)?;
    let mut flat = flat.into_iter().map(Option::unwrap_or_default);
    let mut fields = Vec::new();
    while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
        fields.push((String::from_utf8_lossy(&name).into_owned(), value.to_vec()));
    }
    Ok(fields)
}
