//! The client of the control socket: `gomon ctl`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use serde_json::{Value, json};

use super::request_text;
use super::table::table;
use crate::fleet::request::ControlRequest;
use crate::settings::{AddArgs, CtlArgs, CtlCommand};
use crate::sink::one_line;

/// How long to wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(40);
/// The longest answer in bytes: a status of some 100,000 bots.
const MAX_ANSWER: u64 = 128 << 20;

/// Sends a request to a running fleet, and returns what to print. An error in the second value is the fleet's answer.
///
/// # Errors
///
/// When no fleet answers at the socket.
pub fn request(args: CtlArgs) -> Result<(String, Option<Error>)> {
    let socket = args.socket.display().to_string();
    let what = || format!("asking gomon fleet at {socket:?}");
    let request = to_request(args.command);
    let answer = exchange(&args.socket, &request_text(&request)).with_context(what)?;
    let parsed: Value = serde_json::from_str(&answer)
        .map_err(|_| anyhow!("not an answer of gomon fleet: give its socket with --socket"))
        .with_context(what)?;
    let error = (parsed["ok"] != true).then(|| {
        Error::msg(one_line(parsed["error"].as_str().unwrap_or("an answer without a reason")))
    });
    let text = match &error {
        _ if args.json => answer,
        Some(_) => String::new(),
        None => table(&request, &parsed),
    };
    Ok((text, error))
}

fn to_request(command: CtlCommand) -> ControlRequest {
    match command {
        CtlCommand::Add(AddArgs { interface, src, settings }) => {
            let settings = settings.into_iter().map(|(key, mut values)| {
                let value = match (values.len(), values.pop()) {
                    // A switch.
                    (_, None) => json!(true),
                    (1, Some(value)) => json!(value),
                    (_, last) => json!(values.into_iter().chain(last).collect::<Vec<_>>()),
                };
                (key, value)
            });
            ControlRequest::Add { interface, src, settings: settings.collect::<BTreeMap<_, _>>() }
        }
        CtlCommand::Remove { interface, src } => ControlRequest::Remove { interface, src },
        CtlCommand::List => ControlRequest::List,
        CtlCommand::Status => ControlRequest::Status,
        CtlCommand::Reload => ControlRequest::Reload,
    }
}

fn exchange(socket: &Path, request: &str) -> Result<String> {
    let advice = "start gomon fleet with [control], or give its socket with --socket";
    let mut stream = UnixStream::connect(socket).map_err(|error| anyhow!("{error}: {advice}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // A fleet with too many clients answers without reading the request.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = String::new();
    BufReader::new(stream.take(MAX_ANSWER))
        .read_line(&mut answer)
        .map_err(|error| anyhow!("{error}: see the log of gomon fleet"))?;
    Ok(answer)
}
