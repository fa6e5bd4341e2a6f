//! Where the configuration comes from: flags, then the environment, then the usual file.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Options;
use super::environment_file::EnvironmentFile;
use crate::config::{self, ConfigErrors, Loaded, NEEDS_TOKEN, StoreConfig, UpstreamUrl, listen_address};

/// Names where to listen if neither `--listen` nor the file does. A container sets it, where loopback reaches nobody.
const DEFAULT_LISTEN: &str = "PROXQ_DEFAULT_LISTEN";

/// Reads the configuration that the flags and the environment lead to, to run on it.
///
/// # Errors
/// Everything that is wrong with it, or that there is none.
pub fn read_config(options: &Options) -> Result<Loaded, ConfigErrors> {
    read_config_in(options, &Surroundings::of(Reader::Server), no_configuration)
}

/// The same, to check it. What the environment lacks is taken from the environment file of a service, beside the
/// configuration.
///
/// # Errors
/// Everything that is wrong with it, or that there is none.
pub fn read_config_to_check(options: &Options) -> Result<Loaded, ConfigErrors> {
    read_config_in(options, &Surroundings::of(Reader::Person), no_configuration)
}

/// The same, to ask a server that runs on it. Where there is none, that server was given its upstream by a flag, of which a
/// container's healthcheck knows nothing; all that matters for asking is then as by default.
///
/// # Errors
/// Everything that is wrong with the configuration.
pub fn read_config_to_ask(options: &Options) -> Result<Loaded, ConfigErrors> {
    read_config_in(options, &Surroundings::of(Reader::Person), || Ok(Loaded::for_upstream(unknown_upstream())))
}

fn no_configuration() -> Result<Loaded, ConfigErrors> {
    Err(ConfigErrors::single("", NO_CONFIGURATION))
}

/// Stands for the upstream that only the server knows, and that nobody asks.
fn unknown_upstream() -> UpstreamUrl {
    UpstreamUrl::new("http://upstream.invalid").expect("it has a scheme and a host")
}

/// Who reads a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// The server, which has its environment.
    Server,
    /// A person's command beside a server that may be a service with an environment file.
    Person,
}

/// What leads to a configuration beside the flags.
struct Surroundings<'a> {
    /// Read if no file is named and it exists.
    usual_file: &'a Path,
    /// Looks up environment variables.
    env: &'a dyn Fn(&str) -> Option<String>,
    reader: Reader,
}

impl Surroundings<'_> {
    fn of(reader: Reader) -> Self {
        Self { usual_file: Path::new("config.yaml"), env: &|name| std::env::var(name).ok(), reader }
    }

    /// An environment variable that says something.
    fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }
}

fn read_config_in(
    options: &Options,
    surroundings: &Surroundings<'_>,
    otherwise: impl FnOnce() -> Result<Loaded, ConfigErrors>,
) -> Result<Loaded, ConfigErrors> {
    let mut loaded = match &options.served.upstream {
        Some(url) => {
            let mut loaded = Loaded::for_upstream(url.clone());
            for upstream in &mut loaded.config.upstreams {
                upstream.answer_mode = options.served.mode.unwrap_or(upstream.answer_mode);
            }
            loaded
        }
        None => read_file(options, surroundings).unwrap_or_else(otherwise)?,
    };
    if let Some(address) = &options.listen {
        loaded.config.listen_address.clone_from(address);
    } else if let Some(address) = surroundings.variable(DEFAULT_LISTEN).filter(|_| !loaded.says_address) {
        loaded.config.listen_address = listen_address::parse(&address)
            .map_err(|problem| ConfigErrors::single(DEFAULT_LISTEN, format!("{address:?} {problem}")))?;
    }
    if let Some(address) = &options.admin {
        let admin = loaded.config.admin.get_or_insert_default();
        admin.listen_address.clone_from(address);
        if admin.stands_open(&loaded.config.auth) {
            return Err(ConfigErrors::single("--admin", format!("{address:?} {NEEDS_TOKEN}")));
        }
    }
    if let Some(dir) = &options.data_dir {
        match &mut loaded.config.store {
            StoreConfig::Embedded { data_dir, .. } => data_dir.clone_from(dir),
            StoreConfig::Redis(_) => {
                return Err(ConfigErrors::single(
                    "--data-dir",
                    "is for the embedded store, but jobs are kept in Redis",
                ));
            }
        }
    }
    Ok(loaded)
}

