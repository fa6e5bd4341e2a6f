//! Whether bytes that come in pieces are UTF-8.

use super::Unusable;

/// Checks the encoding of a text, a piece at a time.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// The beginning of a character that the last piece broke off in.
    broken: [u8; 4],
    length: usize,
}

impl Utf8 {
    /// Fails if the text so far cannot be the beginning of UTF-8.
    pub(super) fn check(&mut self, mut piece: &[u8]) -> Result<(), Unusable> {
        while self.length > 0 {
            let Some((byte, after)) = piece.split_first() else { return Ok(()) };
            *self.broken.get_mut(self.length).ok_or(Unusable)? = *byte;
            self.length += 1;
            piece = after;
            if is_prefix(&self.broken[..self.length])? == self.length {
                self.length = 0;
            }
        }
        let rest = &piece[is_prefix(piece)?..];
        self.broken.get_mut(..rest.len()).ok_or(Unusable)?.copy_from_slice(rest);
        self.length = rest.len();
        Ok(())
    }
}

/// How many bytes of whole characters there are before the end, or before one that breaks off there.
fn is_prefix(bytes: &[u8]) -> Result<usize, Unusable> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.len()),
        Err(error) if error.error_len().is_none() => Ok(error.valid_up_to()),
        Err(_) => Err(Unusable),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pieces: &[&[u8]]) -> Option<usize> {
        let mut utf8 = Utf8::default();
        pieces.iter().all(|piece| utf8.check(piece).is_ok()).then_some(utf8.length)
    }

    #[test]
    fn a_character_may_be_cut_anywhere() {
        let text = "aß€🦀";
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(check(&bytes), Some(0));
        assert_eq!(check(&bytes[..9]), Some(3));
        for at in 0..=text.len() {
            let (left, right) = text.as_bytes().split_at(at);
            assert_eq!(check(&[left, &[], right]), Some(0), "cut at {at}");
        }
        for bad in [&b"\x80"[..], b"\xC0\x80", b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"\xE2\x82x", b"\xFF"] {
            assert_eq!(check(&[bad]), None);
            assert_eq!(check(&bad.chunks(1).collect::<Vec<_>>()), None);
        }
    }

    proptest! {
        #[test]
        fn pieces_are_judged_as_the_whole_is(
            bytes in prop::collection::vec(prop::sample::select(&b"a\x80\xBF\xA0\x90\xC2\xE0\xED\xE2\xF0\xF4\xFF"[..]), 0..12),
            size in 1usize..5,
        ) {
            let whole = std::str::from_utf8(&bytes).is_ok();
            prop_assert_eq!(check(&bytes.chunks(size).collect::<Vec<_>>()) == Some(0), whole);
        }
    }
}
