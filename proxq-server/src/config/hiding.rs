//! What mistakes in a configuration do not show: credentials, in messages and in the lines of the text. Messages end up in logs.

/// Hides in a line what the path of a mistake shows to be secret. The mistake stands at this column, from 1, and is so wide.
pub(super) fn hide_at(path: &str, column: usize, width: usize, line: &mut String) {
    if is_secret(path) {
        *line = hide_values(line);
    } else if is_url_key(path) {
        hide_url_at(column, width, line);
    }
}

/// Replaces credentials in a line by as many `*`: what may be secret in URLs, and whatever follows a key such as
/// `password`.
pub(super) fn hide_secrets(line: &str) -> String {
    let line = hide_in_urls(line);
    let is_secret = |key: &str| {
        ends_with_word(key, &["password", "secret", "token", "tokens", "tokenhash", "key", "authorization"])
    };
    // A mapping of headers has their values, a list of headers only names.
    let has_values =
        |colon: usize| line[..colon].trim_end().ends_with("headers") && line[colon + 1..].trim_start().starts_with('{');
    let mut colons = line.match_indices(':').map(|(colon, _)| colon);
    let Some(colon) = colons.find(|colon| is_secret(&line[..*colon]) || has_values(*colon)) else { return line };
    let hidden = line[colon + 1..].chars().map(|c| if c.is_whitespace() { c } else { '*' });
    line[..=colon].chars().chain(hidden).collect()
}

/// Whether a key, perhaps in quotes, ends with one of these words.
fn ends_with_word(key: &str, words: &[&str]) -> bool {
    let key = key.trim_end().trim_end_matches(['"', '\'']).to_lowercase();
    words.iter().any(|word| key.ends_with(word))
}

/// Whether the value of this key is a URL, also where it lacks what would show that.
pub(super) fn is_url_key(path: &str) -> bool {
    ["url", "addr"].contains(&path.rsplit('.').next().unwrap_or_default())
}

/// Whether all values at this place are secret: those of headers, and whatever is written about access tokens, as a token may
/// have come to the wrong place.
pub(super) fn is_secret(path: &str) -> bool {
    path.contains(".headers.") || path.starts_with("auth.tokens")
}

/// Hides the values in the lines below a key `tokens`. Where a text is not YAML, no path says what its lines are.
pub(super) fn hide_below_tokens(lines: &mut [String]) {
    let mut tokens_at = None;
    for line in lines {
        let column = line.chars().take_while(|c| c.is_whitespace()).count();
        let is_other_key = |tokens_at| column <= tokens_at && key_end(line).is_some() && !line.trim().starts_with('-');
        if tokens_at.is_some_and(|tokens_at| !is_other_key(tokens_at)) {
            *line = hide_values(line);
        } else {
            let has_tokens = line.match_indices(':').any(|(colon, _)| ends_with_word(&line[..colon], &["tokens"]));
            tokens_at = has_tokens.then_some(column);
        }
    }
}

/// Hides what is behind the first key of a line; all of it where it does not begin with a key.
fn hide_values(line: &str) -> String {
    let shown = key_end(line).unwrap_or_else(|| begin(line));
    let hidden = line[shown..].chars().map(|c| if c.is_whitespace() { c } else { '*' });
    line[..shown].chars().chain(hidden).collect()
}

/// Where the first key of a line ends, with its colon, if the line begins with a key without quotes.
fn key_end(line: &str) -> Option<usize> {
    let begin = begin(line);
    let is_of_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let end = begin + line[begin..].find(|c| !is_of_key(c))?;
    let behind = line[end..].strip_prefix(':')?;
    (end > begin && (behind.is_empty() || behind.starts_with(char::is_whitespace))).then_some(end + 1)
}

/// Where the first value or key of a line begins.
fn begin(line: &str) -> usize {
    line.find(|c: char| !c.is_whitespace() && !matches!(c, '-' | '[' | '{')).unwrap_or(line.len())
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

    #[test]
    fn values_are_not_shown_whatever_stands_beside_them() {
        for (line, hidden) in [
            ("  - my-secret-token", "  - ***************"),
            ("  - web: my-secret-token # mine", "  - web: *************** * ****"),
            ("- {web: a, b: c}", "- {web: ** ** **"),
            ("  - \"a: b\"", "  - *** **"),
            ("  -a:b", "  -***"),
            ("  tokens:", "  tokens:"),
            ("  - a ${B}: c", "  - * ***** *"),
            ("", ""),
        ] {
            assert_eq!(hide_values(line), hidden);
        }
    }

    #[test]
    fn what_stands_below_tokens_is_not_shown() {
        for (text, hidden) in [
            ("a: b\n tokens:\n - c\n\n  d\n owner: e\n- f", "a: b\n tokens:\n - *\n\n  *\n owner: e\n- f"),
            ("auth: {tokens: [\n a,\nb\n]}\nc: d", "auth: {tokens: [\n **\n*\n**\nc: d"),
            ("\"tokens\" :\n- a: b\n-c\nd: e", "\"tokens\" :\n- a: *\n-*\nd: e"),
        ] {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            hide_below_tokens(&mut lines);
            assert_eq!(lines.join("\n"), hidden);
        }
    }

    proptest! {
        #[test]
        fn no_place_panics(line in ".{0,200}", column: usize, width: usize) {
            for path in ["a.url", "a.headers.b"] {
                let mut hidden = line.clone();
                hide_at(path, column, width, &mut hidden);
                prop_assert_eq!(hidden.chars().count(), line.chars().count());
            }
        }
    }
}
