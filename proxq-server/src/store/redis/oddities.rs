//! Settings and versions of the Redis server that an operator is warned of.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::connecting::{LONGEST_PAUSE, reconnect_pauses};
use super::shared::Shared;
use crate::failure::chain;
use crate::store::StoreError;

/// Logs the warnings about the server as soon as it answers.
pub(super) async fn look_over(shared: Arc<Shared>, closing: CancellationToken) {
    let mut pauses = reconnect_pauses();
    loop {
        match oddities(&shared).await {
            Ok(odd) => {
                for warning in odd {
                    tracing::warn!(warning, "Redis");
                }
                return;
            }
            Err(error) => tracing::debug!(error = chain(&error), "look the Redis server over"),
        }
        tokio::select! {
            () = tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)) => {}
            () = closing.cancelled() => return,
        }
    }
}

/// The warnings about this server.
pub(super) async fn oddities(shared: &Shared) -> Result<Vec<String>, StoreError> {
    let info = shared.commands.run("INFO", &redis::cmd("INFO")).await?.text()?;
    let value = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim).unwrap_or_default()
    };
    let mut odd = Vec::new();
    let version = value("redis_version");
    if is_older(version, (6, 2)) {
        odd.push(format!("Redis {version} is older than 6.2, which proxq needs"));
    }
    let policy = value("maxmemory_policy");
    if !policy.is_empty() && policy != "noeviction" {
        odd.push(format!(
            "Redis may evict jobs: maxmemory-policy is {policy}; set it to noeviction, so that a full Redis refuses new \
             jobs instead of losing old ones"
        ));
    }
    // `save` cannot be seen in INFO, and CONFIG may not be allowed.
    let saves = match shared.commands.run("CONFIG", redis::cmd("CONFIG").arg("GET").arg("save")).await {
        Ok(answer) => answer.fields()?.pop().flatten().is_some_and(|points| !points.is_empty()),
        Err(_not_allowed) => true,
    };
    if value("aof_enabled") == "0" {
        odd.push(if saves {
            "Redis saves to disk only now and then: jobs accepted since may be lost when it ends; set appendonly to yes"
                .to_owned()
        } else {
            "Redis saves nothing to disk: all jobs are lost when it ends; set appendonly to yes".to_owned()
        });
    }
    if value("role") == "slave" {
        odd.push("this Redis is a replica, on which nothing can be written; name its master".to_owned());
    }
    Ok(odd)
}

fn is_older(version: &str, (major, minor): (u32, u32)) -> bool {
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(of), Some(minor_of)) => (of, minor_of) < (major, minor),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_older("6.0.16", (6, 2)) && is_older("5.0.14", (6, 2)));
        assert!(!is_older("6.2.0", (6, 2)) && !is_older("7.0.15", (6, 2)) && !is_older("10.1.0", (6, 2)));
        assert!(!is_older("", (6, 2)), "who does not say is given the benefit of the doubt");
    }
}
