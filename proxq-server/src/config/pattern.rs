//! Patterns on paths: regular expressions in RE2's notation, as Go's `regexp` reads it, matched in linear time.
//!
//! A pattern sees characters. Where a path is not UTF-8, each byte that belongs to no character counts as the character
//! with its number, so that `.` and `\xff` match it. The notation is translated in `pattern/re2.rs`.

mod re2;

use std::borrow::Cow;

use regex::bytes::RegexSet;

use self::re2::translate;

/// Patterns, of which any may match.
#[derive(Clone, Debug)]
pub struct Patterns {
    written: Vec<String>,
    set: RegexSet,
}

/// Why patterns cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// One of them is not a pattern.
    #[error("{0}")]
    Syntax(String),
    /// They take too much memory, alone or together.
    #[error("more than {0} bytes of memory are needed to match")]
    TooLarge(usize),
}

impl Patterns {
    /// Reads patterns.
    ///
    /// # Errors
    /// What is wrong with the first bad one.
    pub fn new(patterns: &[String]) -> Result<Self, PatternError> {
        let translated = patterns.iter().map(|pattern| translate(pattern)).collect::<Result<Vec<_>, _>>();
        let set = RegexSet::new(translated.map_err(PatternError::Syntax)?).map_err(|error| of_library(&error))?;
        Ok(Self { written: patterns.to_vec(), set })
    }

    /// The patterns as they were written.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(String::as_str)
    }

    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// Whether any pattern matches somewhere in a percent-decoded path.
    #[must_use]
    pub fn match_path(&self, path: &[u8]) -> bool {
        self.set.is_match(characters(path).as_bytes())
    }
}

impl Default for Patterns {
    fn default() -> Self {
        Self { written: Vec::new(), set: RegexSet::empty() }
    }
}

/// The characters of a path. A byte that belongs to none becomes the character with its number.
fn characters(path: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(path) {
        return Cow::Borrowed(text);
    }
    let mut text = String::new();
    for chunk in path.utf8_chunks() {
        text += chunk.valid();
        text.extend(chunk.invalid().iter().map(|&byte| char::from(byte)));
    }
    Cow::Owned(text)
}

