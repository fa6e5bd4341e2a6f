//! Where the running server is, and what it is to be shown: flags, then the environment, then the configuration.

use std::path::PathBuf;
use std::{env, fs};

use http::HeaderValue;

use super::connection::{Connection, Origin};
use super::error::CommandError;
use crate::cli::{AtClients, AtOperators, Options, TlsFlags, read_config_to_ask};
use crate::config::{AdminConfig, ClientIdentity, Config, Password, UpstreamTls};
use crate::forward::client_tls;
use crate::tls::{ServerTls, client_of_server};

const ADMIN_URL: &str = "PROXQ_ADMIN_URL";
const ADMIN_TOKEN: &str = "PROXQ_ADMIN_TOKEN";
const URL: &str = "PROXQ_URL";
const TOKEN: &str = "PROXQ_TOKEN";

const NO_OPERATORS: &str =
    "start the server with --admin, or say where it listens for operators: --admin-url or PROXQ_ADMIN_URL";
const NO_CLIENTS: &str = "start proxq there, or say where it listens: --url or PROXQ_URL";

/// What leads to the server beside the flags.
struct Surroundings<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    /// Read only where it matters: a configuration that cannot be read is no mistake where the flags say all.
    config: &'a dyn Fn() -> Result<Config, CommandError>,
}

impl Surroundings<'_> {
    /// An environment variable that says something.
    fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }
}

