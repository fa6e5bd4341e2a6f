//! Flags and commands; `configuration` is where they lead to.

mod configuration;
mod environment_file;
mod jobs;
mod options;
mod place;
mod span;
mod submit;
mod token;
mod top;

use std::mem;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub use configuration::{read_config, read_config_to_ask, read_config_to_check};
pub(crate) use jobs::{Cancel, Chosen, JobsCommand, List, Order, Ordered, Retry, Show, Wait};
pub(crate) use options::LogFormat;
pub use options::Options;
use options::Served;
pub use place::OwnCertificate;
pub(crate) use place::{AtClients, AtOperators, TlsFlags};
pub(crate) use submit::{Data, Submit};
pub use token::{TokenCommand, new_token};
pub(crate) use top::Top;

/// Turns any HTTP request into a durable job: it is accepted at once, forwarded when its upstream can take it, and its
/// exact response is fetched later.
#[derive(Clone, Debug, Parser)]
#[command(name = "proxq", version = version(), after_help = EXAMPLES)]
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
PROXQ_DEFAULT_LISTEN, which containers set, is where to listen if neither --listen nor the file says so.

Examples:
  proxq --upstream http://127.0.0.1:3000   serve one upstream, with every default
  proxq --upstream https://api.openai.com --mode follow
                                           the same for SDKs that know nothing of jobs
  proxq --config /etc/proxq/config.yaml    serve what the file says
  proxq check config.yaml                  say what a file means, or what is wrong with it
  proxq check --from-go config.yaml        the same, and where it means something else to the Go proxq
  proxq check --store config.yaml          the same, and verify every stored job
  proxq healthcheck                        ask the running server whether it takes work
  proxq submit /reports -d @report.json    submit a request to the running server, wait, print the response
  proxq jobs list --state failed           list the jobs of the running server; its flag --admin allows that
  proxq top                                watch the running server
  proxq token new                          make an access token, and print it and its hash
  proxq schema                             print the JSON Schema of configuration files, for editors
  proxq completions bash                   print a script for bash, zsh, fish, elvish or PowerShell

Exit codes: 0 after a clean shutdown, 1 for a failure at run time, 2 for a mistake in flags or configuration. Those of
submit and jobs are in their own help.";

/// The version of the package, and the commit where the build says it: in the environment variable `PROXQ_COMMIT`, since
/// sources that are handed out are no repository.
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let version = env!("CARGO_PKG_VERSION");
        match option_env!("PROXQ_COMMIT").filter(|commit| !commit.is_empty()) {
            Some(commit) => format!("{version} ({commit})"),
            None => version.to_owned(),
        }
    });
    &VERSION
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve (the default).
    Serve {
        /// What is served without a configuration file.
        #[command(flatten)]
        served: Served,
    },
    /// Check the configuration: print what it means, and warnings.
    ///
    /// Variables that are not set are taken from the file `environment` beside the configuration, which the systemd unit
    /// reads.
    Check {
        /// Configuration file, the same as --config.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Print where the file means something else to the Go proxq, too.
        #[arg(long)]
        from_go: bool,
        /// Check the job store, too: its structure, every checksum, and which keys seal how many jobs. An embedded store must not be in
        /// use; of one in Redis, only the jobs of each key are counted.
        #[arg(long)]
        store: bool,
        /// What is served without a configuration file.
        #[command(flatten)]
        served: Served,
    },
    /// Ask the server that runs on this configuration whether it takes work: exit code 0 if it does, else 1.
    ///
    /// Variables are those of `check`. By TLS, the server has to show the configuration's certificate. Where it asks for a
    /// client's and none is given here, it is enough that it answers so far.
    Healthcheck {
        /// What is served without a configuration file.
        #[command(flatten)]
        served: Served,
        /// What the server is shown.
        #[command(flatten)]
        own: OwnCertificate,
    },
    /// Submit a request to the running server, wait for its job, and print the upstream's response.
    Submit(Submit),
    /// Look at jobs of the running server, retry and cancel them, wait for them.
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Watch the running server: its queues, its rates, its instances.
    Top(Top),
    /// Make access tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print the JSON Schema of configuration files, for editors.
    Schema,
    /// Print a script that completes proxq's flags and commands in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

impl Default for Command {
    fn default() -> Self {
        Self::Serve { served: Served::default() }
    }
}

impl Command {
    /// What it says of an upstream, if it can say that.
    fn served(&mut self) -> Option<&mut Served> {
        match self {
            Self::Serve { served } | Self::Check { served, .. } | Self::Healthcheck { served, .. } => Some(served),
            Self::Submit(_)
            | Self::Jobs(_)
            | Self::Top(_)
            | Self::Token(_)
            | Self::Schema
            | Self::Completions { .. } => None,
        }
    }
}

/// Reads the command line; on a mistake in it, or for `--help` and `--version`, prints and ends the process.
#[must_use]
pub fn parse() -> Cli {
    Cli::parse().with_one_source().unwrap_or_else(|error| error.exit())
}

