//! The keys of the section `auth`.

use super::{Keys, key, tls, word_of};
use crate::access_token::{self, TokenDigest};
use crate::config::auth::{TokenSource, check_name};
use crate::config::form::Form;
use crate::config::section::{At, Section, Written};
use crate::config::yaml_value::YamlValue;
use crate::config::{AccessToken, AdminRole, AuthConfig, Ownership, Password, Prefix, ResultUrls, Secret, TokenScope};

/// A token as it is read.
pub(in crate::config) struct ReadToken {
    /// Not to be used after a mistake: stand-ins fill what is missing.
    pub(in crate::config) token: AccessToken,
    /// Where its name stands, if it has one.
    pub(in crate::config) name_at: Option<At>,
    /// Where the token itself stands, or what leads to it, if it was read.
    pub(in crate::config) secret_at: Option<At>,
    /// The prefixes of its upstreams, as they are written.
    pub(in crate::config) upstreams: Vec<Written<Prefix>>,
}

impl From<AccessToken> for ReadToken {
    fn from(token: AccessToken) -> Self {
        Self { token, name_at: None, secret_at: None, upstreams: Vec::new() }
    }
}

impl ReadToken {
    /// A token before it is read.
    pub(super) fn empty() -> Self {
        AccessToken::unread().into()
    }
}

const OWNERS: [(&str, Ownership); 2] = [("open", Ownership::Open), ("credential", Ownership::Credential)];

const ROLES: [(&str, AdminRole); 2] = [("read", AdminRole::Read), ("write", AdminRole::Write)];

/// The three ways to say what a token is.
const FORMS: [&str; 3] = ["token", "tokenFile", "tokenHash"];

pub(super) fn declare(keys: &mut impl Keys, auth: &mut AuthConfig, tokens: &mut Vec<ReadToken>) {
    let about = "Access tokens. With any, each request to proxq needs one of them in X-Proxq-Token, except healthz and readyz. \
                 `proxq token new` makes one.";
    keys.optional_sections(key("tokens", about), tokens, ReadToken::empty, declare_token, |read| {
        read.token.name.clone()
    });
    let owner = key(
        "owner",
        "Whose a job is. `open`: its id is all it takes to ask for it. `credential`: it exists only for the credential \
         that submitted it: the access token if there are any, else Authorization and the headers of API keys.",
    );
    keys.choice(owner, &mut auth.owner, &OWNERS);
    let urls = key(
        "resultUrls",
        "Whether clients may ask for a signed URL with X-Proxq-Result-Url, which leads to the result without a credential.",
    );
    keys.switch(urls, &mut auth.result_urls, ResultUrls::Off, ResultUrls::On);
}

fn declare_token(keys: &mut impl Keys, read: &mut ReadToken) {
    keys.key(
        key("name", "What the log and the dashboard call it.").suggested("\"web\""),
        Form::RequiredText,
        read,
        |section, name, read| {
            let written = section.required_text(name).and_then(|text| section.check(text, check_name));
            if let Some(Written { value, at }) = written {
                (read.token.name, read.name_at) = (value, Some(at));
            }
        },
        |read| YamlValue::quoted(&read.token.name),
    );
    declare_secret(keys, read);
    let scope = key("upstreams", "The prefixes of the upstreams that it is for. Without this: all of them.");
    keys.only_if(read.token.scope != TokenScope::All, |keys| {
        keys.key(scope.suggested("[\"/\"]"), Form::Texts, read, read_scope, |read| match &read.token.scope {
            TokenScope::All => YamlValue::plain("[]"),
            TokenScope::Only(prefixes) => YamlValue::list(prefixes),
        });
    });
    let about =
        "What it allows on the admin listener, and with jobs of others: false, `read` or `write`; true is `write`.";
    keys.key(
        key("admin", about),
        Form::BooleanOr(ROLES.iter().map(|(word, _)| *word).collect()),
        &mut read.token.admin,
        |section, name, role| {
            if let Some(written) = section.boolean_or(name, [AdminRole::None, AdminRole::Write], &ROLES) {
                *role = written.value;
            }
        },
        |role| YamlValue::plain(if *role == AdminRole::None { "false" } else { word_of(&ROLES, *role) }),
    );
}

