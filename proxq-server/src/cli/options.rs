//! Flags that every command takes, and those of commands that can do without a configuration file.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, ValueEnum};

use crate::config::{AdminConfig, AnswerMode, UpstreamUrl, listen_address, shown_url};

/// One upstream in place of a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Served {
    /// Serve this upstream under /, without a configuration file.
    #[arg(long, value_name = "URL", conflicts_with = "config", value_parser = UrlFlag)]
    pub upstream: Option<UpstreamUrl>,

    /// How queued requests to --upstream are answered [default: queue].
    #[arg(long, value_name = "MODE", conflicts_with = "config", requires = "upstream", value_parser = answer_mode())]
    pub mode: Option<AnswerMode>,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Configuration file.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// What is served without a configuration file.
    #[command(flatten)]
    pub served: Served,

    /// Folder of the embedded store, instead of the file's dataDir.
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,

    /// Address to listen at, instead of the file's listenAddress; :8080 is all interfaces.
    #[arg(long, value_name = "ADDR", global = true, value_parser = listen_address::parse)]
    pub listen: Option<String>,

    /// Listen for operators, too: at this address, instead of the file's admin.listenAddress [default: 127.0.0.1:9090].
    #[arg(long, value_name = "ADDR", global = true, num_args = 0..=1, require_equals = true,
          default_missing_value = AdminConfig::ADDRESS, value_parser = listen_address::parse)]
    pub admin: Option<String>,

    /// How log lines are written.
    #[arg(long, value_name = "FORMAT", global = true, default_value = "text")]
    pub log_format: LogFormat,

    /// Least important lines to log [default: info].
    #[arg(long, value_name = "LEVEL", global = true)]
    pub log_level: Option<LogLevel>,
}

/// Reads the URL of a flag. The library would repeat a refused one as it is, with a password in it.
#[derive(Clone)]
struct UrlFlag;

impl TypedValueParser for UrlFlag {
    type Value = UpstreamUrl;

    fn parse_ref(
        &self,
        command: &clap::Command,
        flag: Option<&Arg>,
        value: &OsStr,
    ) -> Result<UpstreamUrl, clap::Error> {
        let url = value.to_string_lossy();
        UpstreamUrl::new(&url).map_err(|problem| {
            let flag = flag.map(ToString::to_string).unwrap_or_default();
            let message = format!("invalid value {} for '{flag}': it {problem}\n", shown_url(&url));
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

/// Reads one of the words for an [`AnswerMode`].
fn answer_mode() -> impl TypedValueParser<Value = AnswerMode> {
    let words = AnswerMode::WORDS.map(|(word, _)| word);
    PossibleValuesParser::new(words).map(|word| AnswerMode::of_word(&word).expect("it is one of the possible values"))
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
    /// The life of the process; a line for each request and for each job's end.
    Info,
    /// Single connections and attempts.
    Debug,
    /// Everything.
    Trace,
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn the_log_level_comes_from_the_flag_then_the_environment() {
        let filter = |arguments: &[&str], variable: &'static str| {
            let env = move |name: &str| (name == "RUST_LOG").then(|| variable.to_owned());
            Flags::try_parse_from(["x"].iter().chain(arguments)).unwrap().options.log_filter_in(&env)
        };
        assert_eq!(filter(&["--log-level", "debug"], "warn"), "debug");
        assert_eq!(filter(&[], "warn,proxq_server::worker=trace"), "warn,proxq_server::worker=trace");
        assert_eq!(filter(&[], ""), "info");
    }
}
