//! The program behind `cargo xtask`: builds xtask, with its dependencies, and executes it.
//!
//! Cargo builds xtask either silently or with a line per dependency. This program prints one line, and the
//! compiler's output only when the build fails.

#![expect(clippy::print_stderr, reason = "progress and errors go to stderr")]

use std::{
    convert::Infallible,
    env,
    io::{self, IsTerminal as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

fn main() -> ExitCode {
    let Err(why) = exec_xtask();
    eprintln!("xtask: {why}");
    ExitCode::FAILURE
}

/// Returns only on failure.
fn exec_xtask() -> Result<Infallible, String> {
    let this = env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    // Cargo builds both into the same directory.
    let xtask = this.with_file_name("xtask");
    if !xtask.exists() {
        eprintln!("xtask: building xtask itself: half a minute the first time");
    }
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--package", "xtask", "--manifest-path"]);
    build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"));
    if io::stderr().is_terminal() {
        // With `--quiet`, cargo shows progress only with this setting.
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
