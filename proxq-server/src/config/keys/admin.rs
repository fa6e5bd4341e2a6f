//! The keys of the section `admin`.

use super::{Keys, key, secret};
use crate::config::form::Form;
use crate::config::listen_address::{self, is_loopback};
use crate::config::section::{Section, Written, shown};
use crate::config::yaml_value::YamlValue;
use crate::config::{AdminConfig, Password};

/// The shortest token: 16 random letters and digits are beyond guessing over a network.
const TOKEN_BYTES_MIN: usize = 16;

/// What is wrong with an address that other machines reach where nobody is asked for a token.
pub(crate) const NEEDS_TOKEN: &str =
    "may be reached from other machines, so admin.token or admin.tokenFile is required";

pub(super) fn declare(keys: &mut impl Keys, admin: &mut AdminConfig) {
    let address = key("listenAddress", "Where operators connect. An address that other machines reach needs a token.");
    keys.key(address, Form::Text, admin, read_address, |admin| YamlValue::quoted(&admin.listen_address));
    let token =
        key("token", "What operators have to show: as a bearer token, or as the password of a browser's login.");
    let file = key("tokenFile", "Read the token from a file instead.");
    secret::declare(keys, [token, file], &mut admin.token, long_enough);
    let hosts = key(
        "hosts",
        "Names by which browsers reach it, beside localhost and the address above. A request for another host is refused.",
    );
    keys.key(hosts.example("[]"), Form::Texts, &mut admin.hosts, read_hosts, |hosts| YamlValue::list(hosts.iter()));
}

fn read_address(section: &mut Section<'_>, name: &'static str, admin: &mut AdminConfig) {
    let Some(Written { value, at }) = section.parsed(name, listen_address::parse) else { return };
    if !is_loopback(&value) && !section.has("token") && !section.has("tokenFile") {
        section.note(&at, format!("{} {NEEDS_TOKEN}", shown(&value)));
    }
    admin.listen_address = value;
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

fn long_enough(token: &str) -> Result<(), String> {
    if token.len() < TOKEN_BYTES_MIN {
        return Err(format!("has {} characters, too few: a token has at least {TOKEN_BYTES_MIN}", token.len()));
    }
    if token.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("has a character that cannot be sent: a token has letters, digits and signs of ASCII".to_owned());
    }
    Ok(())
}

impl AdminConfig {
    /// Whether other machines may reach it without a token.
    pub(crate) fn stands_open(&self) -> bool {
        self.token == Password::None && !is_loopback(&self.listen_address)
    }
}
