//! The arguments of `gomon ctl`.

use std::path::PathBuf;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{
    ArgAction, ArgMatches, Args as ClapArgs, Command, CommandFactory, Error, FromArgMatches,
    Parser, Subcommand,
};

use super::args::Args;

/// The default path of the control socket.
pub const CONTROL_SOCKET: &str = "/run/gomon/control.sock";

/// The end of `--help`.
const AFTER_HELP: &str = "\
Exit status:
  0  done
  1  gomon fleet answered with an error, and changed nothing
  2  the command line is wrong, or no gomon fleet answers at the socket

Examples:
  gomon ctl add vnet7 10.10.0.27 --sample-id beacon-42 --window 10
  gomon ctl status --json | jq '.bots[] | select(.verdicts.attack > 0)'";

/// Controls a running `gomon fleet` over its socket.
#[derive(Debug, Parser)]
#[command(
    name = "gomon ctl",
    bin_name = "gomon ctl",
    version = crate::VERSION,
    after_help = AFTER_HELP,
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub struct CtlArgs {
    /// The control socket of gomon fleet
    #[arg(long, value_name = "PATH", default_value = CONTROL_SOCKET, global = true)]
    pub socket: PathBuf,

    /// Print the answer as one line of JSON
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: CtlCommand,
}

/// What to do with a running fleet.
#[derive(Debug, Subcommand)]
pub enum CtlCommand {
    /// Watch a bot from now on, or as soon as its interface exists
    Add(AddArgs),
    /// Stop watching a bot: its last window is written
    Remove {
        /// The interface
        interface: String,
        /// The bot's address, as it was given; not needed if the interface has one bot
        src: Option<String>,
    },
    /// List the bots and whether they are counted
    List,
    /// Show the counts and verdicts of every bot
    Status,
    /// Re-read the configuration, and reopen EVE files
    Reload,
}

/// The bot of `gomon ctl add`: the flags are those of the command that watches one bot.
#[derive(Debug)]
pub struct AddArgs {
    /// The interface.
    pub interface: String,
    /// The bot's addresses, as they are written.
    pub src: String,
    /// The names of the flags that are given, in snake case, and their values as they are written. A switch has none.
    pub settings: Vec<(String, Vec<String>)>,
}

impl ClapArgs for AddArgs {
    fn augment_args(command: Command) -> Command {
        let about = command.get_about().cloned();
        let command = Args::augment_args(command);
        let command = command.mut_arg("input", |arg| {
            arg.index(1).value_name("INTERFACE").help("The interface").long_help(None::<&str>)
        });
        let command = command.mut_arg("source", |arg| {
            arg.index(2).required_unless_present(Resettable::Reset).required(true)
        });
        let command = command.after_help("").after_long_help("").args_override_self(true);
        let command = ["list_sources", "calibrate", "log_level", "quiet", "die_with_parent"]
            .into_iter()
            .fold(command, |command, name| command.mut_arg(name, |arg| arg.hide(true)));
        match about {
            Some(about) => command.about(about).long_about(None::<&str>),
            None => command,
        }
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for AddArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let raw = |name: &str| -> Result<Vec<String>, Error> {
            let values = matches.get_raw(name).into_iter().flatten();
            let values = values.map(|value| value.to_str().map(str::to_owned));
            values.collect::<Option<_>>().ok_or_else(|| {
                Error::raw(ErrorKind::InvalidUtf8, format!("the value of {name} is not UTF-8"))
            })
        };
        let is_given = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
        let command = Args::command();
        let flags = command.get_arguments().filter(|flag| flag.get_long().is_some());
        let given = flags.filter(|flag| is_given(flag.get_id().as_str()));
        let settings = given.map(|flag| {
            let name = flag.get_id().as_str();
            let is_switch = matches!(flag.get_action(), ArgAction::SetTrue);
            Ok((name.to_owned(), if is_switch { Vec::new() } else { raw(name)? }))
        });
        Ok(Self {
            settings: settings.collect::<Result<_, Error>>()?,
            interface: raw("input")?.concat(),
            src: raw("source")?.concat(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(args: &str) -> AddArgs {
        let args = ["ctl", "add"].into_iter().chain(args.split_whitespace());
        match CtlArgs::try_parse_from(args).unwrap().command {
            CtlCommand::Add(add) => add,
            other @ (CtlCommand::Remove { .. }
            | CtlCommand::List
            | CtlCommand::Status
            | CtlCommand::Reload) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_flags_of_a_bot_are_kept_as_they_are_written() {
        let bot =
            add("vnet7 10.0.0.5,::1 -w 10s --stats -x 10.0.0.1 --ignore-dst 10.0.0.2,10.0.0.3");
        assert_eq!((bot.interface.as_str(), bot.src.as_str()), ("vnet7", "10.0.0.5,::1"));
        let mut settings = bot.settings;
        settings.sort();
        let value = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
        let expected: Vec<(String, Vec<String>)> = vec![
            ("ignore_dst".into(), value(&["10.0.0.1", "10.0.0.2,10.0.0.3"])),
            ("stats".into(), value(&[])),
            ("window".into(), value(&["10s"])),
        ];
        assert_eq!(settings, expected);
    }

    #[test]
    fn the_options_of_the_client_are_accepted_after_the_command() {
        let args = CtlArgs::try_parse_from(["ctl", "status", "--json", "--socket", "x"]).unwrap();
        assert!(args.json && args.socket.as_os_str() == "x");
        let args = CtlArgs::try_parse_from(["ctl", "list"]).unwrap();
        assert_eq!(args.socket.as_os_str(), CONTROL_SOCKET);
        CtlArgs::try_parse_from(["ctl", "add", "vnet0"]).unwrap_err();
        CtlArgs::try_parse_from(["ctl"]).unwrap_err();
    }
}