fn in_surroundings<T>(options: &Options, read: impl FnOnce(&Surroundings<'_>) -> T) -> T {
    let config = || Ok(read_config_to_ask(options)?.config);
    read(&Surroundings { env: &|name| env::var(name).ok(), config: &config })
}

/// Where operators are answered, and the value of `Authorization` for that.
pub(super) fn of_operators(
    at: &AtOperators,
    options: &Options,
) -> Result<(Connection, Option<HeaderValue>), CommandError> {
    let (place, authorization) = in_surroundings(options, |surroundings| operators(at, surroundings))?;
    Ok((place.connect(&at.tls, NO_OPERATORS)?, authorization))
}

/// Where clients are answered.
pub(super) fn of_clients(at: &AtClients, options: &Options) -> Result<Connection, CommandError> {
    in_surroundings(options, |surroundings| clients(at, surroundings))?.connect(&at.tls, NO_CLIENTS)
}

/// The same, where a URL has said it.
pub(super) fn at_clients(origin: Origin, tls: &TlsFlags) -> Result<Connection, CommandError> {
    Place::said(origin).connect(tls, NO_CLIENTS)
}

/// Where a server is, and by what it is known.
#[derive(Debug)]
struct Place {
    origin: Origin,
    /// The files of TLS where the configuration has led to it, and what their keys begin with.
    own: Option<(ServerTls, &'static str)>,
}

impl Place {
    /// One of which nothing else is known.
    fn said(origin: Origin) -> Self {
        Self { origin, own: None }
    }

    /// One that the configuration leads to.
    fn configured(address: &str, own: Option<(&ServerTls, &'static str)>, source: &str) -> Result<Self, CommandError> {
        let origin = Origin::listening_at(address, own.is_some(), source)?;
        Ok(Self { origin, own: own.map(|(files, section)| (files.clone(), section)) })
    }

    /// Reads the files of TLS, where it is spoken.
    fn connect(self, flags: &TlsFlags, hint: &'static str) -> Result<Connection, CommandError> {
        let Self { origin, own } = self;
        let shown = flags.own.files();
        let tls = match own {
            _ if !origin.speaks_tls() => None,
            Some((files, section)) if flags.ca.is_none() => Some(client_of_server(&files, section, shown)?),
            _ => {
                let identity =
                    shown.map(|(cert, key)| ClientIdentity { cert_file: cert.to_owned(), key_file: key.to_owned() });
                let settings = UpstreamTls { ca_file: flags.ca.clone(), identity, ..UpstreamTls::default() };
                Some(client_tls(&settings, ["--ca", "--cert", "--key"])?)
            }
        };
        Ok(Connection::to(origin, tls, hint))
    }
}

fn operators(at: &AtOperators, surroundings: &Surroundings<'_>) -> Result<(Place, Option<HeaderValue>), CommandError> {
    let said = said(at.admin_url.as_ref(), "--admin-url", ADMIN_URL, surroundings);
    let (place, admin) = if let Some((url, source)) = said {
        // The configuration's token is for the configuration's server, and nobody else is shown it.
        (Place::said(Origin::read(&url, source)?), AdminConfig::default())
    } else {
        let mut config = (surroundings.config)()?;
        let admin = config.admin.get_or_insert_default().clone();
        let place = Place::configured(&admin.listen_address, config.tls_of_operators(), "admin.listenAddress")?;
        (place, admin)
    };
    let token = match (&at.admin_token_file, surroundings.variable(ADMIN_TOKEN)) {
        (Some(file), _) => in_file(file)?,
        (None, Some(token)) => token,
        (None, None) => revealed(&admin.token)?,
    };
    if token.is_empty() {
        return Ok((place, None));
    }
    let mut authorization = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| CommandError::Usage("the token for operators has control characters in it".to_owned()))?;
    authorization.set_sensitive(true);
    Ok((place, Some(authorization)))
}

/// The access token for clients: that in the file, else that of the environment.
pub(super) fn client_token(file: Option<&PathBuf>) -> Result<Option<HeaderValue>, CommandError> {
    let token = match file {
        Some(file) => in_file(file)?,
        None => env::var(TOKEN).unwrap_or_default(),
    };
    if token.is_empty() {
        return Ok(None);
    }
    let mut token = HeaderValue::from_str(&token)
        .map_err(|_| CommandError::Usage("the access token has control characters in it".to_owned()))?;
    token.set_sensitive(true);
    Ok(Some(token))
}

/// The token in a file.
fn in_file(file: &PathBuf) -> Result<String, CommandError> {
    let token = fs::read_to_string(file).map_err(|source| CommandError::Read { file: file.clone(), source })?;
    Ok(token.trim_end().to_owned())
}

fn revealed(token: &Password) -> Result<String, CommandError> {
    token.reveal().map_err(|source| match token {
        Password::File(file) => CommandError::Read { file: file.clone(), source },
        Password::None | Password::Given(_) => CommandError::Usage(format!("admin.token: {source}")),
    })
}

fn clients(at: &AtClients, surroundings: &Surroundings<'_>) -> Result<Place, CommandError> {
    if let Some((url, source)) = said(at.url.as_ref(), "--url", URL, surroundings) {
        return Ok(Place::said(Origin::read(&url, source)?));
    }
    let config = (surroundings.config)()?;
    Place::configured(&config.listen_address, config.tls_of_clients(), "listenAddress")
}

/// A URL and what it was said by.
fn said(
    flag: Option<&String>,
    flag_name: &'static str,
    variable: &'static str,
    surroundings: &Surroundings<'_>,
) -> Option<(String, &'static str)> {
    let by_flag = flag.map(|url| (url.clone(), flag_name));
    by_flag.or_else(|| Some((surroundings.variable(variable)?, variable)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AdminTls, Secret, UpstreamUrl};

    fn config() -> Config {
        let mut config = Config::for_upstream(UpstreamUrl::new("http://a").unwrap());
        config.listen_address = "[::]:1".to_owned();
        config.admin = Some(AdminConfig {
            listen_address: "127.0.0.1:2".to_owned(),
            token: Password::Given(Secret::new("of the file".to_owned())),
            ..AdminConfig::default()
        });
        config
    }

    fn find(at: &AtOperators, variables: &[(&str, &str)]) -> (String, Option<String>) {
        let env = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let surroundings = Surroundings { env: &env, config: &|| Ok(config()) };
        let (place, authorization) = operators(at, &surroundings).unwrap();
        (place.origin.to_string(), authorization.map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn the_flag_comes_before_the_environment_and_the_environment_before_the_configuration() {
        let flag = AtOperators { admin_url: Some("http://flag".to_owned()), ..AtOperators::default() };
        let variables = [(ADMIN_URL, "http://variable"), (ADMIN_TOKEN, "t")];
        let token = Some("Bearer t".to_owned());
        assert_eq!(find(&flag, &variables), ("http://flag".to_owned(), token.clone()));
        assert_eq!(find(&AtOperators::default(), &variables), ("http://variable".to_owned(), token.clone()));
        assert_eq!(find(&AtOperators::default(), &variables[1..]), ("http://127.0.0.1:2".to_owned(), token));
        let of_file = Some("Bearer of the file".to_owned());
        assert_eq!(find(&AtOperators::default(), &[(ADMIN_URL, "")]), ("http://127.0.0.1:2".to_owned(), of_file));
        assert_eq!(find(&flag, &[]), ("http://flag".to_owned(), None), "the file's token is not for another server");
    }

    #[test]
    fn clients_are_answered_where_the_configuration_says_unless_it_is_said_otherwise() {
        let find = |url: Option<&str>, variable: Option<&'static str>| {
            let env = move |name: &str| variable.filter(|_| name == URL).map(str::to_owned);
            let surroundings = Surroundings { env: &env, config: &|| Ok(config()) };
            let at = AtClients { url: url.map(str::to_owned), ..AtClients::default() };
            clients(&at, &surroundings).unwrap().origin.to_string()
        };
        assert_eq!(find(Some("http://flag"), Some("http://variable")), "http://flag");
        assert_eq!(find(None, Some("http://variable")), "http://variable");
        assert_eq!(find(None, None), "http://localhost:1");
    }

    #[test]
    fn the_configuration_says_whether_tls_is_spoken_and_by_what_the_server_is_known() {
        let files = |name: &str| ServerTls { cert_file: name.into(), key_file: name.into(), client_ca_file: None };
        let found = |tls: AdminTls| {
            let with_tls = || {
                let mut config = config();
                config.tls = Some(files("clients.pem"));
                config.admin.as_mut().unwrap().tls = tls.clone();
                Ok(config)
            };
            let surroundings = Surroundings { env: &|_| None, config: &with_tls };
            let place = operators(&AtOperators::default(), &surroundings).unwrap().0;
            let of_clients = clients(&AtClients::default(), &surroundings).unwrap();
            assert_eq!(of_clients.origin.to_string(), "https://localhost:1");
            assert_eq!(of_clients.own, Some((files("clients.pem"), "tls")));
            (place.origin.to_string(), place.own.map(|(files, section)| (files.cert_file, section)))
        };
        let https = "https://127.0.0.1:2".to_owned();
        assert_eq!(found(AdminTls::AsClients), (https.clone(), Some(("clients.pem".into(), "tls"))));
        assert_eq!(found(AdminTls::Own(files("own.pem"))), (https, Some(("own.pem".into(), "admin.tls"))));
        assert_eq!(found(AdminTls::Off), ("http://127.0.0.1:2".to_owned(), None));
    }

    #[test]
    fn a_bad_configuration_does_not_matter_where_the_flags_say_all() {
        let surroundings =
            Surroundings { env: &|_| None, config: &|| Err(CommandError::Usage("it is broken".to_owned())) };
        let at = AtOperators { admin_url: Some("http://a".to_owned()), ..AtOperators::default() };
        operators(&at, &surroundings).unwrap();
        assert!(operators(&AtOperators::default(), &surroundings).unwrap_err().is_usage());
    }
}
