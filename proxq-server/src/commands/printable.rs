//! Texts that may be shown on a terminal. Paths and errors come from clients and upstreams: a control character in one could
//! change what the terminal shows, or what it does.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character may reach a terminal. Those that change the direction of a text make it read as another.
fn is_safe(character: char) -> bool {
    let is_directional = matches!(
        character,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    );
    !character.is_control() && !is_directional
}

/// The text with each character that must not reach a terminal written as an escape, such as `\u{1b}`.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |line, character| write!(line, "{}", character.escape_default()))
}

/// JSON in which these characters are written as JSON writes them, so that it means the same. JSON has them only within texts.
pub(super) fn printable_json(json: &str) -> Cow<'_, str> {
    // The largest of them is U+FEFF: none takes two units of UTF-16.
    escaped(json, |line, character| write!(line, "\\u{:04x}", u32::from(character)))
}

fn escaped(text: &str, escape: impl Fn(&mut String, char) -> std::fmt::Result) -> Cow<'_, str> {
    if text.chars().all(is_safe) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_safe(character) {
            line.push(character);
        } else {
            escape(&mut line, character).expect("a string takes whatever is written to it");
        }
    }
    line.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_all_else_is_kept() {
        for (text, shown) in [
            ("/grüße/日本?\\\"", "/grüße/日本?\\\""),
            ("a\u{1b}[2Jb\r\n", "a\\u{1b}[2Jb\\r\\n"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("abc\u{202e}def", "abc\\u{202e}def"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    proptest! {
        #[test]
        fn json_means_the_same_and_is_safe(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let shown = printable_json(&json);
            prop_assert!(shown.chars().all(is_safe));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}