/// The script that completes flags and commands in this shell.
#[must_use]
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut <Cli as CommandFactory>::command(), "proxq", &mut script);
    script
}

impl Cli {
    /// Refuses more than one of a file to check, `--config` and `--upstream`. clap itself does not see a flag before the command.
    fn with_one_source(mut self) -> Result<Self, clap::Error> {
        let of_command =
            self.command.as_mut().and_then(Command::served).is_some_and(|served| served.upstream.is_some());
        let by_flag = of_command || self.options.served.upstream.is_some();
        let conflict = |message: String| Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        match &self.command {
            Some(Command::Check { file: Some(file), .. }) if by_flag || self.options.config.is_some() => {
                conflict(format!("{} is to be checked, so neither --config nor --upstream can be used", file.display()))
            }
            _ if by_flag && self.options.config.is_some() => {
                conflict("--upstream takes the place of a configuration, so --config cannot be used".to_owned())
            }
            _ => Ok(self),
        }
    }

    /// What to do, and with what.
    #[must_use]
    pub fn into_parts(self) -> (Command, Options) {
        let mut command = self.command.unwrap_or_default();
        let mut options = self.options;
        if let Some(served) = command.served().map(mem::take) {
            options.served.upstream = served.upstream.or(options.served.upstream);
            options.served.mode = served.mode.or(options.served.mode);
        }
        if let Command::Check { file: Some(file), .. } = &command {
            options.config = Some(file.clone());
        }
        (command, options)
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::config::AnswerMode;

    fn cli(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["proxq"].iter().chain(arguments))?.with_one_source()
    }

    #[test]
    fn the_flags_are_consistent() {
        <Cli as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn serving_is_the_default_command() {
        for arguments in [&[][..], &["--config", "x"], &["serve", "--config", "x"], &["--config", "x", "serve"]] {
            assert_eq!(cli(arguments).unwrap().into_parts().0, Command::default());
        }
    }

    #[test]
    fn a_mode_is_one_of_three_words_for_an_upstream_of_a_flag() {
        for (word, mode) in AnswerMode::WORDS {
            let options = cli(&["--upstream", "http://a", "--mode", word]).unwrap().into_parts().1;
            assert_eq!(options.served.mode, Some(mode));
        }
        for refused in [
            &["--mode", "follow"][..],
            &["--mode", "follow", "--config", "x"],
            &["--upstream", "http://a", "--mode", "direct"],
            &["--upstream", "http://a", "--mode", "Follow"],
        ] {
            assert!(cli(refused).is_err(), "{refused:?}");
        }
        let unknown = cli(&["--upstream", "http://a", "--mode", "sideways"]).unwrap_err().to_string();
        assert!(
            unknown.contains("'sideways' for '--mode <MODE>'") && unknown.contains("queue, wait, follow"),
            "{unknown}"
        );
    }

    #[test]
    fn a_file_to_check_is_named_with_or_without_a_flag() {
        for arguments in [&["check", "--config", "x"][..], &["--config", "x", "check"], &["check", "x"]] {
            let (command, options) = cli(arguments).unwrap().into_parts();
            assert!(matches!(command, Command::Check { from_go: false, store: false, .. }), "{command:?}");
            assert_eq!(options.config, Some(PathBuf::from("x")));
        }
        let (command, options) = cli(&["check", "--store", "x", "--from-go"]).unwrap().into_parts();
        assert!(matches!(command, Command::Check { from_go: true, store: true, .. }), "{command:?}");
        assert_eq!(options.config, Some(PathBuf::from("x")));
    }

    #[test]
    fn every_shell_has_its_completions() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(*shell)).unwrap();
            for word in [
                "proxq",
                "healthcheck",
                "upstream",
                "log-format",
                "submit",
                "cancel-on-interrupt",
                "may-duplicate",
                "interval",
            ] {
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
            &["--config", "x", "serve", "--upstream", "http://a"],
            &["serve", "--upstream", "http://a", "--config", "x"],
            &["serve", "--mode", "wait"],
            &["--log-format", "xml"],
            &["--log-level", "loud"],
            &["--confg", "x"],
            &["dance"],
            &["check", "x", "--config", "y"],
            &["--config", "y", "check", "x"],
            &["check", "x", "--upstream", "http://a"],
            &["check", "x", "y"],
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
    fn a_refused_url_is_shown_without_what_may_be_secret() {
        for (url, shown) in [
            ("http://me:hush@api", "\"http://*******@api\" for '--upstream <URL>': it must not have userinfo"),
            ("http://api/?key=hush", "\"http://api/?********\" for '--upstream <URL>': it must not have a query"),
            ("api/?key=hush", "\"api/?********\" for '--upstream <URL>': it "),
        ] {
            let message = cli(&["--upstream", url]).unwrap_err().to_string();
            assert!(message.contains(shown) && !message.contains("hush"), "{message}");
        }
    }
}
