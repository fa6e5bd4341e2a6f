//! Flags, and where the configuration comes from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::{self, ConfigErrors, Loaded, StoreConfig, UpstreamUrl, listen_address};

/// Turns any HTTP request into a durable job: it is accepted at once, forwarded when its upstream can take it, and its
/// exact response is fetched later.
#[derive(Clone, Debug, Parser)]
#[command(name = "proxq", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// What every command takes.
    #[command(flatten)]
    pub options: Options,
}

const EXAMPLES: &str = "\
The configuration is the file that --config names, else the one that PROXQ_CONFIG names, else config.yaml in the
current folder. With --upstream no file is read. Without --log-level, RUST_LOG says what is logged.

Examples:
  proxq --upstream http://127.0.0.1:3000   serve one upstream, with every default
  proxq --config /etc/proxq/config.yaml    serve what the file says
  proxq check --config config.yaml         say what a file means, or what is wrong with it
  proxq check --store --config config.yaml the same, and verify every stored job
  proxq healthcheck                        ask the running server whether it takes work
  proxq schema                             print the JSON Schema of configuration files, for editors
  proxq completions bash                   print a script for bash, zsh, fish, elvish or PowerShell

Exit codes: 0 after a clean shutdown, 1 for a failure at run time, 2 for a mistake in flags or configuration.";

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve (the default).
    #[default]
    Serve,
    /// Check the configuration: print what it means, warnings, and where it means something else to the Go proxq.
    Check {
        /// Check the job store, too: its structure and every checksum. The store must not be in use.
        #[arg(long)]
        store: bool,
    },
    /// Ask the server that runs on this configuration whether it takes work: exit code 0 if it does, else 1.
    Healthcheck,
    /// Print the JSON Schema of configuration files, for editors.
    Schema,
    /// Print a script that completes proxq's flags and commands in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Configuration file.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Serve this upstream under /, without a configuration file.
    #[arg(long, value_name = "URL", global = true, conflicts_with = "config", value_parser = UpstreamUrl::new)]
    pub upstream: Option<UpstreamUrl>,

    /// Folder of the embedded store, instead of the file's dataDir.
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,

    /// Address to listen at, instead of the file's listenAddress; :8080 is all interfaces.
    #[arg(long, value_name = "ADDR", global = true, value_parser = listen_address::parse)]
    pub listen: Option<String>,

    /// How log lines are written.
    #[arg(long, value_name = "FORMAT", global = true, default_value = "text")]
    pub log_format: LogFormat,

    /// Least important lines to log [default: info].
    #[arg(long, value_name = "LEVEL", global = true)]
    pub log_level: Option<LogLevel>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: a JSON object a line.
    Json,
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// An operator must act.
    Error,
    /// Something went wrong, and was dealt with.
    Warn,
    /// The life of the process.
    Info,
    /// The life of a job.
    Debug,
    /// Everything.
    Trace,
}

/// Reads the command line; on a mistake in it, or for `--help` and `--version`, prints and ends the process.
#[must_use]
pub fn parse() -> Cli {
    Cli::parse()
}

/// The script that completes flags and commands in this shell.
#[must_use]
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut <Cli as CommandFactory>::command(), "proxq", &mut script);
    script
}

impl Cli {
    /// What to do.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command.unwrap_or_default()
    }
}

impl Options {
    /// What to log, in the notation of `RUST_LOG`.
    #[must_use]
    pub fn log_filter(&self) -> String {
        self.log_filter_in(&|name| std::env::var(name).ok())
    }

    fn log_filter_in(&self, env: &dyn Fn(&str) -> Option<String>) -> String {
        let flag = self.log_level.and_then(|level| Some(level.to_possible_value()?.get_name().to_owned()));
        let variable = || env("RUST_LOG").filter(|directives| !directives.is_empty());
        flag.or_else(variable).unwrap_or_else(|| "info".to_owned())
    }
}

/// Reads the configuration that the flags and the environment lead to.
///
/// # Errors
/// Everything that is wrong with it, or that there is none.
pub fn read_config(options: &Options) -> Result<Loaded, ConfigErrors> {
    read_config_in(options, Path::new("config.yaml"), &|name| std::env::var(name).ok())
}

