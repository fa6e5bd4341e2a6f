//! What is wrong with a configuration, told so that it can be put right: where, what, and what was expected.

use std::fmt;

/// Where something stands in a text, from 1; `width` in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) width: usize,
}

/// Everything that is wrong with a configuration: at least one mistake, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    mistakes: Vec<Mistake>,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// `config.yaml:7:15`, or `config.yaml` where no place is known, or empty.
    position: String,
    /// `upstreams[1].prefix`, `--listen`, or empty.
    path: String,
    message: String,
    /// The line and a caret under what is wrong in it.
    snippet: Option<String>,
}

impl ConfigErrors {
    /// A mistake in no text: a flag's, or the lack of a file. `path` may be empty.
    pub(crate) fn single(path: &str, message: impl Into<String>) -> Self {
        let mistake =
            Mistake { position: String::new(), path: path.to_owned(), message: message.into(), snippet: None };
        Self { mistakes: vec![mistake] }
    }

    /// The same, and a mistake that is in no text.
    pub(crate) fn and(mut self, path: &str, message: impl Into<String>) -> Self {
        self.mistakes.extend(Self::single(path, message).mistakes);
        self
    }

    /// Mistakes in a text. `found` must not be empty.
    pub(super) fn in_text(source_name: &str, text: &str, mut found: Vec<Found>) -> Self {
        found.sort_by_key(|mistake| mistake.place);
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        for place in found.iter().filter(|mistake| is_url_key(&mistake.path)).filter_map(|mistake| mistake.place) {
            hide_url_at(place, &mut lines);
        }
        for place in found.iter().filter(|mistake| is_of_headers(&mistake.path)).filter_map(|mistake| mistake.place) {
            hide_behind(place, &mut lines);
        }
        let mistakes = found.into_iter().map(|mistake| mistake.located(source_name, &lines)).collect();
        Self { mistakes }
    }

    /// The mistakes.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl Mistake {
    /// The key, as `upstreams[1].prefix`, or the flag; empty where it is neither's mistake.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong, and what was expected.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for head in [&self.position, &self.path] {
            if !head.is_empty() {
                write!(f, "{head}: ")?;
            }
        }
        f.write_str(&self.message)?;
        self.snippet.as_ref().map_or(Ok(()), |snippet| write!(f, "\n{snippet}"))
    }
}

/// A mistake as it is found, before the text is at hand to show.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) place: Option<Place>,
    pub(super) path: String,
    pub(super) message: String,
}

impl Found {
    fn located(self, source_name: &str, lines: &[String]) -> Mistake {
        let position = match self.place {
            Some(Place { line, column, .. }) => format!("{source_name}:{line}:{column}"),
            None => source_name.to_owned(),
        };
        let snippet = self.place.and_then(|place| snippet(lines, place));
        Mistake { position, path: self.path, message: self.message, snippet }
    }
}

/// The line, and a caret under the place. `None` for an empty line.
fn snippet(lines: &[String], place: Place) -> Option<String> {
    /// As much of a line as fits beside its number on a usual screen.
    const SHOWN: usize = 110;
    let line = hide_secrets(lines.get(place.line.checked_sub(1)?)?);
    let before = place.column.saturating_sub(1);
    let cut = if before < SHOWN { 0 } else { before - SHOWN / 2 };
    let shown: String = line.chars().skip(cut).take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let shown = shown.trim_end();
    if shown.is_empty() {
        return None;
    }
    let indent = (before - cut).min(shown.chars().count());
    let width = place.width.clamp(1, (shown.chars().count() - indent).max(1));
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let (indent, caret) = (" ".repeat(indent), "^".repeat(width));
    Some(format!("{margin} |\n{number} | {shown}\n{margin} | {indent}{caret}"))
}

