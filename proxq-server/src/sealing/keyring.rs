//! The keys, and single values sealed with them.
//!
//! ```text
//! version (1 byte) · id of the key (8) · salt (16) · ciphertext · tag (16)
//! ```

use std::fmt;

use bytes::Bytes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::hmac;

use super::chunks::{ChunkCipher, TAG_BYTES};
use super::key_id::{KeyId, Unopened};
use crate::random::random_bytes;

/// The version of sealed values that this program writes, and the only one that it reads.
const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = size_of::<u64>();
const SALT_BYTES: usize = size_of::<u128>();
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + SALT_BYTES;
/// The only nonce of a value: its key seals nothing else.
const ONLY_NONCE: [u8; 12] = [0; 12];

/// What is derived from a configured key for each purpose; part of the format.
const KEY_ID: &[u8] = b"proxq key id v1";
const VALUE: &[u8] = b"proxq sealed value v1";
const STREAM: &[u8] = b"proxq sealed stream v1";
const NAME: &[u8] = b"proxq name v1";

/// The keys of this process. All of them open.
#[derive(Default)]
pub(crate) struct Keyring {
    /// The one that seals, if anything is to be sealed.
    sealing: Option<Key>,
    previous: Vec<Key>,
}

struct Key {
    id: KeyId,
    secret: Prk,
    names: hmac::Key,
}

