//! The commands of gomon, and which one the arguments select.

use std::ffi::OsString;

use clap::{Error, Parser};

use super::args::Args;
use super::ctl_args::CtlArgs;
use super::fleet_args::FleetArgs;

/// A command with its arguments.
#[derive(Debug)]
pub enum Command {
    /// Watches one bot: `gomon INPUT SRC_IP`.
    Watch(Box<Args>),
    /// Watches the bots of a configuration file: `gomon fleet`.
    Fleet(FleetArgs),
    /// Controls a running fleet: `gomon ctl`.
    Ctl(CtlArgs),
}

impl Command {
    /// Parses the arguments of the process, the first of which is its name. The command is the first argument after
    /// it; without a known one, the arguments are those of [`Command::Watch`].
    ///
    /// # Errors
    ///
    /// When the arguments are wrong, or ask for help or the version.
    pub fn parse(args: &[OsString]) -> Result<Self, Error> {
        match named(args) {
            Some("fleet") => FleetArgs::try_parse_from(&args[1..]).map(Self::Fleet),
            Some("ctl") => CtlArgs::try_parse_from(&args[1..]).map(Self::Ctl),
            _ => Args::try_parse_from(args).map(|args| Self::Watch(Box::new(args))),
        }
    }

    /// Returns the command as it is written to get its help: `gomon fleet`.
    #[must_use]
    pub fn name(args: &[OsString]) -> &'static str {
        match named(args) {
            Some("fleet") => "gomon fleet",
            Some("ctl") => "gomon ctl",
            _ => "gomon",
        }
    }
}

/// Returns the first argument, which may name a command.
fn named(args: &[OsString]) -> Option<&str> {
    args.get(1)?.to_str()
}