/// Replaces credentials in a line by as many `*`: what may be secret in URLs, and whatever follows a key such as
/// `password`.
fn hide_secrets(line: &str) -> String {
    let line = hide_in_urls(line);
    let is_secret = |key: &str| {
        let key = key.trim_end().trim_end_matches(['"', '\'']).to_lowercase();
        ["password", "secret", "token", "tokens", "tokenhash", "key", "authorization"]
            .iter()
            .any(|word| key.ends_with(word))
    };
    // A mapping of headers has their values, a list of headers only names.
    let has_values =
        |colon: usize| line[..colon].trim_end().ends_with("headers") && line[colon + 1..].trim_start().starts_with('{');
    let mut colons = line.match_indices(':').map(|(colon, _)| colon);
    let Some(colon) = colons.find(|colon| is_secret(&line[..*colon]) || has_values(*colon)) else { return line };
    let hidden = line[colon + 1..].chars().map(|c| if c.is_whitespace() { c } else { '*' });
    line[..=colon].chars().chain(hidden).collect()
}

/// Whether the value of this key is a URL, also where it lacks what would show that.
pub(super) fn is_url_key(path: &str) -> bool {
    ["url", "addr"].contains(&path.rsplit('.').next().unwrap_or_default())
}

/// Whether this is the key of a header, whose value is secret.
fn is_of_headers(path: &str) -> bool {
    path.contains(".headers.")
}

/// Hides what is behind the key at this place.
fn hide_behind(place: Place, lines: &mut [String]) {
    let Some(line) = place.line.checked_sub(1).and_then(|index| lines.get_mut(index)) else { return };
    let end = place.column.saturating_sub(1).saturating_add(place.width);
    let hide = |(at, c): (usize, char)| if at < end || c.is_whitespace() || c == ':' { c } else { '*' };
    *line = line.chars().enumerate().map(hide).collect();
}

/// Hides what may be secret in the URL at this place.
fn hide_url_at(place: Place, lines: &mut [String]) {
    let Some(line) = place.line.checked_sub(1).and_then(|index| lines.get_mut(index)) else { return };
    let byte = |chars: usize| line.char_indices().nth(chars).map_or(line.len(), |(at, _)| at);
    let begin = place.column.saturating_sub(1);
    let value = byte(begin)..byte(begin.saturating_add(place.width));
    let hidden = hide_in_url(&line[value.clone()]);
    line.replace_range(value, &hidden);
}

