//! Why a text is not YAML, in the words of whoever writes configuration files rather than in those of a parser.

use std::borrow::Cow;

use serde_saphyr::granit_parser::ErrorKind;
use serde_saphyr::{Error, ExternalMessageSource, MessageFormatter, UserMessageFormatter};

use super::{Place, place};

/// Where a text is not YAML, and why.
pub(super) fn unreadable(error: &Error, text: &str) -> (Option<Place>, String) {
    let at = error.location().map(place);
    let mut error = error;
    while let Error::AliasError { error: behind, .. } = error {
        error = behind;
    }
    let lines = Lines { lines: text.lines().collect(), at: at.unwrap_or(Place { line: 1, column: 1, width: 1 }) };
    let (at, message) = match parser_error(error) {
        Some(kind) => match lines.tab().filter(|_| is_about_layout(kind)) {
            Some(tab) => (Some(tab), Some(TAB.into())),
            None => (at, of_parser(kind, &lines)),
        },
        None => (at, of_reader(error)),
    };
    let message = message.unwrap_or_else(|| UserMessageFormatter.format_message(error));
    let has_variable = lines.line().contains("${");
    let hint = if has_variable { "; a value with ${…} must be quoted inside [ ] and { }" } else { "" };
    (at, format!("not readable as YAML: {message}{hint}"))
}

const TAB: &str = "a tab stands at the beginning of this line; indent it with spaces";
const DASH: &str = "a list item begins with a dash and a space; the space is missing in";
const COLUMNS: &str = "keys that belong together begin in the same column";

/// What the parser found, if it was the parser.
fn parser_error(error: &Error) -> Option<&ErrorKind> {
    let Error::ExternalMessage { source, .. } = error else { return None };
    let ExternalMessageSource::Parser(error) = &**source else { return None };
    Some(error.kind())
}

/// Whether a tab in the indentation explains it.
fn is_about_layout(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::InvalidIndentation
            | ErrorKind::MappingValueNotAllowed
            | ErrorKind::ExpectedBlockMappingKey
            | ErrorKind::ExpectedBlockSequenceEntry
            | ErrorKind::ExpectedDocumentStart
            | ErrorKind::SimpleKeyExpected
    )
}

