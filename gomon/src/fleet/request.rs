//! What clients can request from a running fleet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use super::report::FleetStatus;

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