fn read_config_in(
    options: &Options,
    usual_file: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigErrors> {
    let mut loaded = match &options.upstream {
        Some(url) => Loaded::for_upstream(url.clone()),
        None => read_file(options, usual_file, env)?,
    };
    if let Some(address) = &options.listen {
        loaded.config.listen_address.clone_from(address);
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

fn read_file(
    options: &Options,
    usual_file: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigErrors> {
    let variable = || env("PROXQ_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    let named = options.config.clone().or_else(variable);
    let path = named.as_deref().unwrap_or(usual_file);
    let name = path.display().to_string();
    match fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8(bytes)
                .map_err(|error| ConfigErrors::single(&name, format!("is not UTF-8: {}", error.utf8_error())))?;
            config::load(&name, &text, env)
        }
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
            Err(ConfigErrors::single("", NO_CONFIGURATION))
        }
        Err(error) => Err(ConfigErrors::single(&name, format!("the configuration file cannot be read: {error}"))),
    }
}

const NO_CONFIGURATION: &str = "\
there is no configuration. Use one of these:
  proxq --config FILE          with a configuration file; config.yaml in the current folder needs no flag
  PROXQ_CONFIG=FILE proxq      the same, from the environment
  proxq --upstream URL         without a file: one upstream, such as http://127.0.0.1:3000, and every default";

#[cfg(test)]
mod tests {
    use super::*;

    fn cli(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["proxq"].iter().chain(arguments))
    }

    /// What the configuration says its upstream is, with a folder for `config.yaml` and a value for `PROXQ_CONFIG`.
    fn upstream(arguments: &[&str], folder: &Path, variable: Option<&Path>) -> Result<String, String> {
        let env = |name: &str| (name == "PROXQ_CONFIG").then(|| Some(variable?.display().to_string())).flatten();
        let options = cli(arguments).map_err(|error| error.to_string())?.options;
        let loaded = read_config_in(&options, &folder.join("config.yaml"), &env).map_err(|error| error.to_string())?;
        Ok(loaded.config.upstreams[0].url.to_string())
    }

    fn write(path: &Path, host: &str) {
        fs::write(path, format!("upstreams: [{{prefix: /, url: 'http://{host}'}}]")).unwrap();
    }

    #[test]
    fn the_flags_are_consistent() {
        <Cli as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn serving_is_the_default_command() {
        for arguments in [&[][..], &["--config", "x"], &["serve", "--config", "x"], &["--config", "x", "serve"]] {
            assert_eq!(cli(arguments).unwrap().command(), Command::Serve);
        }
        for arguments in [&["check", "--config", "x"], &["--config", "x", "check"]] {
            let cli = cli(arguments).unwrap();
            assert_eq!(
                (cli.command(), cli.options.config),
                (Command::Check { store: false }, Some(PathBuf::from("x")))
            );
        }
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
        let options = cli(&flags).unwrap().options;
        let config = read_config_in(&options, Path::new("config.yaml"), &|_| None).unwrap().config;
        assert_eq!(config.listen_address, "[::]:9000");
        assert!(matches!(config.store, StoreConfig::Embedded { data_dir, .. } if data_dir == Path::new("/tmp/x")));
    }

    #[test]
    fn every_shell_has_its_completions() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(*shell)).unwrap();
            for word in ["proxq", "healthcheck", "upstream", "log-format"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn bad_flags_are_usage_errors() {
        for arguments in [
            &["--upstream", "api:3000"][..],
            &["--listen", "8080"],
            &["--upstream", "http://a", "--config", "x"],
            &["--log-format", "xml"],
            &["--log-level", "loud"],
            &["--confg", "x"],
            &["dance"],
            &["completions"],
            &["completions", "dos"],
        ] {
            assert_eq!(cli(arguments).unwrap_err().exit_code(), 2, "{arguments:?}");
        }
        for arguments in [["--help"], ["--version"]] {
            assert_eq!(cli(&arguments).unwrap_err().exit_code(), 0);
        }
    }

    #[test]
    fn the_log_level_comes_from_the_flag_then_the_environment() {
        let filter = |arguments: &[&str], variable: &'static str| {
            let env = move |name: &str| (name == "RUST_LOG").then(|| variable.to_owned());
            cli(arguments).unwrap().options.log_filter_in(&env)
        };
        assert_eq!(filter(&["--log-level", "debug"], "warn"), "debug");
        assert_eq!(filter(&[], "warn,proxq_server::worker=trace"), "warn,proxq_server::worker=trace");
        assert_eq!(filter(&[], ""), "info");
    }
}