/// A mistake that the parser found; `None` where its own words have to do.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is rare is told in the library's words")]
fn of_parser(kind: &ErrorKind, lines: &Lines<'_>) -> Option<Cow<'static, str>> {
    let message = match kind {
        ErrorKind::MappingValueNotAllowed => return Some(unexpected_colon(lines).into()),
        ErrorKind::ExpectedBlockSequenceEntry | ErrorKind::ExpectedBlockMappingKey
            if lines.lacks_space(lines.at.line) =>
        {
            return Some(format!("{DASH} this line").into());
        }
        ErrorKind::ExpectedBlockSequenceEntry => {
            return Some(
                format!("expected another item of the list above (`- `), or a key in the column of its last item's keys; {COLUMNS}")
                    .into(),
            );
        }
        ErrorKind::ExpectedBlockMappingKey if lines.line().trim_start().starts_with("- ") => {
            "expected a key, found a list item (`- `); the items of a list stand under a key of their own"
        }
        ErrorKind::ExpectedBlockMappingKey => {
            return Some(format!("expected a key in the column of the keys above; {COLUMNS}").into());
        }
        ErrorKind::ExpectedDocumentStart if lines.begins_with_bracket() => {
            "expected nothing more: the file begins with [ or {, and ends with the bracket that closes it"
        }
        ErrorKind::ExpectedDocumentStart => {
            return Some(format!("expected this line in the column of the first key of the file; {COLUMNS}").into());
        }
        ErrorKind::SimpleKeyExpected => "expected `key: value`, but this line has no `:` with a space behind it",
        ErrorKind::UnclosedQuotedScalar => "the quote that opens here is not closed",
        ErrorKind::DocumentIndicatorInQuotedScalar => "--- stands inside quotes; a quote above is not closed",
        ErrorKind::InvalidTrailingSingleQuotedScalar => {
            "expected nothing behind the closing quote; inside '…' a ' is written as '', and a quote above may not be closed"
        }
        ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            "expected nothing behind the closing quote; inside \"…\" a \" is written as \\\", and a comma or a quote may be \
             missing before"
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            return Some(format!("the {open} that opens here is not closed").into());
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            return Some(format!("the {open} that opens here is closed by {close}").into());
        }
        ErrorKind::MisplacedFlowCollectionEnd => "this bracket closes nothing",
        ErrorKind::ExpectedFlowSequenceSeparator | ErrorKind::InvalidColonPlacement => {
            "expected a comma or a closing ]; one of them is missing before this"
        }
        ErrorKind::ExpectedFlowMappingSeparator => {
            "expected a comma or a closing }; one of them is missing before this"
        }
        ErrorKind::BlockEntryInFlowCollection => "inside [ ] and { } items are separated by commas, and have no dash",
        ErrorKind::BlockSequenceEntryNotAllowed => "a list begins on a line of its own; write `- ` there",
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => {
            return Some(
                format!("the control character U+{:04X} may not stand in a file", u32::from(*character)).into(),
            );
        }
        ErrorKind::UnexpectedCharacter { character } => {
            return Some(format!("a value that begins with {character} must be quoted").into());
        }
        ErrorKind::PlainScalarStartsWithDashFlowIndicator => "a value that begins with a dash must be quoted",
        ErrorKind::MissingAnchorOrAliasName => {
            "a name is missing behind this sign, which makes an anchor (&) or stands for one (*); quote a value that begins with it"
        }
        ErrorKind::UnknownQuotedScalarEscape => {
            "inside \"…\" a \\ begins an escape, and there is none like this; write \\\\, or quote the value with '…'"
        }
        ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidLowSurrogateHexEscape
        | ErrorKind::InvalidLowSurrogate
        | ErrorKind::MissingLowSurrogate
        | ErrorKind::UnpairedLowSurrogate
        | ErrorKind::InvalidUnicodeEscape => "an escape (\\x, \\u or \\U) inside these quotes is that of no character",
        ErrorKind::CommentNotSeparated => "a space is missing before the # of this comment",
        ErrorKind::CommentInterceptedScalar => "a comment stands between the lines of one value",
        ErrorKind::InvalidBlockScalarHeader => {
            "expected the end of the line behind | or >; the text begins on the next"
        }
        ErrorKind::InvalidBlockScalarIndent => "this line is indented less than the text of | or > that it belongs to",
        ErrorKind::BomInsideDocument => "a byte-order mark (U+FEFF) stands inside the file",
        ErrorKind::RecursionLimitExceeded => "it is nested deeper than any configuration",
        _ => return None,
    };
    Some(message.into())
}

/// A `: ` where no key can be: in a value without quotes, or in a line that the line above makes part of its value.
fn unexpected_colon(lines: &Lines<'_>) -> String {
    if lines.before().contains(": ") {
        return "a value that has `: ` in it must be quoted".to_owned();
    }
    match lines.above() {
        Some(above) if lines.lacks_space(above) => format!("{DASH} line {above}"),
        Some(above) if !lines.has_colon(above) => {
            format!("expected `key: value` in line {above}, which has no `:` with a space behind it")
        }
        Some(above) => {
            format!("this line is indented further than line {above}, whose key has its value already; {COLUMNS}")
        }
        None => "expected a key before this `:`".to_owned(),
    }
}

/// A mistake that the reader of the parser's events found; `None` where its own words have to do.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is rare is told in the library's words")]
fn of_reader(error: &Error) -> Option<Cow<'static, str>> {
    let message = match error {
        Error::UnknownAnchor { .. } => {
            "a * stands for the value that has an anchor (&) of the same name, and there is none above; quote a value that \
             begins with *"
        }
        Error::UnsupportedTag { .. } => {
            "a tag (!…) stands here, and there is none in a configuration; quote a value that begins with !"
        }
        Error::Unexpected { expected: "string scalar", .. } => {
            "expected a key, found a list or a mapping; quote a value that begins with [ or {"
        }
        Error::NullIntoString { .. } => "expected a key before the `:`",
        Error::MergeValueNotMapOrSeqOfMaps { .. } => {
            "<< takes the keys of a mapping, such as that of an anchor: `<<: *name`"
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => "this * is part of the value that it stands for",
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            "it has more values, or nests them deeper, than any configuration"
        }
        _ => return None,
    };
    Some(message.into())
}

/// The text, and where the mistake is in it.
struct Lines<'t> {
    lines: Vec<&'t str>,
    at: Place,
}

