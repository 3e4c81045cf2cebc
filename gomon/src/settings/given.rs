//! Settings that a configuration file or a request gives. Their names, their values and the errors about them are those
//! of the flags, so every setting is defined once, in [`Args`].

use std::ffi::OsString;

use anyhow::{Result, anyhow, bail};
use clap::builder::Arg;
use clap::{ArgAction, CommandFactory, Parser};

use super::args::Args;
use super::nearest::did_you_mean;
use super::origin::SettingOrigin;
use super::resolve::Settings;
use super::usage_error::{rejection, usage_error};

/// The flags that apply to the whole process.
const OF_PROCESS: [&str; 3] = ["die_with_parent", "log_level", "quiet"];
/// The flags that apply to a run that ends by itself.
const OF_RUN: [&str; 3] = ["calibrate", "eve_fresh", "list_sources"];

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenValue {
    /// A switch.
    Switch(bool),
    /// A number or a text.
    Text(String),
    /// Several texts.
    List(Vec<String>),
}

impl GivenValue {
    /// Returns the value as it is written for a flag, which separates several texts with commas.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Switch(is_on) => is_on.to_string(),
            Self::Text(text) => text.clone(),
            Self::List(texts) => texts.join(","),
        }
    }
}

/// A setting, by the name of its flag in snake case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenSetting {
    /// The name: `eve_log_path`.
    pub key: String,
    /// The value.
    pub value: GivenValue,
    /// Where it was given.
    pub origin: SettingOrigin,
}

/// The settings of one bot, as they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotGiven {
    /// The interface.
    pub interface: String,
    /// The bot's addresses, separated by commas, or `any`.
    pub src: GivenSetting,
    /// All others.
    pub settings: Vec<GivenSetting>,
}

impl GivenSetting {
    /// Checks the name and, for itself, the value. With `of_process`, it may apply to the whole process.
    ///
    /// # Errors
    ///
    /// When no flag has this name, or the flag does not accept the value.
    pub fn check(&self, of_process: bool) -> Result<()> {
        let key = self.key.as_str();
        let command = Args::command();
        let flags = || command.get_arguments().filter(|flag| is_setting(flag, of_process));
        let Some(flag) = flags().find(|flag| flag.get_id() == key) else {
            if OF_PROCESS.contains(&key) {
                bail!("reading {}: applies to all bots: give it in [defaults]", self.origin);
            }
            if OF_RUN.contains(&key) {
                bail!("reading {}: not for bots that come and go: remove it", self.origin);
            }
            let names = flags().map(|flag| flag.get_id().as_str());
            let similar = did_you_mean(key, names.chain(["interface", "src"]));
            bail!("reading {}: unknown key{similar}: gomon --help lists the flags", self.origin);
        };
        match (&self.value, flag.get_action()) {
            (GivenValue::Switch(_), ArgAction::SetTrue) => return Ok(()),
            (_, ArgAction::SetTrue) => {
                bail!("{}: not a switch: give true or false", self.reading())
            }
            (GivenValue::List(_), ArgAction::Set) => {
                bail!("{}: several values: give one", self.reading())
            }
            _ => {}
        }
        // A switch that is not one has no argument, so its value is given as a text.
        let value = GivenValue::Text(self.value.text());
        let argument = Self { value, ..self.clone() }.argument();
        let args = ["gomon".into(), "any".into(), "any".into()].into_iter().chain(argument);
        match Args::try_parse_from(args) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.rejected(&error)),
        }
    }

    /// Returns the argument of the command line that gives the same setting, if any does.
    fn argument(&self) -> Option<OsString> {
        let flag = format!("--{}", self.key.replace('_', "-"));
        match &self.value {
            GivenValue::Switch(false) => None,
            GivenValue::Switch(true) => Some(flag.into()),
            value @ (GivenValue::Text(_) | GivenValue::List(_)) => {
                Some(format!("{flag}={}", value.text()).into())
            }
        }
    }

    /// Returns the context of an error about the value.
    fn reading(&self) -> String {
        self.origin.reading(&self.value.text())
    }

    fn rejected(&self, error: &clap::Error) -> anyhow::Error {
        let why = rejection(error).unwrap_or_else(|| usage_error(error, "gomon"));
        anyhow!("{}: {why}", self.reading())
    }
}

/// Whether a flag is a setting of a bot or, with `of_process`, of the process.
fn is_setting(flag: &Arg, of_process: bool) -> bool {
    let name = flag.get_id().as_str();
    let is_excluded =
        OF_RUN.contains(&name) || (OF_PROCESS.contains(&name) && !of_process) || flag.is_hide_set();
    let is_positional = flag.get_long().is_none();
    !is_excluded && !is_positional && !["help", "version"].contains(&name)
}

