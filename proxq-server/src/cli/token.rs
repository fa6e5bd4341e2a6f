//! Flags of `proxq token`.

use clap::Subcommand;

use crate::access_token::{self, TokenDigest};

/// What to do with access tokens.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum TokenCommand {
    /// Make an access token, and print it and its hash.
    #[command(after_help = EXAMPLE)]
    New {
        /// Print a JSON object: {"token": …, "tokenHash": …}.
        #[arg(long)]
        json: bool,
    },
}

const EXAMPLE: &str = "\
The client gets the token, and the configuration its hash:

  auth:
    tokens:
      - name: web
        tokenHash: sha256:…

Nobody can make the token of the hash, so keep the token where the client keeps its secrets.

Examples:
  proxq token new
  proxq token new --json | jq -r .token";

/// A new token, as `proxq token new` prints it.
#[must_use]
pub fn new_token(json: bool) -> String {
    let token = access_token::make();
    let hash = TokenDigest::of(&token).written();
    if json {
        // Letters, digits and signs that JSON takes as they are.
        format!("{{\"token\":\"{token}\",\"tokenHash\":\"{hash}\"}}\n")
    } else {
        format!("token: {token}\ntokenHash: {hash}\n")
    }
}