/// Reads the file; `None` where there is none and none is named.
fn read_file(options: &Options, surroundings: &Surroundings<'_>) -> Option<Result<Loaded, ConfigErrors>> {
    let named = options.config.clone().or_else(|| surroundings.variable("PROXQ_CONFIG").map(PathBuf::from));
    let path = named.as_deref().unwrap_or(surroundings.usual_file);
    let name = path.display().to_string();
    match fs::read(path) {
        Ok(bytes) => Some(
            String::from_utf8(bytes)
                .map_err(|error| ConfigErrors::single(&name, format!("is not UTF-8: {}", error.utf8_error())))
                .and_then(|text| match surroundings.reader {
                    Reader::Server => config::load(&name, &text, surroundings.env),
                    Reader::Person => load_beside_service(path, &name, &text, surroundings.env),
                }),
        ),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(ConfigErrors::single(&name, format!("the configuration file cannot be read: {error}")))),
    }
}

/// Takes the variables that the environment lacks from the environment file of a service.
fn load_beside_service(
    path: &Path,
    name: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigErrors> {
    let service = EnvironmentFile::beside(path);
    let is_used = Cell::new(false);
    let loaded =
        config::load(name, text, &|name| env(name).or_else(|| service.get(name).inspect(|_| is_used.set(true))));
    match loaded {
        Ok(loaded) => {
            let variables_from = is_used.get().then(|| service.path().display().to_string());
            Ok(Loaded { variables_from, ..loaded })
        }
        Err(errors) => Err(match service.unreadable() {
            Some(error) => {
                errors.and(&service.path().display().to_string(), format!("its variables are missing: {error}"))
            }
            None => errors,
        }),
    }
}

const NO_CONFIGURATION: &str = "\
there is no configuration. Use one of these:
  proxq --config FILE          with a configuration file; config.yaml in the current folder needs no flag
  PROXQ_CONFIG=FILE proxq      the same, from the environment
  proxq --upstream URL         without a file: one upstream, such as http://127.0.0.1:3000, and every default";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;
    use crate::config::{AnswerMode, Config};

    fn read(arguments: &[&str], surroundings: &Surroundings<'_>) -> Result<Config, String> {
        let options = Cli::try_parse_from(["proxq"].iter().chain(arguments)).unwrap().options;
        read_config_in(&options, surroundings, no_configuration)
            .map(|loaded| loaded.config)
            .map_err(|error| error.to_string())
    }

    /// What the configuration says its upstream is, with a folder for `config.yaml` and a value for `PROXQ_CONFIG`.
    fn upstream(arguments: &[&str], folder: &Path, variable: Option<&Path>) -> Result<String, String> {
        let env = |name: &str| (name == "PROXQ_CONFIG").then(|| Some(variable?.display().to_string())).flatten();
        let surroundings = Surroundings { usual_file: &folder.join("config.yaml"), env: &env, reader: Reader::Server };
        Ok(read(arguments, &surroundings)?.upstreams[0].url.to_string())
    }

    /// Surroundings with these variables and without a usual file.
    fn nowhere(env: &dyn Fn(&str) -> Option<String>) -> Surroundings<'_> {
        Surroundings { usual_file: Path::new("/nowhere"), env, reader: Reader::Server }
    }

    fn write(path: &Path, host: &str) {
        fs::write(path, format!("upstreams: [{{prefix: /, url: 'http://{host}'}}]")).unwrap();
    }

    #[test]
    fn the_flag_comes_before_the_environment_and_the_environment_before_the_usual_file() {
        let dir = tempfile::tempdir().unwrap();
        let (flag, variable) = (dir.path().join("flag.yaml"), dir.path().join("variable.yaml"));
        write(&flag, "flag");
        write(&variable, "variable");
        write(&dir.path().join("config.yaml"), "usual");
        let flags = ["--config", flag.to_str().unwrap()];
        assert_eq!(upstream(&flags, dir.path(), Some(&variable)).as_deref(), Ok("http://flag"));
        assert_eq!(upstream(&[], dir.path(), Some(&variable)).as_deref(), Ok("http://variable"));
        assert_eq!(upstream(&[], dir.path(), Some(Path::new(""))).as_deref(), Ok("http://usual"));
        assert_eq!(upstream(&[], dir.path(), None).as_deref(), Ok("http://usual"));
        let no_file = ["--upstream", "http://no-file"];
        assert_eq!(upstream(&no_file, dir.path(), Some(&variable)).as_deref(), Ok("http://no-file"));
    }

    #[test]
    fn a_flag_says_how_the_upstream_of_a_flag_is_answered() {
        let mode = |arguments: &[&str]| read(arguments, &nowhere(&|_| None)).unwrap().upstreams[0].answer_mode;
        assert_eq!(mode(&["--upstream", "http://a"]), AnswerMode::Queue);
        assert_eq!(mode(&["--upstream", "http://a", "--mode", "follow"]), AnswerMode::Follow);
    }

    #[test]
    fn without_a_configuration_every_way_to_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = upstream(&[], dir.path(), None).unwrap_err();
        for way in ["--config FILE", "PROXQ_CONFIG=FILE", "config.yaml", "--upstream URL"] {
            assert!(message.contains(way), "{message}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing.yaml");
        for message in [
            upstream(&["--config", missing.to_str().unwrap()], dir.path(), None).unwrap_err(),
            upstream(&[], dir.path(), Some(&missing)).unwrap_err(),
        ] {
            assert!(message.starts_with(&format!("{}: the configuration file cannot be read: ", missing.display())));
        }
        fs::write(&missing, b"queue: \xff").unwrap();
        let message = upstream(&["--config", missing.to_str().unwrap()], dir.path(), None).unwrap_err();
        assert!(message.contains("is not UTF-8"), "{message}");
    }

    #[test]
    fn flags_win_over_the_file() {
        let flags = ["--upstream", "http://api", "--listen", ":9000", "--data-dir", "/tmp/x"];
        let config = read(&flags, &nowhere(&|_| None)).unwrap();
        assert_eq!(config.listen_address, "[::]:9000");
        assert!(matches!(config.store, StoreConfig::Embedded { data_dir, .. } if data_dir == Path::new("/tmp/x")));
    }

    #[test]
    fn the_default_address_yields_to_the_flag_and_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (silent, says) = (dir.path().join("silent.yaml"), dir.path().join("says.yaml"));
        write(&silent, "a");
        fs::write(&says, "{listenAddress: ':1', upstreams: [{prefix: /, url: 'http://a'}]}").unwrap();
        let address = |arguments: &[&str], variable: &'static str| {
            let env = move |name: &str| (name == "PROXQ_DEFAULT_LISTEN").then(|| variable.to_owned());
            read(arguments, &nowhere(&env)).map(|config| config.listen_address)
        };
        let (silent, says) = (["--config", silent.to_str().unwrap()], ["--config", says.to_str().unwrap()]);
        let upstream = ["--upstream", "http://a"];
        assert_eq!(address(&silent, ":2").as_deref(), Ok("[::]:2"));
        assert_eq!(address(&says, ":2").as_deref(), Ok("[::]:1"));
        assert_eq!(address(&upstream, ":2").as_deref(), Ok("[::]:2"));
        assert_eq!(address(&upstream, "").as_deref(), Ok("127.0.0.1:8080"));
        assert_eq!(address(&[&upstream[..], &["--listen", ":3"]].concat(), ":2").as_deref(), Ok("[::]:3"));
        let error = address(&upstream, "2").unwrap_err();
        assert!(error.contains("PROXQ_DEFAULT_LISTEN: \"2\" has no port"), "{error}");
    }

    #[test]
    fn a_person_reads_the_variables_of_the_service_which_yield_to_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.yaml");
        fs::write(&file, "upstreams: [{prefix: /, url: 'http://${HOST}:${PORT}'}]").unwrap();
        fs::write(dir.path().join("environment"), "HOST=service\nPORT=1\n").unwrap();
        let env = |name: &str| (name == "HOST").then(|| "own".to_owned());
        let flags = ["proxq", "--config", file.to_str().unwrap()];
        let options = Cli::try_parse_from(flags).unwrap().options;
        let read = |reader| read_config_in(&options, &Surroundings { reader, ..nowhere(&env) }, no_configuration);
        let loaded = read(Reader::Person).unwrap();
        assert_eq!(loaded.config.upstreams[0].url.to_string(), "http://own:1");
        assert_eq!(loaded.variables_from, Some(dir.path().join("environment").display().to_string()));
        let message = read(Reader::Server).unwrap_err().to_string();
        assert!(message.contains("PORT is not set"), "the server has its own environment: {message}");

        fs::write(dir.path().join("environment"), b"PORT=\xff").unwrap();
        let message = read(Reader::Person).unwrap_err().to_string();
        assert!(message.contains("PORT is not set") && message.contains("environment: its variables are missing: "));
    }
}
