//! A string in a JSON document (RFC 8259 §7), from its opening quote on.

use super::Unusable;

/// The longest string that anybody compares with: `stream_format`.
const KEPT: usize = 13;

/// A string while it is read. Keeps no more of it than is compared.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// The first bytes, unescaped.
    start: [u8; KEPT],
    /// How long it is, unescaped.
    length: usize,
    place: Place,
    /// The first half of a character that is written as two `\u` escapes (a leading surrogate).
    leading: Option<u16>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// Characters, an escape or the closing quote.
    #[default]
    Characters,
    /// What follows a backslash.
    Escape,
    /// Digits of a `\u` escape; `unit` holds those read before.
    Digits { missing: u8, unit: u16 },
    /// The backslash of a character's second half.
    TrailingEscape,
    /// The `u` of a character's second half.
    TrailingU,
}

impl Text {
    /// Reads on; what follows the closing quote, if it was found.
    pub(super) fn read<'a>(&mut self, mut bytes: &'a [u8]) -> Result<Option<&'a [u8]>, Unusable> {
        while let Some((byte, after)) = bytes.split_first() {
            if !matches!(self.place, Place::Characters) {
                self.place = self.unescape(*byte).ok_or(Unusable)?;
                bytes = after;
                continue;
            }
            let (run, end) = bytes.split_at(memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len()));
            // The least of many bytes is found faster than the first that is too small.
            if run.iter().min().is_some_and(|least| *least < b' ') {
                return Err(Unusable);
            }
            self.keep(run);
            match end.split_first() {
                Some((b'"', after)) => return Ok(Some(after)),
                Some((_, after)) => {
                    self.place = Place::Escape;
                    bytes = after;
                }
                None => break,
            }
        }
        Ok(None)
    }

    /// Whether the string, now that it has ended, reads like this.
    pub(super) fn is(&self, expected: &[u8]) -> bool {
        self.start.get(..self.length) == Some(expected)
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(room) = self.start.get_mut(self.length..) {
            let kept = room.len().min(bytes.len());
            room[..kept].copy_from_slice(&bytes[..kept]);
        }
        self.length = self.length.saturating_add(bytes.len());
    }

    /// Takes a byte of an escape; `None` if it does not belong there.
    fn unescape(&mut self, byte: u8) -> Option<Place> {
        match self.place {
            Place::Escape if byte == b'u' => return Some(Place::Digits { missing: 4, unit: 0 }),
            Place::Characters | Place::Escape => self.keep(&[unescaped(byte)?]),
            Place::TrailingEscape => return (byte == b'\\').then_some(Place::TrailingU),
            Place::TrailingU => return (byte == b'u').then_some(Place::Digits { missing: 4, unit: 0 }),
            Place::Digits { missing, unit } => {
                let digit = u16::try_from(char::from(byte).to_digit(16)?).ok()?;
                let unit = (unit << 4) | digit;
                return if missing > 1 { Some(Place::Digits { missing: missing - 1, unit }) } else { self.take(unit) };
            }
        }
        Some(Place::Characters)
    }

    /// Takes what a `\u` escape stands for; `None` if it is half of a character without the other.
    fn take(&mut self, unit: u16) -> Option<Place> {
        let leading = self.leading.take();
        if leading.is_none() && matches!(unit, 0xD800..=0xDBFF) {
            self.leading = Some(unit);
            return Some(Place::TrailingEscape);
        }
        let character = char::decode_utf16(leading.into_iter().chain([unit])).next()?.ok()?;
        self.keep(character.encode_utf8(&mut [0; 4]).as_bytes());
        Some(Place::Characters)
    }
}

/// What a backslash and this letter stand for.
fn unescaped(letter: u8) -> Option<u8> {
    match letter {
        b'"' | b'\\' | b'/' => Some(letter),
        b'b' => Some(b'\x08'),
        b'f' => Some(b'\x0C'),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The string as far as it was kept, its length, and what follows.
    fn read(text: &str, size: usize) -> Option<(String, usize, usize)> {
        let mut string = Text::default();
        let mut before = 0;
        for piece in text.as_bytes().chunks(size) {
            if let Some(after) = string.read(piece).ok()? {
                let kept = &string.start[..string.length.min(KEPT)];
                return Some((
                    String::from_utf8(kept.to_vec()).unwrap(),
                    string.length,
                    before + piece.len() - after.len(),
                ));
            }
            before += piece.len();
        }
        None
    }

    #[test]
    fn escapes_are_undone_wherever_they_are_cut() {
        for (text, expected) in [
            ("stream\"", "stream"),
            (r#"str\u0065am""#, "stream"),
            (r#"\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#"\u00Df\uD83e\uDD80\u20ac""#, "ß🦀€"),
            ("\u{7f}ß🦀\"", "\u{7f}ß🦀"),
            ("\"", ""),
        ] {
            for size in 1..=text.len() {
                let expected = Some((expected.to_owned(), expected.len(), text.len()));
                assert_eq!(read(text, size), expected, "{text} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_long_string_is_only_counted() {
        assert_eq!(read("stream_format_x\" tail", 4), Some(("stream_format".to_owned(), 15, 16)));
        let mut string = Text::default();
        string.keep(b"stream_format!");
        assert!(!string.is(b"stream_format"));
    }

    #[test]
    fn what_is_no_string_fails() {
        for text in [
            "a\nb\"",
            "a\u{0}\"",
            r#"\x""#,
            r#"\u12g4""#,
            r#"\u+123""#,
            r#"\uD800""#,
            r#"\uD800x""#,
            r#"\uD800\n""#,
            r#"\uD800\u0041""#,
            r#"\uD800\uD800\uDC00""#,
            r#"\uDC00""#,
            r#"\U0041""#,
        ] {
            for size in 1..=text.len() {
                assert_eq!(read(text, size), None, "{text:?} in pieces of {size}");
            }
        }
    }
}
