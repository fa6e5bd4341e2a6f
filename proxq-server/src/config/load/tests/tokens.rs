//! What is said about access tokens that cannot be used.

use super::*;

/// A file with these access tokens.
fn tokens(tokens: &str) -> String {
    top(&format!("auth: {{tokens: [{tokens}]}}"))
}

#[test]
fn bad_access_tokens_are_refused() {
    let refused_one =
        |keys: &str, problem: &str| refused(&tokens(&format!("{{{keys}}}")), &format!("auth.tokens[0].{problem}"));
    refused_one("token: 0123456789abcdef", "name: is required");
    let name = "is not a name for a token: up to 64 letters, digits and . _ - make one";
    refused_one("name: '', token: 0123456789abcdef", "name: is required, but empty");
    refused_one("name: a b, token: 0123456789abcdef", &format!("name: the value {name}"));
    refused_one("name: a", "name: has no token; write one of token, tokenFile, tokenHash");
    refused_one("name: a, token: short", "token: has 5 characters, too few: a token has at least 16");
    refused_one(
        "name: a, token: 0123456789abcdeä",
        "token: has a character that cannot be sent: a token has letters, digits and signs of ASCII",
    );
    let made = "proxq_0123456789012345678901234567890123456789012";
    refused_one(
        &format!("name: a, token: {made}000000"),
        "token: is mistyped: its last six characters do not fit the others",
    );
    refused_one(
        &format!("name: a, token: {made}"),
        "token: begins with proxq_ as those of `proxq token new`, but is not one: they have 55 characters, letters and digits",
    );
    refused_one(
        "name: a, tokenHash: 'sha256:12'",
        "tokenHash: is not a SHA-256: 64 hexadecimal digits, as `proxq token new` prints them",
    );
    refused_one("name: a, token: 0123456789abcdef, tokenFile: /x", "tokenFile: stands beside token; keep one of them");
    assert!(
        mistakes(&tokens("{name: a, tokenFile: /nowhere}"))[0]
            .starts_with("auth.tokens[0].tokenFile: cannot be read: ")
    );
    let token = "name: a, token: 0123456789abcdef";
    refused_one(&format!("{token}, admin: all"), "admin: the value is none of true, false, read, write");
    refused_one(
        &format!("{token}, admin: writ"),
        "admin: the value is none of true, false, read, write; did you mean \"write\"?",
    );
    refused_one(
        &format!("{token}, upstreams: []"),
        "upstreams: lists nothing; leave it out where the token is for all upstreams",
    );
    refused_one(&format!("{token}, upstreams: [api]"), "upstreams[0]: the value must start with /");
    refused_one(
        &format!("{token}, upstreams: [/ap]"),
        "upstreams[0]: the value is the prefix of no upstream; there are /",
    );
    refused_one(&format!("{token}, upstream: [/api]"), "upstream: unknown key; did you mean upstreams?");
}

#[test]
fn no_two_access_tokens_are_alike() {
    let hash = "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f"; // of 0123456789abcdef
    assert_eq!(
        mistakes(&tokens(&format!("{{name: a, token: 0123456789abcdef}}, {{name: a, tokenHash: {hash}}}"))),
        [
            "auth.tokens[1].name: the value is the name of auth.tokens[0], too; each needs one of its own",
            "auth.tokens[1].tokenHash: is the same token as that of auth.tokens[0]; each is to be another",
        ]
    );
    refused(
        &format!("admin: {{token: 0123456789abcdef}}\n{}", tokens("{name: a, token: 0123456789abcdef}")),
        "auth.tokens[0].token: is the same token as admin.token; use another, and give that one a role by its key admin",
    );
}

#[test]
fn tokens_go_with_no_redirects_to_upstreams() {
    let text =
        format!("auth: {{tokens: [{{name: a, token: 0123456789abcdef}}]}}\n{}", upstream("directProxyMode: redirect"));
    refused(
        &text,
        "upstreams[0].directProxyMode: \"redirect\" does not go with auth.tokens: a redirected client shows its request to the \
         upstream, where nobody asks for a token; write proxy",
    );
}

#[test]
fn an_open_admin_listener_needs_a_token_of_some_kind() {
    let open = "admin: {listenAddress: '0.0.0.0:9090'}";
    let with =
        |role: &str| format!("{open}\n{}", tokens(&format!("{{name: a, token: 0123456789abcdef, admin: {role}}}")));
    for text in [top(open), with("false")] {
        assert!(
            mistakes(&text)[0]
                .starts_with("admin.listenAddress: \"0.0.0.0:9090\" may be reached from other machines, so")
        );
    }
    for role in ["read", "write", "true"] {
        assert!(load("x", &with(role), &env).is_ok(), "{role}");
    }
}

#[test]
fn a_token_that_is_refused_is_not_shown() {
    for keys in ["token: hush", "token: 'hush hush hush hush'", "tokenHash: hush", "tokenHash: hush, token: hush"] {
        for text in [
            tokens(&format!("{{name: a, {keys}}}")),
            top(&format!("auth:\n  tokens:\n  - name: a\n    {}", keys.replace(", ", "\n    "))),
        ] {
            let message = load("x", &text, &env).unwrap_err().to_string();
            assert!(!message.contains("hush"), "{message}");
        }
    }
}

#[test]
fn a_token_in_the_wrong_place_is_not_shown() {
    for (written, path) in [
        ("hush", "auth.tokens"),
        ("[hush]", "auth.tokens[0]"),
        ("[\n    hush,\n    1234]", "auth.tokens[0]"),
        ("\n  - hush", "auth.tokens[0]"),
        ("\n  - 'hush: hush'", "auth.tokens[0]"),
        ("\n  - web: hush", "auth.tokens[0].web"),
        ("\n  - {web: hush}", "auth.tokens[0].web"),
        ("\n  - name: a\n    token: hush\n    token: hush", "auth.tokens[0].token"),
        ("\n  - name: a\n    token: 'x${hush hush}'", "auth.tokens[0].token"),
        ("\n  - name: hush hush", "auth.tokens[0].name"),
        ("\n  - name: hush\n    token: 0123456789abcdef\n    upstreams: [/hush]", "auth.tokens[0].upstreams[0]"),
        ("\n  - name: a\n    token: 0123456789abcdef\n    admin: hush", "auth.tokens[0].admin"),
        ("\n  -hush\n  - name: a", "not readable as YAML"),
        ("\n  - hush: hush: hush", "not readable as YAML"),
        ("\n  - name: a\n    token: @hush", "not readable as YAML"),
        ("\n  - name: a\n    token: !hush", "not readable as YAML"),
        ("[\n    - hush,\n  ]", "not readable as YAML"),
    ] {
        let text = top(&format!("auth:\n  tokens: {written}"));
        let said = load("x", &text, &env).unwrap_err().to_string();
        let shows = said.replace("hush: ", "").contains("hush");
        assert!(said.contains(path) && !shows && !said.contains("1234"), "{text}\n{said}");
    }
    let list = "x-them: &them\n- hush\nauth: {tokens: *them}";
    let said = load("x", &top(list), &env).unwrap_err().to_string();
    assert!(said.contains("auth.tokens[0]") && !said.contains("hush"), "{said}");
}
