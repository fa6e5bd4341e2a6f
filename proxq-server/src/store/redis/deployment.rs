//! The deployment's secrets, in one hash that all instances share.

use bytes::Bytes;
use redis::Pipeline;

use super::answer::Answer;
use super::error::unexpected;
use super::keys;
use super::shared::Shared;
use crate::store::{Deployment, StoreError};

/// The deployment's secrets; made now if there are none.
pub(super) async fn deployment(shared: &Shared) -> Result<Deployment, StoreError> {
    let Deployment { via_name, credential_key: key } = Deployment::made_now();
    let mut commands = Pipeline::with_capacity(3);
    commands.cmd("HSETNX").arg(keys::DEPLOYMENT).arg("via_name").arg(via_name).ignore();
    commands.cmd("HSETNX").arg(keys::DEPLOYMENT).arg("credential_key").arg(&key[..]).ignore();
    commands.cmd("HMGET").arg(keys::DEPLOYMENT).arg("via_name").arg("credential_key");
    let mut answers = shared.commands.run_all("HSETNX", &commands).await?;
    let kept = answers.pop().map_or(Ok(Vec::new()), Answer::fields)?;
    let [Some(via_name), Some(key)]: [Option<Bytes>; 2] = kept.try_into().map_err(|_| unexpected("HMGET"))? else {
        return Err(unexpected("HMGET"));
    };
    Ok(Deployment {
        via_name: String::from_utf8(via_name.into()).map_err(|_| unexpected("HMGET"))?,
        credential_key: key.as_ref().try_into().map_err(|_| unexpected("HMGET"))?,
    })
}
