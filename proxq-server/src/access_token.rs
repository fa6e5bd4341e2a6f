//! Access tokens by themselves: the form of those that proxq makes, what is wrong with one, and the digest by which it is known.

use std::fmt;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::random::random_bytes;

/// What the tokens that proxq makes begin with, so that scanners for secrets recognise them.
const PREFIX: &str = "proxq_";
/// So many digits hold 32 bytes: 62⁴³ is just above 2²⁵⁶.
const RANDOM_DIGITS: usize = 43;
/// So many digits hold a CRC-32: 62⁶ is above 2³².
const CHECK_DIGITS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The shortest token: 16 random letters and digits are beyond guessing over a network.
const BYTES_MIN: usize = 16;

/// What a written hash may begin with.
const HASH_PREFIX: &str = "sha256:";

/// The SHA-256 of a token. A token is kept and compared only so.
#[derive(Clone, Copy)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of a token.
    pub(crate) fn of(token: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Reads a digest as [`TokenDigest::written`] gives it; `sha256:` may be left out.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix(HASH_PREFIX).unwrap_or(text);
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("is not a SHA-256: 64 hexadecimal digits, as `proxq token new` prints them".to_owned());
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).expect("hexadecimal digits are ASCII");
            *byte = u8::from_str_radix(pair, 16).expect("two hexadecimal digits are a byte");
        }
        let digest = Self(digest);
        if ["", "\n"].into_iter().any(|nothing| digest == Self::of(nothing)) {
            return Err(
                "is the SHA-256 of nothing: what it was made from was empty, perhaps a variable that is not set"
                    .to_owned(),
            );
        }
        Ok(digest)
    }

    /// The digest as a configuration has it: `sha256:` and 64 hexadecimal digits.
    pub(crate) fn written(&self) -> String {
        format!("{HASH_PREFIX}{:x}", Bytes::copy_from_slice(&self.0))
    }

    /// The digest itself, which stands for the token in keyed hashes.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ConstantTimeEq for TokenDigest {
    fn ct_eq(&self, other: &Self) -> Choice {
        // By words: each comparison is shielded from the optimiser, which costs more than the comparison.
        let (own, other) = (words(&self.0), words(&other.0));
        let differences = own.iter().zip(other).fold(0, |differences, (a, b)| differences | (a ^ b));
        differences.ct_eq(&0)
    }
}

impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for TokenDigest {}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A digest as four numbers.
fn words(digest: &[u8; 32]) -> [u64; 4] {
    let (words, _) = digest.as_chunks::<8>();
    [words[0], words[1], words[2], words[3]].map(u64::from_ne_bytes)
}

/// Makes a token that nobody has had before: 32 random bytes of the operating system's generator, and digits that check them.
pub(crate) fn make() -> String {
    let token = format!("{PREFIX}{}", base62(&random_bytes::<32>(), RANDOM_DIGITS));
    let check = check_digits(&token);
    token + &check
}

/// Says what is wrong with a token that somebody wants to use, as a fragment that does not show it.
pub(crate) fn check(token: &str) -> Result<(), String> {
    check_length(token)?;
    if !token.starts_with(PREFIX) {
        return Ok(());
    }
    let end = PREFIX.len() + RANDOM_DIGITS;
    let is_whole =
        token.len() == end + CHECK_DIGITS && token[PREFIX.len()..].bytes().all(|byte| DIGITS.contains(&byte));
    if !is_whole {
        let length = end + CHECK_DIGITS;
        return Err(format!(
            "begins with {PREFIX} as those of `proxq token new`, but is not one: they have {length} characters, letters and digits"
        ));
    }
    if check_digits(&token[..end]) != token[end..] {
        return Err("is mistyped: its last six characters do not fit the others".to_owned());
    }
    Ok(())
}

