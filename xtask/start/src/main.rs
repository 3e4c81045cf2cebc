//! What `cargo xtask` runs: builds xtask, with its dependencies, and becomes it.
//!
//! Cargo would build xtask either in silence or with a line for each of its dependencies. This says one
//! line, and shows what the compiler says only when that fails.

#![expect(clippy::print_stderr, reason = "progress and errors go to stderr, to people")]

use std::{
    convert::Infallible,
    env,
    io::{self, IsTerminal as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

fn main() -> ExitCode {
    let Err(why) = become_xtask();
    eprintln!("xtask: {why}");
    ExitCode::FAILURE
}

/// Returns only when it fails.
fn become_xtask() -> Result<Infallible, String> {
    let this = env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    // Cargo puts both into one directory.
    let xtask = this.with_file_name("xtask");
    if !xtask.exists() {
        eprintln!("xtask: building xtask itself: half a minute the first time");
    }
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--package", "xtask", "--manifest-path"]);
    build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"));
    if io::stderr().is_terminal() {
        // Quiet, cargo shows no progress unless it is told to.
        build.args([
            "--config",
            "term.progress.when='always'",
            "--config",
            "term.progress.width=80",
        ]);
    }
    let status = build.status().map_err(|error| format!("start cargo: {error}"))?;
    if !status.success() {
        return Err(format!("build xtask: {status}: the compiler's output is above"));
    }
    let error = Command::new(&xtask).args(env::args_os().skip(1)).exec();
    Err(format!("start {}: {error}", xtask.display()))
}