/// Replaces what may be secret in each URL of a text by `*`: messages end up in logs.
pub(super) fn hide_in_urls(text: &str) -> String {
    const SEPARATOR: &str = "://";
    let (mut hidden, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(SEPARATOR) {
        let (before, url) = rest.split_at(at + SEPARATOR.len());
        let quote = before[..at].trim_end_matches(is_of_scheme).chars().next_back();
        let end = match quote {
            Some(quote @ ('"' | '\'')) => url.find(quote),
            _ => url.find(['"', '\'', ' ', '\t']),
        };
        let end = end.unwrap_or(url.len());
        hidden += before;
        hidden += &hide_in_url(&url[..end]);
        rest = &url[end..];
    }
    hidden + rest
}

/// Whether schemes have this character (RFC 3986 §3.1).
fn is_of_scheme(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')
}

/// Replaces what may be secret in a URL by as many `*`: user and password, query and fragment. It need not be valid, and
/// may lack its scheme.
pub(super) fn hide_in_url(url: &str) -> String {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme).filter(|scheme| scheme.chars().all(is_of_scheme));
    let after_scheme = scheme.map_or(0, |scheme| scheme.len() + "://".len());
    let rest = &url[after_scheme..];
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    let has_port = |authority: &str| {
        authority
            .rsplit_once(':')
            .is_none_or(|(_, port)| port.ends_with(']') || port.bytes().all(|b| b.is_ascii_digit()))
    };
    // Where there is no number for a port, it may be a password, with a `/` or the like in it.
    let userinfo = match authority.rfind('@') {
        None if !has_port(authority) => rest.rfind('@'),
        found => found,
    };
    let host = after_scheme + userinfo.unwrap_or(0);
    let tail = url[host..].find(['?', '#']).map_or(url.len(), |at| host + at + 1);
    let stars = |text: &str| "*".repeat(text.chars().count());
    [&url[..after_scheme], &stars(&url[after_scheme..host]), &url[host..tail], &stars(&url[tail..])].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mistake_shows_where_it_is() {
        let found = |line, column, width, message: &str| Found {
            place: Some(Place { line, column, width }),
            path: "b.c".to_owned(),
            message: message.to_owned(),
        };
        let errors = ConfigErrors::in_text(
            "config.yaml",
            "a: 1\nb:\n  c: nonsense # why\n",
            vec![found(3, 6, 8, "must not be so"), found(1, 4, 1, "is first")],
        );
        assert_eq!(
            errors.to_string(),
            "config.yaml:1:4: b.c: is first\n  |\n1 | a: 1\n  |    ^\n\
             config.yaml:3:6: b.c: must not be so\n  |\n3 |   c: nonsense # why\n  |      ^^^^^^^^"
        );
        assert_eq!(ConfigErrors::single("--listen", "is wrong").to_string(), "--listen: is wrong");
    }

    #[test]
    fn what_may_be_secret_in_urls_is_not_shown() {
        for (text, hidden) in [
            ("url: \"http://me:secret@host/x@y\"", "url: \"http://*********@host/x@y\""),
            ("url: 'http://me:my secret@host'", "url: 'http://************@host'"),
            ("a@b://c@d", "a@b://*@d"),
            ("[http://a@b, http://c]", "[http://*@b, http://c]"),
            ("http://host/a@b", "http://host/a@b"),
            ("http://host:80/a@b", "http://host:80/a@b"),
            ("http://[::1]/a@b", "http://[::1]/a@b"),
            ("http://me:a/b?c@host/x", "http://********@host/x"),
            ("{url: http://host/x?key=1&b, a: '?'}", "{url: http://host/x?******** a: '?'}"),
            ("http://host#token http://host?u=http://x", "http://host#***** http://host?**********"),
            ("unix:///run/r.sock?db=1", "unix:///run/r.sock?****"),
            ("no URL: ^/a/?$", "no URL: ^/a/?$"),
        ] {
            assert_eq!(hide_in_urls(text), hidden);
        }
        assert_eq!(hide_in_url("me:secret@host:80/x?key=1"), "*********@host:80/x?*****");
        assert_eq!(hide_in_url("host/x#y"), "host/x#*");
    }

    #[test]
    fn a_url_without_a_scheme_is_hidden_in_every_mistake_of_its_line() {
        let text = "upstreams: [{prefix: x, url: me:secret@host/x?key=1}]";
        let found = |path: &str, column, width| Found {
            place: Some(Place { line: 1, column, width }),
            path: path.to_owned(),
            message: "is wrong".to_owned(),
        };
        let found = vec![found("upstreams[0].prefix", 22, 1), found("upstreams[0].url", 30, 22)];
        let errors = ConfigErrors::in_text("c", text, found).to_string();
        assert_eq!(errors.matches("url: *********@host/x?*****}]").count(), 2, "{errors}");
    }

    #[test]
    fn values_of_secret_keys_are_not_shown() {
        assert_eq!(
            hide_secrets("redis: {addr: x, password: 'a b', db: 1}"),
            "redis: {addr: x, password: ** *** *** **"
        );
        assert_eq!(hide_secrets("  \"apiKey\" : x # y"), "  \"apiKey\" : * * *");
        assert_eq!(hide_secrets("passwordFile: /run/x"), "passwordFile: /run/x");
        assert_eq!(hide_secrets("otlp: {headers: {X-Team: a}, x: y}"), "otlp: {headers: ******** *** ** **");
        assert_eq!(hide_secrets("{headers: [X-Team], x: y}"), "{headers: [X-Team], x: y}");
    }

    proptest! {
        #[test]
        fn no_place_panics(text in "(.|\n){0,200}", line in 0_usize..9, column: usize, width: usize) {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            let place = Place { line, column, width };
            let _ = snippet(&lines, place);
            hide_url_at(place, &mut lines);
            hide_behind(place, &mut lines);
        }
    }
}
