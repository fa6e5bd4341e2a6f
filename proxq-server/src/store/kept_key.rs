//! How a store keeps the key of the hashes of credentials: as it is, or sealed, in an entry for each key that seals it.
//!
//! The key never changes, whatever it is sealed with: jobs keep their owners, and idempotency keys their jobs.

use crate::sealing::{KeyId, Keyring};

/// The entry where the key is as it is.
pub(super) const PLAIN_ENTRY: &str = "credential_key";

/// What it is sealed for.
const CONTEXT: &[&[u8]] = &[b"credential key"];

/// The entry in which these keys keep it.
pub(super) fn entry(keys: &Keyring) -> String {
    keys.sealing_id().map_or_else(|| PLAIN_ENTRY.to_owned(), |key| format!("{PLAIN_ENTRY}:{key}"))
}

/// The key in these entries; `None` if nobody has made one yet. A sealed one counts, and one as it is only beside none that is
/// sealed.
///
/// # Errors
/// The key that sealed it, where none of these keys opens it. Another one in its place would make jobs nobody's, and let
/// requests that were sent before be sent again.
pub(super) fn find(keys: &Keyring, entries: &[(String, Vec<u8>)]) -> Result<Option<[u8; 32]>, KeyId> {
    let sealed = || entries.iter().filter_map(|(name, value)| Some((sealed_with(name)?, value)));
    let opened = sealed().find_map(|(_, value)| keys.open(CONTEXT, value.clone()).ok()?.as_ref().try_into().ok());
    if let (None, Some((key, _))) = (opened, sealed().next()) {
        return Err(key);
    }
    let plain = || entries.iter().find(|(name, _)| name == PLAIN_ENTRY);
    Ok(opened.or_else(|| plain()?.1.as_slice().try_into().ok()))
}

/// Whether an entry of this name is one that these keys do not keep, now that they keep their own: once the key is sealed it is
/// nowhere as it is, and the other way round.
pub(super) fn is_outdated(keys: &Keyring, name: &str) -> bool {
    if keys.seals() { name == PLAIN_ENTRY } else { sealed_with(name).is_some() }
}

fn sealed_with(name: &str) -> Option<KeyId> {
    let key = name.strip_prefix(PLAIN_ENTRY)?.strip_prefix(':')?;
    u64::from_str_radix(key, 16).ok().map(KeyId)
}

/// The key as these keys keep it.
pub(super) fn kept(keys: &Keyring, key: &[u8; 32]) -> Vec<u8> {
    keys.seal(CONTEXT, key).unwrap_or_else(|| key.to_vec())
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
            assert_eq!(find(after, &entries(before)), Ok(Some(KEY)), "{before:?} {after:?}");
        }
        assert_eq!(find(&old, &[]), Ok(None));
    }

    #[test]
    fn it_is_sealed_or_as_it_is_and_never_both() {
        let (plain, old, former) = (Keyring::default(), Keyring::of(&["old"]), Keyring::new(None, &[b"old".to_vec()]));
        for (keys, name, outdated) in [
            (&plain, "credential_key", false),
            (&former, "credential_key:1", true),
            (&old, "credential_key", true),
            (&old, "credential_key:1", false),
            (&plain, "via_name", false),
        ] {
            assert_eq!(is_outdated(keys, name), outdated, "{keys:?} {name}");
        }
        // One that somebody put beside a sealed one.
        let planted = (PLAIN_ENTRY.to_owned(), vec![8; 32]);
        let both = [vec![planted], entries(&old)].concat();
        assert_eq!(find(&old, &both), Ok(Some(KEY)));
        assert!(find(&Keyring::of(&["other"]), &both).is_err());
    }

    #[test]
    fn who_lacks_the_key_does_not_read_it() {
        let old = Keyring::of(&["old"]);
        let sealed = entries(&old);
        assert!(!sealed[0].1.windows(4).any(|part| part == [7; 4]));
        for other in [Keyring::default(), Keyring::of(&["other"])] {
            assert_eq!(find(&other, &sealed), Err(old.sealing_id().unwrap()));
        }
    }
}
