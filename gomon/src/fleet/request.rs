//! What clients can request from a running fleet.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use super::config::with_defaults;
use super::report::FleetStatus;
use super::wanted::WantedBot;
use crate::core::Sources;
use crate::settings::{BotGiven, GivenSetting, GivenValue, SettingOrigin};

/// A request over the control socket: one line of JSON.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ControlRequest {
    /// Watches a bot.
    Add {
        /// The interface, or a pattern.
        interface: String,
        /// The bot's addresses, separated by commas, or `any`.
        src: String,
        /// Other settings: texts, numbers, switches and lists.
        #[serde(default)]
        settings: BTreeMap<String, Value>,
    },
    /// Stops watching a bot.
    Remove {
        /// The interface.
        interface: String,
        /// The bot's addresses, if the interface has several bots.
        #[serde(default)]
        src: Option<String>,
    },
    /// Lists the bots.
    List,
    /// Returns the counts of all bots.
    Status,
    /// Re-reads the configuration.
    Reload,
}

/// A request to the task that owns the fleet's state.
#[derive(Debug)]
pub(crate) enum ShellRequest {
    /// A request of a client of the control socket. The answer is a JSON object.
    Control(ControlRequest, oneshot::Sender<Value>),
    /// A request for the state of all bots.
    Status(oneshot::Sender<FleetStatus>),
}

/// Returns the bot that a request adds, with the defaults of the configuration.
///
/// # Errors
///
/// When a setting is not accepted.
pub(super) fn wanted_bot(
    interface: String,
    src: String,
    settings: BTreeMap<String, Value>,
    defaults: &[GivenSetting],
) -> Result<WantedBot> {
    let settings = settings.into_iter().map(|(key, value)| {
        let setting = given(&key, given_value(&key, value)?);
        setting.check(false)?;
        Ok(setting)
    });
    let settings = with_defaults(settings.collect::<Result<_>>()?, defaults);
    let named = given("interface", GivenValue::Text(interface.clone()));
    let src = given("src", GivenValue::Text(src));
    WantedBot::new(&named, BotGiven { interface, src, settings })
}

/// Parses the addresses of a bot in a request.
///
/// # Errors
///
/// When they are not addresses.
pub(super) fn sources(interface: &str, src: String) -> Result<Sources> {
    let src = given("src", GivenValue::Text(src));
    let bot = BotGiven { interface: interface.to_owned(), src, settings: Vec::new() };
    Ok(bot.resolve()?.bot.sources)
}

fn given(key: &str, value: GivenValue) -> GivenSetting {
    GivenSetting { key: key.to_owned(), value, origin: SettingOrigin::Request(key.to_owned()) }
}

/// Converts the value of a setting in a request.
fn given_value(key: &str, value: Value) -> Result<GivenValue> {
    let text = |value: Value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let converted = match value {
        Value::Bool(is_on) => Some(GivenValue::Switch(is_on)),
        Value::Array(items) => {
            items.into_iter().map(text).collect::<Option<_>>().map(GivenValue::List)
        }
        value @ (Value::Null | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            text(value).map(GivenValue::Text)
        }
    };
    converted
        .ok_or_else(|| anyhow!("reading {key}: give a text, a number, true or false, or a list"))
}
