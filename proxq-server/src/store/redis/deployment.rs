//! The deployment's secrets, in one hash that all instances share.

use redis::Pipeline;

use super::answer::Answer;
use super::error::unexpected;
use super::keys;
use super::shared::Shared;
use crate::store::kept_key;
use crate::store::{Deployment, StoreError};

/// The deployment's secrets; made now if there are none.
pub(super) async fn deployment(shared: &Shared) -> Result<Deployment, StoreError> {
    let made_now = Deployment::made_now();
    let entries = fields(shared.commands.run("HGETALL", redis::cmd("HGETALL").arg(keys::DEPLOYMENT)).await?)?;
    let credential_key = match kept_key::find(&shared.keys, &entries) {
        Ok(found) => found.unwrap_or(made_now.credential_key),
        Err(missing) => {
            let via_name = text(&entries, "via_name").unwrap_or(made_now.via_name);
            return Ok(Deployment { via_name, missing_key: Some(missing), ..made_now });
        }
    };
    let outdated = entries.iter().map(|(name, _)| name).filter(|name| kept_key::is_outdated(&shared.keys, name));
    // Others may have been first: what they kept counts.
    let entries = keep(shared, &Deployment { credential_key, ..made_now }, outdated).await?;
    let (Some(via_name), Ok(Some(credential_key))) =
        (text(&entries, "via_name"), kept_key::find(&shared.keys, &entries))
    else {
        return Err(unexpected("HGETALL"));
    };
    Ok(Deployment { via_name, credential_key, missing_key: None })
}

/// Writes the secrets that this process goes by where Redis has lost them, before an instance that starts makes others.
pub(super) async fn keep_on(shared: &Shared) -> Result<(), StoreError> {
    let Some(known) = shared.deployment.get().filter(|known| known.missing_key.is_none()) else { return Ok(()) };
    let entries = keep(shared, known, [].iter()).await?;
    if kept_key::find(&shared.keys, &entries) != Ok(Some(known.credential_key)) {
        tracing::error!(
            "Redis had lost the deployment's secrets, and another instance made new ones: restart this one"
        );
    }
    Ok(())
}

type Entries = Vec<(String, Vec<u8>)>;

/// Writes what is not there, and removes outdated entries. Gives all that there are then.
async fn keep(
    shared: &Shared,
    deployment: &Deployment,
    outdated: impl Iterator<Item = &String>,
) -> Result<Entries, StoreError> {
    let mut commands = Pipeline::with_capacity(4);
    let entry = kept_key::entry(&shared.keys);
    let kept = kept_key::kept(&shared.keys, &deployment.credential_key);
    commands.cmd("HSETNX").arg(keys::DEPLOYMENT).arg("via_name").arg(&deployment.via_name);
    commands.cmd("HSETNX").arg(keys::DEPLOYMENT).arg(entry).arg(kept);
    for name in outdated {
        commands.cmd("HDEL").arg(keys::DEPLOYMENT).arg(name);
    }
    commands.cmd("HGETALL").arg(keys::DEPLOYMENT);
    let mut answers = shared.commands.run_all("HGETALL", &commands).await?;
    let all = answers.pop().ok_or_else(|| unexpected("HGETALL"))?;
    answers.into_iter().try_for_each(|answer| answer.number().map(drop))?;
    fields(all)
}

fn text(entries: &[(String, Vec<u8>)], wanted: &str) -> Option<String> {
    let (_, value) = entries.iter().find(|(name, _)| name == wanted)?;
    String::from_utf8(value.clone()).ok()
}

/// The fields of a hash.
fn fields(answer: Answer) -> Result<Entries, StoreError> {
    let mut flat = answer.fields()?.into_iter().map(Option::unwrap_or_default);
    let mut fields = Vec::new();
    while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
        fields.push((String::from_utf8_lossy(&name).into_owned(), value.to_vec()));
    }
    Ok(fields)
}