/// Where the key of a sealed body comes from: which configured key, and which salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamSeal {
    /// The configured key.
    pub(crate) key: KeyId,
    /// Random; no other body has it.
    pub(crate) salt: u128,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Keyring {
    /// Keys of these secrets: one that seals, if anything is to be sealed, and others that sealed before.
    pub(crate) fn new(sealing: Option<&[u8]>, previous: &[Vec<u8>]) -> Self {
        Self { sealing: sealing.map(Key::new), previous: previous.iter().map(|secret| Key::new(secret)).collect() }
    }

    /// Keys made of these secrets, for tests: the first one seals.
    #[cfg(test)]
    pub(crate) fn of(secrets: &[&str]) -> Self {
        let secrets: Vec<Vec<u8>> = secrets.iter().map(|secret| secret.as_bytes().to_vec()).collect();
        Self::new(Some(&secrets[0]), &secrets[1..])
    }

    /// Whether what is written is sealed.
    pub(crate) fn seals(&self) -> bool {
        self.sealing.is_some()
    }

    /// The id of the key that seals.
    pub(crate) fn sealing_id(&self) -> Option<KeyId> {
        self.sealing.as_ref().map(|key| key.id)
    }

    /// The ids of all keys.
    pub(crate) fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys().map(|key| key.id)
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.sealing.iter().chain(&self.previous)
    }

    /// Whether this process has a key.
    pub(crate) fn knows(&self, id: KeyId) -> bool {
        self.key(id).is_some()
    }

    fn key(&self, id: KeyId) -> Option<&Key> {
        self.keys().find(|key| key.id == id)
    }

    /// Seals a value for this context; `None` where nothing is to be sealed.
    pub(crate) fn seal(&self, context: &[&[u8]], value: &[u8]) -> Option<Vec<u8>> {
        let key = self.sealing.as_ref()?;
        let salt = random_bytes();
        let mut sealed = Vec::with_capacity(HEADER_BYTES + value.len() + TAG_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.id.0.to_be_bytes());
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(value);
        let cipher = key.derived(VALUE, &salt);
        let nonce = Nonce::assume_unique_for_key(ONLY_NONCE);
        let tag = cipher
            .seal_in_place_separate_tag(nonce, Aad::from(joined(context)), &mut sealed[HEADER_BYTES..])
            .expect("no value is as long as AES-GCM allows");
        sealed.extend_from_slice(tag.as_ref());
        Some(sealed)
    }

    /// Opens a value that was sealed for this context.
    pub(crate) fn open(&self, context: &[&[u8]], mut sealed: Vec<u8>) -> Result<Bytes, Unopened> {
        let id = key_of(&sealed).ok_or(Unopened::Broken)?;
        let key = self.key(id).ok_or(Unopened::UnknownKey(id))?;
        let (header, ciphertext) = sealed.split_at_mut(HEADER_BYTES);
        let salt = header.last_chunk::<SALT_BYTES>().expect("the header ends with the salt");
        let nonce = Nonce::assume_unique_for_key(ONLY_NONCE);
        let opened = key.derived(VALUE, salt).open_in_place(nonce, Aad::from(joined(context)), ciphertext);
        let length = opened.map_err(|_| Unopened::Broken)?.len();
        sealed.truncate(HEADER_BYTES + length);
        Ok(Bytes::from(sealed).slice(HEADER_BYTES..))
    }

    /// A seal for a new body, and its cipher; `None` where nothing is to be sealed.
    pub(crate) fn new_stream(&self) -> Option<(StreamSeal, ChunkCipher)> {
        let key = self.sealing.as_ref()?;
        let salt = random_bytes();
        let seal = StreamSeal { key: key.id, salt: u128::from_be_bytes(salt) };
        Some((seal, ChunkCipher::new(key.derived(STREAM, &salt))))
    }

    /// The cipher of a sealed body.
    pub(crate) fn stream(&self, seal: StreamSeal) -> Result<ChunkCipher, Unopened> {
        let key = self.key(seal.key).ok_or(Unopened::UnknownKey(seal.key))?;
        Ok(ChunkCipher::new(key.derived(STREAM, &seal.salt.to_be_bytes())))
    }

    /// A name in place of one that tells something: the same for the same name, and of no use without the key. `None` where
    /// nothing is to be hidden.
    pub(crate) fn hidden_name(&self, name: &str) -> Option<String> {
        let key = self.sealing.as_ref()?;
        let hash = hmac::sign(&key.names, name.as_bytes());
        Some(format!("{:x}", Bytes::copy_from_slice(hash.as_ref())))
    }
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        let secret = Salt::new(HKDF_SHA256, b"proxq encryption at rest").extract(secret);
        let mut id = [0; KEY_ID_BYTES];
        let expanded = [KEY_ID];
        let okm = secret.expand(&expanded, IdLength).expect("eight bytes are fewer than HKDF gives");
        okm.fill(&mut id).expect("as many bytes as were asked for");
        let names = [NAME];
        let names = secret.expand(&names, hmac::HMAC_SHA256).expect("32 bytes are fewer than HKDF gives").into();
        Self { id: KeyId(u64::from_be_bytes(id)), secret, names }
    }

    /// The key for one purpose and one salt.
    fn derived(&self, purpose: &[u8], salt: &[u8; SALT_BYTES]) -> LessSafeKey {
        let info = [purpose, salt];
        let okm = self.secret.expand(&info, &AES_256_GCM).expect("32 bytes are fewer than HKDF gives");
        LessSafeKey::new(UnboundKey::from(okm))
    }
}

/// How long the id of a key is.
struct IdLength;

impl ring::hkdf::KeyType for IdLength {
    fn len(&self) -> usize {
        KEY_ID_BYTES
    }
}

/// The key of a sealed value; `None` for what is none of this version.
pub(crate) fn key_of(sealed: &[u8]) -> Option<KeyId> {
    let (version, rest) = sealed.split_first()?;
    let is_whole = *version == VERSION && sealed.len() >= HEADER_BYTES + TAG_BYTES;
    let id = rest.first_chunk().filter(|_| is_whole)?;
    Some(KeyId(u64::from_be_bytes(*id)))
}