/// What the token is, in one of three ways.
fn declare_secret(keys: &mut impl Keys, read: &mut ReadToken) {
    let is_read = read.token != AccessToken::unread();
    keys.only_if(is_read && read.token.source == TokenSource::Given, |keys| {
        let given = key("token", "The token itself, or in its place one of the next two.");
        keys.key(
            given,
            Form::Text,
            read,
            read_secret,
            |read| {
                if is_read { masked(read) } else { YamlValue::quoted("") }
            },
        );
    });
    keys.only_if(matches!(read.token.source, TokenSource::File(_)), |keys| {
        let file = key("tokenFile", "Read the token from a file.");
        keys.read_already(file, Form::Text, read, |read| match &read.token.source {
            // Another content of the same file is a change, too.
            TokenSource::File(file) => YamlValue { secret: masked(read).secret, ..YamlValue::path(Some(file)) },
            TokenSource::Given | TokenSource::Hash => YamlValue::quoted(""),
        });
    });
    keys.only_if(read.token.source == TokenSource::Hash, |keys| {
        let hash = key("tokenHash", "The SHA-256 of the token, which then stands nowhere.");
        let example = "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"";
        keys.read_already(hash.suggested(example), Form::Text, read, |read| match &read.token.source {
            TokenSource::Hash => masked(read),
            TokenSource::Given | TokenSource::File(_) => YamlValue::quoted(""),
        });
    });
}

/// A mask in place of the token, with its digest behind.
fn masked(read: &ReadToken) -> YamlValue {
    YamlValue::masked(&Secret::new(read.token.digest.written()))
}

fn read_secret(section: &mut Section<'_>, _: &'static str, read: &mut ReadToken) {
    let [given, file, hash] = FORMS.map(|form| section.text(form));
    let mut written = [given, file, hash].into_iter().zip(FORMS).filter_map(|(text, form)| Some((text?, form)));
    let Some((text, form)) = written.next() else {
        section.note(&section.at_of("name"), format!("has no token; write one of {}", FORMS.join(", ")));
        return;
    };
    if let Some((second, _)) = written.next() {
        section.note(&second.at, format!("stands beside {form}; keep one of them"));
        return;
    }
    let found = match form {
        "token" => read_token(&text.value).map(|digest| (digest, TokenSource::Given)),
        "tokenFile" => tls::readable_file(&text.value).and_then(|file| {
            let token = Password::File(file.clone()).reveal().map_err(|error| format!("cannot be read: {error}"))?;
            Ok((read_token(&token)?, TokenSource::File(file)))
        }),
        _ => TokenDigest::parse(&text.value).map(|digest| (digest, TokenSource::Hash)),
    };
    match found {
        Ok((digest, source)) => {
            (read.token.digest, read.token.source, read.secret_at) = (digest, source, Some(text.at));
        }
        Err(problem) => section.note(&text.at, problem),
    }
}

fn read_token(token: &str) -> Result<TokenDigest, String> {
    access_token::check(token)?;
    Ok(TokenDigest::of(token))
}

fn read_scope(section: &mut Section<'_>, name: &'static str, read: &mut ReadToken) {
    let Some(texts) = section.texts(name) else { return };
    if texts.is_empty() {
        section.note(&section.at_of(name), "lists nothing; leave it out where the token is for all upstreams");
    }
    read.upstreams = texts.into_iter().filter_map(|text| section.check(text, Prefix::new)).collect();
    read.token.scope = TokenScope::Only(read.upstreams.iter().map(|prefix| prefix.value.clone()).collect());
}
