//! What mistakes in a configuration do not show: credentials, in messages and in the lines of the text. Messages end up in logs.

/// Hides in a line what the path of a mistake shows to be secret. The mistake stands at this column, from 1, and is so wide.
pub(super) fn hide_at(path: &str, column: usize, width: usize, line: &mut String) {
    if is_of_headers(path) {
        hide_behind(column, width, line);
    } else if is_url_key(path) {
        hide_url_at(column, width, line);
    }
}

/// Replaces credentials in a line by as many `*`: what may be secret in URLs, and whatever follows a key such as
/// `password`.
pub(super) fn hide_secrets(line: &str) -> String {
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
fn hide_behind(column: usize, width: usize, line: &mut String) {
    let end = column.saturating_sub(1).saturating_add(width);
    let hide = |(at, c): (usize, char)| if at < end || c.is_whitespace() || c == ':' { c } else { '*' };
    *line = line.chars().enumerate().map(hide).collect();
}

/// Hides what may be secret in the URL at this place.
fn hide_url_at(column: usize, width: usize, line: &mut String) {
    let byte = |chars: usize| line.char_indices().nth(chars).map_or(line.len(), |(at, _)| at);
    let begin = column.saturating_sub(1);
    let value = byte(begin)..byte(begin.saturating_add(width));
    let hidden = hide_in_url(&line[value.clone()]);
    line.replace_range(value, &hidden);
}

/// Replaces what may be secret in each URL of a text by `*`.
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
        fn no_place_panics(line in ".{0,200}", column: usize, width: usize) {
            for path in ["a.url", "a.headers.b"] {
                hide_at(path, column, width, &mut line.clone());
            }
        }
    }
}
