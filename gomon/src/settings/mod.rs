//! Settings: parsed by clap into typed arguments ([`Args`]), and resolved into those of the process
//! ([`ProcessSettings`]) and those of each bot ([`BotSettings`]).

mod address;
mod args;
mod bot;
mod choice;
mod command;
mod configuration;
mod ctl_args;
mod eve_target;
mod fleet_args;
mod given;
mod nearest;
mod origin;
mod process;
mod resolve;
mod usage_error;
mod value;

pub use address::CommaList;
pub use args::Args;
pub use bot::{BotSettings, EveSettings};
pub use choice::{AttachChoice, Connections, LogLevel, Switch};
pub use command::Command;
pub use ctl_args::{AddArgs, CONTROL_SOCKET, CtlArgs, CtlCommand};
pub use eve_target::EveTarget;
pub use fleet_args::FleetArgs;
pub use given::{BotGiven, GivenSetting, GivenValue};
pub(crate) use nearest::did_you_mean;
pub use origin::SettingOrigin;
pub use process::{ProcessSettings, RunMode};
pub use resolve::Settings;
pub use usage_error::usage_error;
pub use value::{Parsed, Threshold, ThresholdUnit};
