//! The command line.

use std::net::SocketAddr;

use clap::Parser;

use crate::ceiling::Bare;
use crate::measure::Measure;

/// Measures proxq beside what it is compared with, on this machine and in this run.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// What is measured; everything, if nothing is named
    pub(crate) measures: Vec<Measure>,
    /// Measure for three minutes instead of twenty: fewer and shorter rounds, smaller bodies and queues
    #[arg(long)]
    pub(crate) quick: bool,
    /// Another server that takes proxq's configuration and requests, measured beside it on a Redis of its own. In the
    /// command, `{config}` stands for the path of the configuration. May be given several times
    #[arg(long = "peer", value_name = "COMMAND")]
    pub(crate) peers: Vec<String>,
    /// Be one of the bare servers that proxq is compared with, in front of `upstream`
    #[arg(long, hide = true, requires = "upstream")]
    pub(crate) bare: Option<Bare>,
    #[arg(long, hide = true)]
    pub(crate) upstream: Option<SocketAddr>,
}
