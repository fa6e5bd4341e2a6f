//! How many jobs are sealed with which key: for `proxq check --store`.

use std::collections::{BTreeMap, BTreeSet};

use crate::sealing::KeyId;

/// How many jobs need which key to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// Jobs by the keys that seal a part of them; a job counts for each of its keys. `None` for jobs of which nothing is sealed.
    pub jobs: BTreeMap<Option<KeyId>, u64>,
}

impl KeyUse {
    /// Counts a job whose parts are sealed with these keys.
    pub(super) fn count(&mut self, parts: impl IntoIterator<Item = KeyId>) {
        let keys: BTreeSet<KeyId> = parts.into_iter().collect();
        if keys.is_empty() {
            *self.jobs.entry(None).or_default() += 1;
        }
        for key in keys {
            *self.jobs.entry(Some(key)).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_counts_once_for_each_of_its_keys() {
        let mut found = KeyUse::default();
        for parts in [&[][..], &[KeyId(1), KeyId(1)], &[KeyId(1), KeyId(2)]] {
            found.count(parts.iter().copied());
        }
        assert_eq!(found.jobs, BTreeMap::from([(None, 1), (Some(KeyId(1)), 2), (Some(KeyId(2)), 1)]));
    }
}
