//! Sealed texts that others may append to: why a job failed, as it is stored.
//!
//! ```text
//! sealed:BASE64 (what was appended)
//! ```

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use super::key_id::{KeyId, Unopened};
use super::keyring::{Keyring, key_of};

/// What a sealed text begins with.
const MARK: &str = "sealed:";

/// Seals a text for this context, where texts are to be sealed.
pub(crate) fn seal_text(keys: &Keyring, context: &[&[u8]], text: String) -> String {
    match keys.seal(context, text.as_bytes()) {
        Some(sealed) => format!("{MARK}{}", BASE64.encode(sealed)),
        None => text,
    }
}

/// The text as it was before it was sealed, and what was appended to it since. In place of one that cannot be opened, it says why.
pub(crate) fn open_text(keys: &Keyring, context: &[&[u8]], text: String) -> String {
    let Some((sealed, appended)) = parts(&text) else { return text };
    let opened = BASE64.decode(sealed).map_err(|_| Unopened::Broken).and_then(|sealed| keys.open(context, sealed));
    match opened {
        Ok(opened) => format!("{}{appended}", String::from_utf8_lossy(&opened)),
        Err(Unopened::UnknownKey(key)) => format!("sealed with key {key}, which this proxq does not have{appended}"),
        Err(Unopened::Broken) => format!("cannot be opened: it is not what was sealed here{appended}"),
    }
}

/// The key of a sealed text; `None` for a plain one.
pub(crate) fn text_key(text: &str) -> Option<KeyId> {
    let (sealed, _appended) = parts(text)?;
    key_of(&BASE64.decode(sealed).ok()?)
}

/// What is sealed in a text, and what was appended to it; `None` for a plain text.
fn parts(text: &str) -> Option<(&str, &str)> {
    let sealed = text.strip_prefix(MARK)?;
    Some(sealed.split_at(sealed.find(' ').unwrap_or(sealed.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: &[&[u8]] = &[b"error"];

    #[test]
    fn a_text_comes_back_with_what_was_appended() {
        let keys = Keyring::of(&["one"]);
        let sealed = seal_text(&keys, CONTEXT, "connect: refused".to_owned());
        assert!(sealed.starts_with(MARK) && !sealed.contains("refused"), "{sealed}");
        assert_eq!(open_text(&keys, CONTEXT, sealed.clone()), "connect: refused");
        let appended = sealed.clone() + " (not tried again)";
        assert_eq!(open_text(&keys, CONTEXT, appended), "connect: refused (not tried again)");
        let elsewhere = open_text(&keys, &[b"other"], sealed.clone());
        assert_eq!(elsewhere, "cannot be opened: it is not what was sealed here");
        let sealed_again = sealed.clone();
        let unknown = open_text(&Keyring::of(&["two"]), CONTEXT, sealed);
        let key = keys.sealing_id().unwrap();
        assert_eq!((text_key(&sealed_again), text_key("plain")), (Some(key), None));
        assert_eq!(unknown, format!("sealed with key {key}, which this proxq does not have"));
    }

    #[test]
    fn plain_texts_stay_as_they_are() {
        for keys in [Keyring::default(), Keyring::of(&["one"])] {
            assert_eq!(open_text(&keys, CONTEXT, "plain".to_owned()), "plain");
        }
        assert_eq!(seal_text(&Keyring::default(), CONTEXT, "plain".to_owned()), "plain");
    }
}
