//! Shared by the test targets: frames, captures, the program under test, and real captures.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "each test target uses some of it, and a failed setup fails the test"
)]

pub mod capture;
pub mod encapsulation;
pub mod frames;
pub mod generator;
pub mod net;
pub mod oracle;
pub mod program;
pub mod real;
pub mod running;
pub mod skip;
pub mod tools;
pub mod tun;
