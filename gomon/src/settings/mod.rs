//! Settings: parsed by clap into typed arguments ([`Args`]), and resolved into those of the process
//! ([`ProcessSettings`]) and those of each bot ([`BotSettings`]).

mod address;
mod args;
mod bot;
mod choice;
mod configuration;
mod eve_target;
mod origin;
mod process;
mod resolve;
mod usage_error;
mod value;

pub use address::CommaList;
pub use args::Args;
pub use bot::{BotSettings, EveSettings};
pub use choice::{AttachChoice, Connections, LogLevel, Switch};
pub use eve_target::EveTarget;
pub use origin::SettingOrigin;
pub use process::{ProcessSettings, RunMode};
pub use resolve::Settings;
pub use usage_error::usage_error;
pub use value::{Parsed, Threshold, ThresholdUnit};
