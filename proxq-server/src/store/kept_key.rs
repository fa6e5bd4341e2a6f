//! How a store keeps the key of the hashes of credentials: as it is, or sealed, in an entry for each key that seals it.
//!
//! The key never changes, whatever it is sealed with: jobs keep their owners, and idempotency keys their jobs.

use super::StoreError;
use crate::sealing::{KeyId, Keyring};

/// The entry where the key is as it is.
pub(super) const PLAIN_ENTRY: &str = "credential_key";

/// What it is sealed for.
const CONTEXT: &[&[u8]] = &[b"credential key"];

/// The entry in which these keys keep it.
pub(super) fn entry(keys: &Keyring) -> String {
    keys.sealing_id().map_or_else(|| PLAIN_ENTRY.to_owned(), sealed_entry)
}

fn sealed_entry(key: KeyId) -> String {
    format!("{PLAIN_ENTRY}:{key}")
}

/// The key in one of these entries, if one can be read.
pub(super) fn find(keys: &Keyring, entries: &[(String, Vec<u8>)]) -> Option<[u8; 32]> {
    let ids = keys.ids().map(sealed_entry);
    let wanted = [entry(keys)].into_iter().chain(ids).chain([PLAIN_ENTRY.to_owned()]);
    wanted.filter_map(|wanted| entries.iter().find(|(name, _)| *name == wanted)).find_map(|(name, value)| {
        let opened = if name == PLAIN_ENTRY { value.clone() } else { keys.open(CONTEXT, value.clone()).ok()?.into() };
        opened.try_into().ok()
    })
}

/// The key as these keys keep it.
pub(super) fn kept(keys: &Keyring, key: &[u8; 32]) -> Vec<u8> {
    keys.seal(CONTEXT, key).unwrap_or_else(|| key.to_vec())
}

/// Reads what [`kept`] wrote.
pub(super) fn read(keys: &Keyring, kept: Vec<u8>) -> Result<[u8; 32], StoreError> {
    find(keys, &[(entry(keys), kept)]).ok_or_else(|| StoreError::Unavailable {
        may_be_done: false,
        source: "the key of the credentials' hashes cannot be read".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn entries(keys: &Keyring) -> Vec<(String, Vec<u8>)> {
        vec![(entry(keys), kept(keys, &KEY))]
    }

    #[test]
    fn the_key_stays_the_same_whatever_seals_it() {
        let (plain, old, new) = (Keyring::default(), Keyring::of(&["old"]), Keyring::of(&["new", "old"]));
        assert_eq!(entries(&plain), [("credential_key".to_owned(), KEY.to_vec())]);
        for (before, after) in [(&plain, &plain), (&plain, &old), (&old, &old), (&old, &new), (&new, &new)] {
            assert_eq!(find(after, &entries(before)), Some(KEY), "{before:?} {after:?}");
        }
        assert_eq!(read(&new, kept(&new, &KEY)).unwrap(), KEY);
    }

    #[test]
    fn who_lacks_the_key_does_not_read_it() {
        let sealed = entries(&Keyring::of(&["old"]));
        assert!(!sealed[0].1.windows(4).any(|part| part == [7; 4]));
        for other in [Keyring::default(), Keyring::of(&["other"])] {
            assert_eq!(find(&other, &sealed), None);
        }
    }
}
