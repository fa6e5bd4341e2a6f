//! The keys of the section `redis`.

use std::path::PathBuf;

use super::{Keys, as_written, key, secret, tls};
use crate::config::form::Form;
use crate::config::redis::{REDIS_PORT, RedisUrl};
use crate::config::section::Section;
use crate::config::yaml_value::YamlValue;
use crate::config::{Password, RedisAddress, RedisConfig, Secret, listen_address};

/// Keys whose features come later, and what to do without them.
const LATER: [(&str, &str); 2] = [
    ("sentinel", "remove it, and name one server by addr or url"),
    ("cluster", "remove it, and name one server by addr or url"),
];

/// Keys that say what a URL says, too.
const IN_URL: [&str; 5] = ["addr", "username", "password", "passwordFile", "db"];

pub(super) fn declare(keys: &mut impl Keys, redis: &mut RedisConfig) {
    // Only a URL can say that the server speaks TLS.
    let speaks_tls = matches!(redis.address, RedisAddress::Tls { .. });
    keys.only_if(!speaks_tls, |keys| {
        let addr = key("addr", "host:port, or the path of a socket.");
        keys.text(addr, &mut redis.address, address, |address| YamlValue::quoted(&address.to_string()));
        keys.text(key("username", ""), &mut redis.username, as_written, |name| YamlValue::quoted(name));
        keys.text(key("db", ""), &mut redis.db, db, |db| YamlValue::plain(db));
    });
    keys.only_if(speaks_tls, |keys| {
        let url = key("url", "In place of addr and db: redis://, rediss:// (TLS) or unix://.").example("\"\"");
        keys.key(url, Form::Text, redis, read_url, show_url);
    });
    let file = "Read the password from a file instead.";
    secret::declare(keys, [key("password", ""), key("passwordFile", file)], &mut redis.password, |_| Ok(()));
    let durability = key("durability", "What must be sure before a job is accepted: `store`, that Redis has it.");
    keys.text(durability, &mut (), durability_of_redis, |()| YamlValue::plain("store"));
    keys.section(key("tls", "With rediss://, from PEM files."), |keys| {
        let authorities = "Authorities to trust instead of the system's.";
        tls::declare_files(keys, authorities, &mut redis.tls.ca_file, &mut redis.tls.identity);
    });
    keys.later(&LATER);
}

fn read_url(section: &mut Section<'_>, name: &'static str, redis: &mut RedisConfig) {
    let Some(url) = section.parsed(name, RedisUrl::parse) else { return };
    let url = url.value;
    for key in IN_URL.into_iter().filter(|key| section.has(key)) {
        if !(matches!(key, "password" | "passwordFile") && url.password.is_none()) {
            section.note(&section.at_of(key), "says what url says, too; keep one of them");
        }
    }
    if let Some(password) = url.password {
        redis.password = Password::Given(Secret::new(password));
    }
    (redis.address, redis.username, redis.db) = (url.address, url.username, url.db);
}

fn show_url(redis: &RedisConfig) -> YamlValue {
    let user = if redis.username.is_empty() { String::new() } else { format!("{}@", redis.username) };
    YamlValue::quoted(&redis.to_string().replacen("://", &format!("://{user}"), 1))
}

/// Only what Redis itself promises, for now.
fn durability_of_redis(text: &str) -> Result<(), &'static str> {
    match text {
        "store" => Ok(()),
        "fsync" | "replicated" => Err("is not supported yet; write store, or remove the key"),
        _ => Err("is none of store, fsync, replicated"),
    }
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
