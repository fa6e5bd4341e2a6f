//! Flags of `proxq submit`, which are those of curl where curl has them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http::{HeaderName, HeaderValue, Method};

use super::place::AtClients;
use super::span::span;

const EXAMPLES: &str = "\
Examples:
  proxq submit /reports -d '{\"year\": 2026}' -H 'Content-Type: application/json'
  proxq submit http://127.0.0.1:8080/images -d @large.png -o small.png
  generate | proxq submit /lines -d @- --no-wait
  proxq submit /reports -X DELETE -i --wait 30s

The response is printed as the upstream sent it. A request that proxq sends direct is answered without a job.

Exit codes: 0 if the upstream's status is below 400, 22 if not, 3 if the job failed, 28 if the time of --wait is over and the
job goes on, 1 if proxq cannot be reached or refuses the request, 2 for a mistake in the flags, 130 after Ctrl-C.";

/// Submit a request to the running server, wait for its job, and print the upstream's response.
///
/// Ctrl-C leaves the job running.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub struct Submit {
    /// The path and query of the request, or the whole URL: `http://127.0.0.1:8080/reports`.
    #[arg(value_name = "URL|PATH")]
    pub target: String,
    /// The request's method [default: GET, with --data POST].
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub method: Option<Method>,
    /// A header of the request.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<Header>,
    /// The request's body: this text, the bytes of @FILE, or those of standard input, @-. Its type is
    /// application/x-www-form-urlencoded unless a header says otherwise.
    #[arg(short = 'd', long = "data", value_name = "DATA|@FILE|@-")]
    pub data: Option<Data>,
    /// Wait no longer than this.
    #[arg(long, value_name = "DURATION", value_parser = span, conflicts_with = "no_wait")]
    pub wait: Option<Duration>,
    /// Do not wait: print the job's id.
    #[arg(long)]
    pub no_wait: bool,
    /// Cancel the job on Ctrl-C.
    #[arg(long, conflicts_with = "no_wait")]
    pub cancel_on_interrupt: bool,
    /// Write the response's body to this file.
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print the response's status and headers, too.
    #[arg(short = 'i', long = "include")]
    pub include: bool,
    /// File with the access token that the server asks for. Without this, `PROXQ_TOKEN` is the token.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Where the server is.
    #[command(flatten)]
    pub at: AtClients,
}

/// A header of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderValue,
}

impl std::str::FromStr for Header {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        // The value is not repeated in the message: it may be a credential.
        let (name, value) = text.split_once(':').ok_or("it is not written as 'Name: value'")?;
        let name = name.trim().parse().map_err(|_| "what stands before the colon is no name of a header")?;
        let mut value =
            HeaderValue::from_str(value.trim()).map_err(|_| "what stands behind the colon has control characters")?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

/// Where a request's body comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// From the command line.
    Given(String),
    /// From a file.
    File(PathBuf),
    /// From standard input.
    Input,
}

impl From<&str> for Data {
    fn from(text: &str) -> Self {
        match text.strip_prefix('@') {
            None => Self::Given(text.to_owned()),
            Some("-") => Self::Input,
            Some(file) => Self::File(file.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_a_colon_and_a_value() {
        let read: Header = "X-A:  b: c ".parse().unwrap();
        assert_eq!((read.name.as_str(), read.value.to_str().unwrap()), ("x-a", "b: c"));
        for bad in ["X-A", ": b", "X A: b", "X-A: b\r\nX-B: c"] {
            bad.parse::<Header>().unwrap_err();
        }
    }

    #[test]
    fn data_is_text_a_file_or_standard_input() {
        assert_eq!(Data::from("a@b"), Data::Given("a@b".to_owned()));
        assert_eq!(Data::from("@a b"), Data::File("a b".into()));
        assert_eq!(Data::from("@-"), Data::Input);
    }
}