impl BotGiven {
    /// Resolves the settings, each of which was checked.
    ///
    /// # Errors
    ///
    /// When the address is not accepted, or two settings contradict each other. The error names where they were given.
    pub fn resolve(&self) -> Result<Settings> {
        let src = self.src.value.text();
        let program = || [OsString::from("gomon"), "any".into()];
        if let Err(error) = Args::try_parse_from(program().into_iter().chain([src.clone().into()]))
        {
            return Err(self.src.rejected(&error));
        }
        let flags = self.settings.iter().filter_map(GivenSetting::argument);
        // The interface is not an argument: its name could be that of a flag.
        let positional = ["--".into(), OsString::from(&self.interface), src.into()];
        let args = [OsString::from("gomon")].into_iter().chain(flags).chain(positional);
        let args = match Args::try_parse_from(args) {
            Ok(args) => args,
            Err(error) => {
                // A path whose placeholders were replaced after the check.
                self.settings.iter().try_for_each(|setting| setting.check(true))?;
                bail!(usage_error(&error, "gomon"));
            }
        };
        Settings::resolve(args, &|flag| self.origin(flag))
    }

    /// Returns where the value of a flag was given, or the flag for its default.
    fn origin(&self, flag: &'static str) -> SettingOrigin {
        let key = flag.trim_start_matches('-').replace('-', "_");
        let setting = self.settings.iter().find(|setting| setting.key == key);
        setting.map_or_else(|| SettingOrigin::flag(flag), |setting| setting.origin.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::EveTarget;

    fn given(key: &str, value: GivenValue) -> GivenSetting {
        GivenSetting { key: key.into(), value, origin: SettingOrigin::Request(key.into()) }
    }

    fn text(key: &str, value: &str) -> GivenSetting {
        given(key, GivenValue::Text(value.into()))
    }

    fn resolve(settings: Vec<GivenSetting>) -> Result<Settings> {
        let src = text("src", "10.0.0.5,::1");
        for setting in &settings {
            setting.check(true)?;
        }
        BotGiven { interface: "vnet0".into(), src, settings }.resolve()
    }

    #[test]
    fn settings_are_those_of_the_flags() {
        let settings = resolve(vec![
            text("window", "10"),
            text("step", "5s"),
            text("eve_log_path", "/tmp/x.json"),
            given("stats", GivenValue::Switch(true)),
            given("show_idle", GivenValue::Switch(false)),
            given("ignore_dst", GivenValue::List(vec!["10.0.0.1".into(), "10.1.0.0/16".into()])),
            text("sensor_name", "--odd"),
        ]);
        let bot = settings.unwrap().bot;
        assert_eq!(bot.policy.panes(), 2);
        assert_eq!(bot.eve.target, EveTarget::File("/tmp/x.json".into()));
        assert!(bot.eve.stats && !bot.eve.show_idle);
        assert_eq!(bot.ignore_dst.len(), 2);
        assert_eq!(bot.sensor_name.as_deref(), Some("--odd"));
    }

    #[test]
    fn errors_name_the_origin_and_what_to_give() {
        for (setting, expected) in [
            (text("windwo", "1"), "reading windwo: unknown key: did you mean \"window\"?"),
            (text("window", "x"), "reading window \"x\": not a length of time: give seconds"),
            (text("stats", "yes"), "reading stats \"yes\": not a switch: give true or false"),
            (given("window", GivenValue::Switch(true)), "reading window \"true\": not a length"),
            (given("window", GivenValue::List(vec!["1".into()])), "reading window \"1\": several"),
            (text("step", "7"), "reading step \"7\": does not divide the window of 30s: give"),
            (text("packet_threshold", "0"), "reading packet_threshold \"0\": not more than 0"),
            (given("calibrate", GivenValue::Switch(true)), "reading calibrate: not for bots that"),
            (text("attach", "usb"), "reading attach \"usb\": unknown: give one of auto"),
            (text("help", ""), "reading help: unknown key"),
            (text("source", "::1"), "reading source: unknown key"),
        ] {
            let error = format!("{:#}", resolve(vec![setting]).unwrap_err());
            assert!(error.starts_with(expected), "{error}");
        }
        let error = text("log_level", "info").check(false).unwrap_err().to_string();
        assert_eq!(error, "reading log_level: applies to all bots: give it in [defaults]");
        text("log_level", "info").check(true).unwrap();
    }

    #[test]
    fn an_interface_can_have_the_name_of_a_flag() {
        let src = text("src", "any");
        let bot = BotGiven { interface: "--stats".into(), src, settings: vec![] };
        let bot = bot.resolve().unwrap().bot;
        assert_eq!((bot.input.as_os_str().to_str(), bot.eve.stats), (Some("--stats"), false));
    }
}
