//! The keys of the section `admin`.

use super::{Keys, key, secret, tls};
use crate::access_token::check_length;
use crate::config::form::Form;
use crate::config::listen_address::{self, is_loopback};
use crate::config::section::{At, Section, Written, shown};
use crate::config::yaml_value::YamlValue;
use crate::config::{AdminConfig, AdminTls, AuthConfig, Password};

/// What is wrong with an address that other machines reach where nobody is asked for a token.
pub(crate) const NEEDS_TOKEN: &str = "may be reached from other machines, so admin.token or admin.tokenFile is required, or a token \
     in auth.tokens with a role (admin: read or write)";

/// `open_at` is filled with the place of an address that other machines reach where there is no token beside it.
pub(super) fn declare(keys: &mut impl Keys, admin: &mut AdminConfig, open_at: &mut Option<At>) {
    let address = key("listenAddress", "Where operators connect. An address that other machines reach needs a token.");
    keys.key(
        address,
        Form::Text,
        admin,
        |section, name, admin| *open_at = read_address(section, name, admin),
        |admin| YamlValue::quoted(&admin.listen_address),
    );
    let token =
        key("token", "What operators have to show: as a bearer token, or as the password of a browser's login.");
    let file = key("tokenFile", "Read the token from a file instead.");
    secret::declare(keys, [token, file], &mut admin.token, check_length);
    let hosts = key(
        "hosts",
        "Names by which browsers reach it, beside localhost and the address above. A request for another host is refused.",
    );
    keys.key(hosts.example("[]"), Form::Texts, &mut admin.hosts, read_hosts, |hosts| YamlValue::list(hosts.iter()));
    let about = "TLS of its own. Without this section it speaks TLS as the listener for clients does.";
    keys.only_if(admin.tls != AdminTls::AsClients, |keys| {
        keys.section(key("tls", about), |keys| declare_tls(keys, &mut admin.tls));
    });
}

fn declare_tls(keys: &mut impl Keys, tls: &mut AdminTls) {
    let (mut is_on, mut own) = match tls {
        AdminTls::AsClients => (true, None),
        AdminTls::Own(files) => (true, Some(files.clone())),
        AdminTls::Off => (false, None),
    };
    let about =
        "`false`: no TLS here, though clients are spoken to by TLS. For an address that only this machine reaches.";
    keys.key(key("enabled", about), Form::Boolean, &mut is_on, read_enabled, |is_on| YamlValue::plain(is_on));
    tls::declare_server(keys, "admin.tls", &mut own);
    *tls = match (is_on, own) {
        (false, _) => AdminTls::Off,
        (true, None) => AdminTls::AsClients,
        (true, Some(files)) => AdminTls::Own(files),
    };
}

fn read_enabled(section: &mut Section<'_>, name: &'static str, is_on: &mut bool) {
    *is_on = section.boolean(name, true);
    if !*is_on && let Some(certificate) = section.text("certFile") {
        section.note(&certificate.at, "stands beside enabled: false; keep one of them");
    }
}

/// Gives where the address stands, if other machines reach it and there is no token beside it.
fn read_address(section: &mut Section<'_>, name: &'static str, admin: &mut AdminConfig) -> Option<At> {
    let Written { value, at } = section.parsed(name, listen_address::parse)?;
    admin.listen_address = value;
    let is_open = !is_loopback(&admin.listen_address) && !section.has("token") && !section.has("tokenFile");
    is_open.then_some(at)
}

fn read_hosts(section: &mut Section<'_>, name: &'static str, hosts: &mut Vec<String>) {
    let name_like = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    for Written { value, at } in section.texts(name).unwrap_or_default() {
        if value.is_empty() || !value.bytes().all(name_like) {
            section.note(&at, format!("{} is not the name of a host; write it without a port", shown(&value)));
        }
        hosts.push(value);
    }
}

impl AdminConfig {
    /// Whether other machines may reach it without a token.
    pub(crate) fn stands_open(&self, auth: &AuthConfig) -> bool {
        self.token == Password::None && !auth.has_operators() && !is_loopback(&self.listen_address)
    }
}
