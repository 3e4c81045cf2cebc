//! The control socket: one line of JSON per request and per answer.

pub(crate) mod client;
mod path;
mod table;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::Sender;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{self, timeout};

pub(crate) use self::path::ControlSocket;

use super::report::failed;
use super::request::{ControlRequest, ShellRequest};

/// The longest request in bytes, with its line feed.
const MAX_REQUEST: u64 = 64 << 10;
/// The maximum number of clients that are connected.
const MAX_CLIENTS: usize = 64;
/// How long a client may take to send a request, and to read an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take: attaching or removing a bot whose outputs are slow.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait after no connection could be accepted, because the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts clients until the task is dropped.
pub(crate) async fn serve(listener: UnixListener, shell: Sender<ShellRequest>) {
    static CLIENTS: Semaphore = Semaphore::const_new(MAX_CLIENTS);
    loop {
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                log::debug!("accepting a client of the control socket: {error}");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = CLIENTS.try_acquire() else {
            let busy = format!("{MAX_CLIENTS} clients are connected: try again later");
            // The buffer of a new connection has room for it.
            let _ = client.try_write(line(&failed(&busy)).as_bytes());
            continue;
        };
        let shell = shell.clone();
        tokio::spawn(async move {
            converse(client, &shell).await;
            drop(permit);
        });
    }
}

/// Answers the requests of a client, until it is done or sends something that is not a request.
async fn converse(client: UnixStream, shell: &Sender<ShellRequest>) {
    let (reader, mut writer) = client.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let request = match timeout(CLIENT_TIMEOUT, next_request(&mut reader)).await {
            Ok(Ok(Some(request))) => request,
            Ok(Ok(None)) => return,
            Ok(Err(why)) => return send(&mut writer, &failed(&why)).await,
            Err(_) => {
                let why =
                    format!("no request in {} s: send one per line", CLIENT_TIMEOUT.as_secs());
                return send(&mut writer, &failed(&why)).await;
            }
        };
        let (answer, answered) = oneshot::channel();
        let is_sent = shell.send(ShellRequest::Control(request, answer)).await.is_ok();
        let answer = match timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) if is_sent => {
                failed("no answer in time: see the log of gomon fleet")
            }
            Ok(Err(_)) | Err(_) => failed("gomon fleet is ending"),
        };
        send(&mut writer, &answer).await;
    }
}

/// Reads a request. Returns `None` at the end.
async fn next_request(
    reader: &mut BufReader<OwnedReadHalf>,
) -> Result<Option<ControlRequest>, String> {
    let mut text = Vec::new();
    let read = reader.take(MAX_REQUEST).read_until(b'\n', &mut text).await;
    read.map_err(|error| format!("reading the request: {error}"))?;
    if text.is_empty() {
        return Ok(None);
    }
    if text.pop() != Some(b'\n') {
        return Err(if text.len() as u64 + 1 >= MAX_REQUEST {
            format!("the request has more than {MAX_REQUEST} bytes: send one JSON object per line")
        } else {
            "the request ends without a line feed: send one JSON object per line".into()
        });
    }
    let request = serde_json::from_slice(&text);
    request.map(Some).map_err(|error| format!("not a request: {error}: see docs/fleet.md"))
}

async fn send(writer: &mut OwnedWriteHalf, answer: &Value) {
    // A client that does not read its answer is disconnected.
    let _ = timeout(CLIENT_TIMEOUT, writer.write_all(line(answer).as_bytes())).await;
}

fn line(answer: &Value) -> String {
    format!("{answer}\n")
}

/// Returns the line of a request.
fn request_text(request: &ControlRequest) -> String {
    line(&json!(request))
}
