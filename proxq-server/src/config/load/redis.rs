//! The section `redis`.

use std::path::PathBuf;

use super::tls;
use crate::config::redis::{REDIS_PORT, RedisUrl};
use crate::config::section::{Reading, Section, Written};
use crate::config::{Password, RedisAddress, RedisConfig, RedisTls, Secret, listen_address};

/// Keys whose features come later, and what to do without them.
const LATER: [(&str, &str); 2] = [
    ("sentinel", "remove it, and name one server by addr or url"),
    ("cluster", "remove it, and name one server by addr or url"),
];

/// Keys that say what a URL says, too.
const IN_URL: [&str; 5] = ["addr", "username", "password", "passwordFile", "db"];

pub(super) fn read(mut section: Section<'_>, reading: &Reading<'_>) -> RedisConfig {
    let default = RedisConfig::default();
    let url = section.parsed("url", RedisUrl::parse);
    if let Some(url) = &url {
        for key in IN_URL.into_iter().filter(|key| section.has(key)) {
            if !(matches!(key, "password" | "passwordFile") && url.value.password.is_none()) {
                reading.note(&section.at_of(key), "says what url says, too; keep one of them");
            }
        }
    }
    let address = section.parsed("addr", address);
    let username = section.text("username").map(|written| written.value);
    let password = read_password(&mut section, reading);
    let db = section.parsed("db", db);
    let tls = read_tls(section.section("tls"), reading);
    read_durability(&mut section);
    for (key, hint) in LATER {
        section.later(key, hint);
    }
    section.finish();
    let of_keys = RedisConfig {
        address: address.map_or(default.address, |written| written.value),
        username: username.unwrap_or_default(),
        password: password.unwrap_or(Password::None),
        db: db.map_or(default.db, |written| written.value),
        tls,
    };
    let Some(Written { value: url, .. }) = url else { return of_keys };
    let password = url.password.map(|password| Password::Given(Secret::new(password)));
    RedisConfig {
        address: url.address,
        username: url.username,
        password: password.unwrap_or(of_keys.password),
        db: url.db,
        tls: of_keys.tls,
    }
}

fn read_password(section: &mut Section<'_>, reading: &Reading<'_>) -> Option<Password> {
    match (section.text("password"), section.parsed("passwordFile", tls::readable_file)) {
        (Some(_), Some(file)) => {
            reading.note(&file.at, "stands beside password; keep one of them");
            None
        }
        (Some(password), None) => Some(Password::Given(Secret::new(password.value))),
        (None, Some(file)) => Some(Password::File(file.value)),
        (None, None) => None,
    }
}

fn read_tls(mut section: Section<'_>, reading: &Reading<'_>) -> RedisTls {
    let tls = RedisTls { ca_file: tls::ca_file(&mut section), identity: tls::identity(&mut section, reading) };
    section.finish();
    tls
}

/// Only what Redis itself promises, for now.
fn read_durability(section: &mut Section<'_>) {
    section.parsed("durability", |durability| match durability {
        "store" => Ok(()),
        "fsync" | "replicated" => Err("is not supported yet; write store, or remove the key"),
        _ => Err("is none of store, fsync, replicated"),
    });
}

/// `host:port`, or the path of a socket.
fn address(text: &str) -> Result<RedisAddress, &'static str> {
    if text.starts_with('/') {
        return Ok(RedisAddress::Unix { path: PathBuf::from(text) });
    }
    let with_host = if text.starts_with(':') { format!("localhost{text}") } else { text.to_owned() };
    let checked = listen_address::parse(&with_host).map_err(|_| "is no address; write one like 127.0.0.1:6379")?;
    let (host, port) = checked.rsplit_once(':').ok_or("has no port; write one like 127.0.0.1:6379")?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(RedisAddress::Tcp { host, port: port.parse().unwrap_or(REDIS_PORT) })
}

fn db(text: &str) -> Result<u16, &'static str> {
    text.parse().map_err(|_| "is not the number of a database: 0, 1, …")
}