/// The regex library draws the pattern over several lines and says what is wrong in the last.
fn of_library(error: &regex::Error) -> PatternError {
    if let regex::Error::CompiledTooBig(limit) = error {
        return PatternError::TooLarge(*limit);
    }
    let message = error.to_string();
    let line = message.trim_end().lines().last().unwrap_or_default();
    PatternError::Syntax(line.strip_prefix("error: ").unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &[u8]) -> bool {
        let patterns = Patterns::new(&[pattern.to_owned()]).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        patterns.match_path(path)
    }

    fn refused(pattern: &str) -> String {
        match Patterns::new(&[pattern.to_owned()]) {
            Ok(_) => panic!("{pattern} is accepted"),
            Err(error) => error.to_string(),
        }
    }

    /// A pattern, paths that it matches, paths that it does not match. What Go's `regexp.MatchString` says of the same.
    const EXPECTED: [(&str, &[&str], &[&str]); 52] = [
        // characters beyond ASCII
        ("^/x/.$", &["/x/a", "/x/ü", "/x/世", "/x/😀"], &["/x/", "/x/ab", "/x/\n"]),
        ("^/[äöü]$", &["/ä", "/ü"], &["/a", "/äö", "/Ã"]),
        ("^/[^ü]$", &["/ä", "/u", "/\n"], &["/ü", "/"]),
        ("^/[α-ω]+$", &["/αβγ"], &["/ΑΒΓ", "/abc"]),
        ("(?i)^/straße$", &["/STRAßE", "/straße"], &["/strasse"]),
        ("(?i)^/[äöü]$", &["/Ä", "/ö"], &["/a"]),
        ("(?i)^/k$", &["/K", "/\u{212a}"], &["/x"]),
        ("^/ü{2}$", &["/üü"], &["/ü"]),
        // classes with a name
        (r"^/\pL+$", &["/abc", "/äöü", "/世"], &["/1", "/a1"]),
        (r"^/\p{Greek}$", &["/α"], &["/a"]),
        (r"^/\p{^Greek}$", &["/a"], &["/α"]),
        (r"^/\P{Greek}$", &["/a"], &["/α"]),
        (r"^/\P{^Greek}$", &["/α"], &["/a"]),
        (r"^/[\p{Lu}\d]$", &["/A", "/Ä", "/7"], &["/a", "/ä"]),
        (r"^/[^\pL]$", &["/7"], &["/ä"]),
        (r"^/\p{Any}$", &["/ä", "/\n"], &["/"]),
        ("^/[[:alpha:]_]+$", &["/a_b"], &["/ä", "/1"]),
        ("^/[[:^alpha:]]$", &["/ä", "/1"], &["/a"]),
        ("^/[[:space:]]$", &["/\u{b}", "/ "], &["/a"]),
        // classes of Perl are of ASCII
        (r"^/\w+$", &["/abc_1"], &["/ä", "/\u{17f}"]),
        (r"^/\W$", &["/ä", "/-"], &["/a", "/_"]),
        (r"^/\d$", &["/7"], &["/٣"]),
        (r"^/\D$", &["/٣", "/a"], &["/7"]),
        (r"^/\s$", &["/ ", "/\t", "/\u{c}"], &["/\u{b}", "/\u{a0}"]),
        (r"^/\S$", &["/\u{b}", "/\u{a0}"], &["/ "]),
        (r"^/[^\s\d]$", &["/a", "/ä"], &["/ ", "/7"]),
        (r"^/[\D]$", &["/a"], &["/7"]),
        (r"a\b", &["/a", "/aä"], &["/ab"]),
        (r"/\b", &["/a"], &["/ä", "/"]),
        (r"a\Bb", &["/ab"], &["/a"]),
        (r"\bä", &["/aä"], &["/ä"]),
        // literals
        (r"^/\Qa.b*c\E+$", &["/a.b*c", "/a.b*cc"], &["/axb*c"]),
        (r"^/\Qa[b", &["/a[b"], &["/ab"]),
        (r"^/\Q\E?a$", &["/a", "a"], &["/b"]),
        ("^/{id}$", &["/{id}"], &["/id"]),
        ("^/a{,2}$", &["/a{,2}"], &["/aa"]),
        ("^/a{01}$", &["/a{01}"], &["/a"]),
        ("^/a{2}b{1,}c{0,1}$", &["/aab", "/aabbc"], &["/ab"]),
        (r"^/\{\}\<\>\_\-\/\ $", &["/{}<>_-/ "], &["/"]),
        (r"^/\x41\x{e4}\x{1F600}$", &["/Aä😀"], &["/A"]),
        (r"^/\101\07$", &["/A\u{7}"], &["/101"]),
        (r"^/\a\f\t\n\r\v$", &["/\u{7}\u{c}\t\n\r\u{b}"], &["/"]),
        // classes hold no classes and no operators
        ("^/[[]$", &["/["], &["/"]),
        ("^/[a&&b]+$", &["/a&b"], &["/c"]),
        ("^/[!--c~~]+$", &["/-c~!"], &["/.", "/b"]),
        ("^/[]a-]+$", &["/]a-"], &["/b"]),
        (r"^/[\]\[\-\^\x30-\071]+$", &["/][-^059"], &["/:"]),
        // the rest
        (r"\A/a\z", &["/a"], &["/a\n", "/aa"]),
        ("^/a$", &["/a"], &["/a\n"]),
        ("(?ms)^b.c$", &["/a\nb\nc\nd"], &["/b.c"]),
        ("(?U)^/(?P<1a>a+?)(?<n>b|)(?i:C)$", &["/aabc", "/aC"], &["/AC"]),
        ("^/(|a)*$", &["/", "/aa"], &["/b"]),
    ];

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, matching, others) in EXPECTED {
            for path in matching {
                assert!(matches(pattern, path.as_bytes()), "{pattern} matches {path:?}");
            }
            for path in others {
                assert!(!matches(pattern, path.as_bytes()), "{pattern} does not match {path:?}");
            }
        }
    }

    #[test]
    fn a_byte_of_no_character_counts_as_the_character_with_its_number() {
        for (pattern, path) in [
            ("^/x/.$", &b"/x/\xff"[..]),
            ("^/x/..$", b"/x/\xc3\xa4\xff"),
            ("^/\\xff$", b"/\xff"),
            ("^/[^ä]$", b"/\xff"),
            ("^/[äöü]$", b"/\xe4"),
            ("^/ä/", b"/\xc3\xa4/\xff"),
            ("^/\\W$", b"/\xff"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path:?}");
        }
        assert!(!matches("^/\\w$", b"/\xff"));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_reason() {
        for (pattern, reason) in [
            ("(", "unclosed group"),
            ("a(?=b)", "look-around, including look-ahead and look-behind, is not supported"),
            ("(?<!b)", "look-around, including look-ahead and look-behind, is not supported"),
            (r"\8", "backreferences are not supported"),
            ("[a", "[ is not closed by ]"),
            ("[]", "[ is not closed by ]"),
            ("[b-a]", "b-a is not a range: its end comes before its beginning"),
            (
                "[[:letter:]]",
                "[:letter:] is not a class; these are alnum, alpha, ascii, blank, cntrl, digit, graph, \
                              lower, print, punct, space, upper, word and xdigit",
            ),
            ("(?x) a", "the flags are i, m, s and U; x is none of them"),
            (r"\C", r"\C is not supported: patterns see characters; write . with the flag s, as in (?s:.)"),
            (r"[\b]", r"\b is not supported inside [ ]"),
            (r"\x{D800}", "\"D800\" is not the number of a character"),
            (r"\x4", "\"4\" is not the number of a character"),
            (r"\p{L", r"\p{ is not closed by }"),
            ("a\\", r"\ at the end escapes nothing"),
            (r"\p{Klingon}", "Unicode property not found"),
        ] {
            assert!(refused(pattern).contains(reason), "{pattern}: {}", refused(pattern));
        }
        let large = refused(r"((\pL{100}){100}){100}");
        assert_eq!(large, "more than 10485760 bytes of memory are needed to match");
    }

    proptest! {
        #[test]
        fn a_quoted_text_matches_itself_and_nothing_else(text in "(\\PC){0,8}", other in "(\\PC){0,8}") {
            prop_assume!(!text.contains("\\E"));
            let pattern = format!("^\\Q{text}\\E$");
            prop_assert!(matches(&pattern, text.as_bytes()));
            prop_assert_eq!(matches(&pattern, other.as_bytes()), other == text);
        }

        #[test]
        fn a_class_matches_its_members(members in "[a-zäöü&~|.\\[*+?({$-]{1,6}", path in "[a-zäöü&~|.\\[*+?({$-]") {
            // A - between two members makes a range, so it stands at the end.
            let hyphen = if members.contains('-') { "-" } else { "" };
            let pattern = format!("^[{}{hyphen}]$", members.replace('-', ""));
            prop_assume!(pattern != "^[]$");
            prop_assert_eq!(matches(&pattern, path.as_bytes()), members.contains(&path));
        }

        #[test]
        fn any_bytes_are_as_many_characters_as_a_dot_counts(path: Vec<u8>) {
            let pattern = format!("^(?s:.){{{}}}$", characters(&path).chars().count());
            prop_assert!(matches(&pattern, &path));
        }

        #[test]
        fn no_pattern_panics(pattern in "[\\[\\]\\\\(){}?*+a-cQE0-9xpPdDbBu:^,<>=!ä-]{0,16}") {
            let _ = Patterns::new(&[pattern]);
        }
    }
}
