//! The HTTP server of the metrics: `/metrics` and `/healthz`, and nothing else.

use std::convert::Infallible;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Sender;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{self, timeout};

use super::exposition;
use crate::fleet::report::FleetStatus;
use crate::fleet::request::ShellRequest;

/// The maximum number of connections. Further ones are closed.
const MAX_CONNECTIONS: usize = 32;
/// How long a connection may last: one request, with its response.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the fleet may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum size of the head of a request in bytes.
const MAX_HEAD: usize = 8 << 10;
/// How long to wait after no connection could be accepted, because the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The media type of `OpenMetrics`.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Serves connections until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, shell: Sender<ShellRequest>) {
    static CONNECTIONS: Semaphore = Semaphore::const_new(MAX_CONNECTIONS);
    loop {
        let connection = match listener.accept().await {
            Ok((connection, _)) => connection,
            Err(error) => {
                log::debug!("accepting a client of the metrics: {error}");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = CONNECTIONS.try_acquire() else { continue };
        let shell = shell.clone();
        tokio::spawn(async move {
            let _ = timeout(CONNECTION_TIMEOUT, respond(connection, shell)).await;
            drop(permit);
        });
    }
}

/// Responds to the only request of a connection.
async fn respond(connection: TcpStream, shell: Sender<ShellRequest>) {
    let service = service_fn(|request| {
        let shell = shell.clone();
        async move { Ok::<_, Infallible>(response(&request, &shell).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(connection), service)
        .await;
    if let Err(error) = served {
        log::debug!("serving a client of the metrics: {error}");
    }
}

async fn response(request: &Request<Incoming>, shell: &Sender<ShellRequest>) -> Response<String> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let path = request.uri().path();
    if !["/metrics", "/healthz"].contains(&path) {
        return text(StatusCode::NOT_FOUND, "there is only /metrics and /healthz\n");
    }
    let Some(status) = status(shell).await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the counting thread does not answer\n");
    };
    if path == "/healthz" {
        return text(StatusCode::OK, "ok\n");
    }
    match exposition(status) {
        Ok(metrics) => {
            let mut response = Response::new(metrics);
            response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
            response
        }
        Err(error) => {
            log::error!("writing the metrics: {error}");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics can't be written\n")
        }
    }
}

async fn status(shell: &Sender<ShellRequest>) -> Option<FleetStatus> {
    let (answer, answered) = oneshot::channel();
    let request = async {
        shell.send(ShellRequest::Status(answer)).await.ok()?;
        answered.await.ok()
    };
    timeout(ANSWER_TIMEOUT, request).await.ok().flatten()
}

fn text(status: StatusCode, body: &str) -> Response<String> {
    let mut response = Response::new(body.to_owned());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}
