//! The HTTP server of the metrics.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::program::FleetProgram;
use crate::support::program::{Scratch, gomon};

/// Returns a port that is free at the moment.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn fleet() -> (FleetProgram, SocketAddr) {
    let address = free();
    let configuration = format!(
        "[metrics]\nlisten = \"{address}\"\n[control]\nsocket = \"{{dir}}/control.sock\"\n\
         [[bot]]\ninterface = \"gomon-none\"\nsrc = \"any\"\n"
    );
    (FleetProgram::start(None, &configuration), address)
}

fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(request);
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    String::from_utf8_lossy(&response).into_owned()
}

fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
}

#[test]
fn metrics_and_health_are_served() {
    let (fleet, address) = fleet();
    let response = get(address, "/metrics");
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(response.contains("gomon_bots{state=\"waiting\"} 1\n"), "{response}");
    assert!(response.ends_with("# EOF\n"));
    let response = get(address, "/healthz");
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("\r\n\r\nok\n"));
    assert!(get(address, "/").starts_with("HTTP/1.1 404 "));
    let response = exchange(address, b"POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 405 "), "{response}");
    assert_eq!(fleet.stop().status, Some(0));
}

#[test]
fn hostile_and_slow_clients_disturb_nobody() {
    let (fleet, address) = fleet();
    assert!(exchange(address, b"\x16\x03\x01 not HTTP\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let large = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let response = exchange(address, large.as_bytes());
    assert!(!response.contains("200 OK"), "{response}");
    // More clients than there may be, none of which sends a request.
    let start = Instant::now();
    let idle: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(fleet.answer("list")["ok"], true);
    assert!(start.elapsed() < Duration::from_secs(5));
    // Those within the limit are closed after a while, and then it serves again.
    let mut first = &idle[0];
    first.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = first.read(&mut [0; 512]);
    assert!(start.elapsed() < Duration::from_secs(15));
    crate::support::net::until("it serves again", || get(address, "/healthz").ends_with("ok\n"));
    assert_eq!(fleet.stop().status, Some(0));
}

#[test]
fn an_address_in_use_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let scratch = Scratch::new();
    let toml = scratch.file("x.toml", format!("[metrics]\nlisten = \"{address}\"").as_bytes());
    let outcome = gomon(["fleet", "--config", toml.to_str().unwrap()]);
    assert_eq!(outcome.status, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains(": give another address"), "{outcome:?}");
}
