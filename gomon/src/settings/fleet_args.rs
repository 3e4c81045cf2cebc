//! The arguments of `gomon fleet`.

use std::path::PathBuf;

use clap::Parser;

/// The end of `--help`.
const AFTER_HELP: &str = "\
Signals:
  SIGHUP   re-reads the configuration, and reopens EVE files
  SIGUSR1  logs the status of every bot
  SIGTERM  writes everything, and ends

Example:
  gomon fleet --config /etc/gomon/gomon.toml --check";

/// Watches the bots of a configuration file in one process, on interfaces that come and go.
#[derive(Debug, Parser)]
#[command(
    name = "gomon fleet",
    bin_name = "gomon fleet",
    version = crate::VERSION,
    after_help = AFTER_HELP,
    max_term_width = 100,
    arg_required_else_help = true,
    args_override_self = true
)]
pub struct FleetArgs {
    /// The configuration file, in TOML
    #[arg(long, value_name = "PATH")]
    pub config: PathBuf,

    /// Check the configuration, print what would run, and end
    #[arg(long)]
    pub check: bool,
}