/// Says what is wrong with a token that cannot be sent, or that can be guessed.
pub(crate) fn check_length(token: &str) -> Result<(), String> {
    if token.len() < BYTES_MIN {
        return Err(format!("has {} characters, too few: a token has at least {BYTES_MIN}", token.len()));
    }
    if token.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("has a character that cannot be sent: a token has letters, digits and signs of ASCII".to_owned());
    }
    Ok(())
}

/// The digits that check a token which lacks them.
fn check_digits(token: &str) -> String {
    base62(&crc32fast::hash(token.as_bytes()).to_be_bytes(), CHECK_DIGITS)
}

/// A number, most significant byte first, in so many digits.
fn base62(bytes: &[u8], count: usize) -> String {
    let (mut number, mut digits) = (bytes.to_vec(), Vec::with_capacity(count));
    for _ in 0..count {
        let mut rest = 0;
        for byte in &mut number {
            let value = rest * 256 + usize::from(*byte);
            *byte = u8::try_from(value / 62).expect("the rest of a division by 62 is below 62");
            rest = value % 62;
        }
        digits.push(char::from(DIGITS[rest]));
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_that_is_made_is_one_and_no_two_are_the_same() {
        let (token, other) = (make(), make());
        assert_eq!((token.len(), check(&token)), (55, Ok(())));
        assert!(token.starts_with("proxq_") && token != other, "{token}");
    }

    #[test]
    fn one_wrong_character_is_noticed() {
        let token = make();
        for at in PREFIX.len()..token.len() {
            let other = if token.as_bytes()[at] == b'x' { "y" } else { "x" };
            let mut mistyped = token.clone();
            mistyped.replace_range(at..=at, other);
            assert!(check(&mistyped).unwrap_err().contains("mistyped"), "{mistyped}");
        }
        let foreign = format!("{}-{}", &token[..10], &token[11..]);
        for cut in [&token[..54], &token[..40], &format!("{token}x"), &foreign] {
            assert!(check(cut).unwrap_err().contains("55 characters"), "{cut}");
        }
    }

    #[test]
    fn a_token_of_ones_own_is_long_and_can_be_sent() {
        assert_eq!(check("0123456789abcdef"), Ok(()));
        assert!(check("0123456789abcde").unwrap_err().contains("too few"));
        for bad in ["0123456789 abcdef", "0123456789abcdef\n", "0123456789abcdefä"] {
            assert!(check(bad).unwrap_err().contains("cannot be sent"), "{bad:?}");
        }
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = TokenDigest::of("0123456789abcdef");
        let written = digest.written();
        assert_eq!(written, "sha256:9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f");
        for text in [&written, &written[7..], &written[7..].to_uppercase()] {
            assert_eq!(TokenDigest::parse(text).unwrap(), digest);
        }
        for bad in ["", "sha256:", &written[..70], &written.replace('9', "g"), &format!("{written}0")] {
            assert!(TokenDigest::parse(bad).unwrap_err().contains("64 hexadecimal digits"), "{bad}");
        }
        assert_eq!(format!("{digest:?}"), "***");
    }

    #[test]
    fn the_digest_of_nothing_is_that_of_no_token() {
        for nothing in ["", "\n"] {
            let refused = TokenDigest::parse(&TokenDigest::of(nothing).written());
            assert!(refused.unwrap_err().contains("SHA-256 of nothing"), "{nothing:?}");
        }
    }

    #[test]
    fn digests_are_the_same_in_every_bit_or_not_at_all() {
        let digest = TokenDigest::of("0123456789abcdef");
        for bit in 0..256 {
            let mut other = digest;
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert!(other != digest, "bit {bit}");
        }
    }

    #[test]
    fn numbers_are_written_with_62_digits() {
        assert_eq!((base62(&[0], 2), base62(&[61], 2), base62(&[62], 2)), ("00".into(), "0z".into(), "10".into()));
        assert_eq!(base62(&[255; 32], RANDOM_DIGITS).len(), RANDOM_DIGITS);
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = (check(&text), TokenDigest::parse(&text));
        }
    }
}