/// Each part with its length before it, so that no two contexts are the same bytes.
fn joined(context: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::with_capacity(context.iter().map(|part| 8 + part.len()).sum());
    for part in context {
        all.extend_from_slice(&(part.len() as u64).to_be_bytes());
        all.extend_from_slice(part);
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONTEXT: &[&[u8]] = &[b"request", b"a job"];

    fn sealed(keys: &Keyring, value: &[u8]) -> Vec<u8> {
        keys.seal(CONTEXT, value).expect("there is a key")
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_in_its_context_alone(value: Vec<u8>, place: prop::sample::Index, bit in 0..8_u8) {
            let keys = Keyring::of(&["one"]);
            let sealed = sealed(&keys, &value);
            prop_assert_eq!(keys.open(CONTEXT, sealed.clone()).unwrap(), value);
            for other in [&[&b"response"[..], b"a job"][..], &[b"request", b"b job"], &[b"requesta", b" job"], &[]] {
                prop_assert_eq!(keys.open(other, sealed.clone()), Err(Unopened::Broken));
            }
            let mut changed = sealed.clone();
            changed[place.index(sealed.len())] ^= 1 << bit;
            prop_assert!(keys.open(CONTEXT, changed).is_err());
            for length in 0..sealed.len() {
                prop_assert!(keys.open(CONTEXT, sealed[..length].to_vec()).is_err());
            }
        }
    }

    #[test]
    fn nothing_is_sealed_twice_in_the_same_way_and_nothing_shows() {
        let keys = Keyring::of(&["one"]);
        let value = b"a secret that is long enough to be searched for";
        let (first, second) = (sealed(&keys, value), sealed(&keys, value));
        assert_ne!(first, second);
        assert!(first.windows(8).all(|part| !value.windows(8).any(|plain| plain == part)));
    }

    #[test]
    fn former_keys_open_and_the_first_one_seals() {
        let (before, after) = (Keyring::of(&["old"]), Keyring::of(&["new", "old"]));
        let old = sealed(&before, b"x");
        assert_eq!(after.open(CONTEXT, old).unwrap(), "x");
        let new = sealed(&after, b"x");
        let id = after.ids().next().unwrap();
        assert_eq!(key_of(&new), Some(id));
        assert_eq!(before.open(CONTEXT, new), Err(Unopened::UnknownKey(id)));
        assert!(after.knows(id) && !before.knows(id));
        assert_ne!(before.ids().next(), Some(id));
        let (seal, _) = after.new_stream().unwrap();
        assert_eq!(before.stream(seal).unwrap_err(), Unopened::UnknownKey(id));
    }

    #[test]
    fn without_keys_nothing_is_sealed_or_hidden() {
        let none = Keyring::default();
        assert!(!none.seals() && none.seal(CONTEXT, b"x").is_none() && none.new_stream().is_none());
        assert_eq!(none.hidden_name("x"), None);
        assert_eq!(none.open(CONTEXT, b"\x01x".to_vec()), Err(Unopened::Broken));
    }

    #[test]
    fn a_hidden_name_depends_on_name_and_key() {
        let (one, two) = (Keyring::of(&["one"]), Keyring::of(&["two"]));
        let name = one.hidden_name("x").unwrap();
        assert_eq!((name.len(), one.hidden_name("x")), (64, Some(name.clone())));
        assert_ne!(one.hidden_name("y"), Some(name.clone()));
        assert_ne!(two.hidden_name("x"), Some(name));
    }

    #[test]
    fn the_format_is_the_one_that_is_stored() {
        // Sealed by the first version: what is stored must open for ever.
        let keys = Keyring::of(&["0123456789abcdef0123456789abcdef"]);
        assert_eq!(keys.ids().next().unwrap().to_string(), KNOWN_ID);
        let known: Vec<u8> = (0..KNOWN_VALUE.len() / 2)
            .map(|at| u8::from_str_radix(&KNOWN_VALUE[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        assert_eq!(keys.open(CONTEXT, known).unwrap(), "known");
    }

    const KNOWN_ID: &str = "3a292ff9109e8848";
    const KNOWN_VALUE: &str =
        "013a292ff9109e88482b95689501a5a201d639f4bb5969ce6f2e69631f7a1bf43d2bdca963050a44c43bc5762a96";
}