impl<'t> Lines<'t> {
    /// The line with this number.
    fn get(&self, number: usize) -> &'t str {
        number.checked_sub(1).and_then(|index| self.lines.get(index)).copied().unwrap_or_default()
    }

    fn line(&self) -> &'t str {
        self.get(self.at.line)
    }

    /// The line up to the mistake.
    fn before(&self) -> &'t str {
        let line = self.line();
        let end = line.char_indices().nth(self.at.column.saturating_sub(1)).map_or(line.len(), |(end, _)| end);
        &line[..end]
    }

    /// The number of the next line above that is neither empty nor a comment.
    fn above(&self) -> Option<usize> {
        let says_something = |number: &usize| {
            let line = self.get(*number).trim_start();
            !line.is_empty() && !line.starts_with('#')
        };
        (1..self.at.line).rev().find(says_something)
    }

    /// Whether a line has a key.
    fn has_colon(&self, number: usize) -> bool {
        let line = self.get(number).trim_end();
        line.contains(": ") || line.ends_with(':')
    }

    /// Whether a line begins with a dash and no space behind it.
    fn lacks_space(&self, number: usize) -> bool {
        let line = self.get(number).trim_start();
        line.starts_with('-') && !line.starts_with("- ") && !line.starts_with("--") && line.len() > 1
    }

    /// Whether the text begins with a list or a mapping in brackets.
    fn begins_with_bracket(&self) -> bool {
        let first = (1..=self.lines.len()).map(|number| self.get(number).trim_start());
        let mut first = first.filter(|line| !line.is_empty() && !line.starts_with('#'));
        first.next().is_some_and(|line| line.starts_with(['[', '{']))
    }

    /// A tab in the indentation of the line, or of the next one: the parser may have stopped before it.
    fn tab(&self) -> Option<Place> {
        [self.at.line, self.at.line.saturating_add(1)].into_iter().find_map(|line| {
            let text = self.get(line);
            let indentation = &text[..text.len() - text.trim_start().len()];
            let column = indentation.chars().position(|character| character == '\t')?;
            Some(Place { line, column: column + 1, width: 1 })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    /// A text that is not YAML, the place of the mistake, and what is said of it.
    const TOLD: [(&str, (usize, usize), &str); 49] = [
        // tabs
        ("limits:\n\tidleTimeout: 1s\n", (2, 1), "a tab stands at the beginning of this line; indent it with spaces"),
        ("upstreams:\n\t- prefix: /\n", (2, 1), "a tab stands at the beginning of this line"),
        ("upstreams:\n  - prefix: /\n\turl: x\n", (3, 1), "a tab stands at the beginning of this line"),
        // indentation
        (
            "upstreams:\n  - prefix: /\n   url: x\n",
            (3, 4),
            "expected another item of the list above (`- `), or a key in the column of its last item's keys; keys that belong together begin in the same column",
        ),
        ("upstreams:\n  - prefix: /\n  url: x\n", (3, 3), "expected another item of the list above"),
        (
            "upstreams:\n  - prefix: /\n      url: x\n",
            (3, 10),
            "this line is indented further than line 2, whose key has its value already; keys",
        ),
        ("queue: a\n\n maxWait: 1s\n", (3, 9), "this line is indented further than line 1"),
        ("queue: a\n # why\n maxWait: 1s\n", (3, 2), "expected a key in the column of the keys above"),
        (
            "limits:\n    idleTimeout: 1s\n  maxConnections: 3\n",
            (3, 3),
            "expected a key in the column of the keys above; keys",
        ),
        ("  queue: a\nmaxWait: 1s\n", (2, 1), "expected this line in the column of the first key of the file; keys"),
        ("queue: |\n    a\n  b\n", (3, 3), "expected a key in the column of the keys above"),
        // colons
        ("maxWait: 1s\nqueue a\n", (2, 1), "expected `key: value`, but this line has no `:` with a space behind it"),
        ("maxWait: 1s\nqueue:a\n", (2, 1), "expected `key: value`, but this line has no `:` with a space behind it"),
        ("queue a\nmaxWait: 1s\n", (2, 8), "expected `key: value` in line 1, which has no `:` with a space behind it"),
        ("queue:a\nmaxWait: 1s\n", (2, 8), "expected `key: value` in line 1"),
        ("limits\n  idleTimeout: 1s\n", (2, 14), "expected `key: value` in line 1"),
        ("queue: a: b\n", (1, 9), "a value that has `: ` in it must be quoted"),
        (": a\n", (1, 1), "expected a key before the `:`"),
        // lists and mappings
        (
            "queue: b\n- a\n",
            (2, 3),
            "expected a key, found a list item (`- `); the items of a list stand under a key of their own",
        ),
        ("- a\nqueue: b\n", (2, 1), "expected another item of the list above"),
        (
            "upstreams:\n  -prefix: /\n   url: x\n",
            (3, 7),
            "a list item begins with a dash and a space; the space is missing in line 2",
        ),
        (
            "upstreams:\n  - prefix: /\n  -prefix: /b\n",
            (3, 3),
            "a list item begins with a dash and a space; the space is missing in this line",
        ),
        ("queue: - b\n", (1, 8), "a list begins on a line of its own; write `- ` there"),
        ("limits: [- a]\n", (1, 10), "inside [ ] and { } items are separated by commas, and have no dash"),
        (
            "[redis]\naddr = x\n",
            (2, 1),
            "expected nothing more: the file begins with [ or {, and ends with the bracket that closes it",
        ),
        ("? [1]\n: 2\n", (1, 3), "expected a key, found a list or a mapping"),
        ("queue: {{ x }}\n", (1, 9), "quote a value that begins with [ or {"),
        // brackets
        ("trustedProxies: [private\n", (1, 17), "the [ that opens here is not closed"),
        (
            "trustedProxies: [private\nmaxWait: 1s\n",
            (2, 8),
            "expected a comma or a closing ]; one of them is missing before this",
        ),
        (
            "limits: {idleTimeout: 1s\nmaxWait: 1s\n",
            (2, 8),
            "expected a comma or a closing }; one of them is missing before this",
        ),
        ("limits: {idleTimeout: 1s maxConnections: 3}\n", (1, 40), "expected a comma or a closing }"),
        ("trustedProxies: [private}\n", (1, 17), "the [ that opens here is closed by }"),
        ("trustedProxies: [private]]\n", (1, 26), "this bracket closes nothing"),
        (
            "trustedProxies: [${X}]\n",
            (1, 19),
            "expected a comma or a closing ]; one of them is missing before this; a value with ${…} must be quoted",
        ),
        // quotes
        ("queue: \"a\nmaxWait: 1s\n", (1, 8), "the quote that opens here is not closed"),
        ("queue: 'it's'\n", (1, 12), "expected nothing behind the closing quote; inside '…' a ' is written as ''"),
        (
            "trustedProxies: [\"a\" \"b\"]\n",
            (1, 22),
            "expected nothing behind the closing quote; inside \"…\" a \" is written as \\\", and a comma",
        ),
        (
            "p: [\"^/api/\\d+\"]\n",
            (1, 5),
            "inside \"…\" a \\ begins an escape, and there is none like this; write \\\\, or quote the value with '…'",
        ),
        ("p: \"\\ud800\"\n", (1, 4), "an escape (\\x, \\u or \\U) inside these quotes is that of no character"),
        // signs
        ("queue: @x\n", (1, 8), "a value that begins with @ must be quoted"),
        ("queue: a\u{1b}b\n", (1, 8), "the control character U+001B may not stand in a file"),
        (
            "queue: *.x\n",
            (1, 8),
            "a * stands for the value that has an anchor (&) of the same name, and there is none above",
        ),
        ("a: &\nb: 1\n", (1, 4), "a name is missing behind this sign"),
        ("queue: !env X\n", (1, 13), "a tag (!…) stands here, and there is none in a configuration"),
        ("queue: \"a\"#x\n", (1, 11), "a space is missing before the # of this comment"),
        ("a: 1\n<<: 2\n", (2, 5), "<< takes the keys of a mapping"),
        ("a: &a [*a]\n", (1, 8), "this * is part of the value that it stands for"),
        ("queue: |x\n  a\n", (1, 8), "expected the end of the line behind | or >"),
        ("queue: a\n---\nqueue: b\n", (3, 1), "a second document (---) begins here; the configuration is one"),
    ];

    #[test]
    fn what_is_not_yaml_is_told_in_a_persons_words_at_its_place() {
        for (text, at, told) in TOLD {
            let (place, message) = parse(text).expect_err(text);
            assert!(message.contains(told), "{text:?}: {message}");
            assert_eq!(place.map(|place| (place.line, place.column)), Some(at), "{text:?}: {message}");
        }
    }
}
