//! The project's own commands, which need a checkout and stable Rust only: `cargo xtask run`,
//! `cargo xtask test`, `cargo xtask bench`.
//!
//! Of the project's crates, depends on the packet generator only: xtask must build without libpcap, because it
//! installs libpcap.

#![expect(clippy::print_stderr, reason = "progress goes to stderr, results to stdout")]

mod bench;
mod demo;
mod ebpf;
mod frames;
mod fuzz;
mod guard;
mod kernels;
mod pcap;
mod pcapng;
mod prerequisites;
mod random;
mod run;
mod test;
mod vm;
mod workspace;

use std::{env, ffi::OsString, io, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

/// gomon's own commands.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build gomon and run it with ARGS, with sudo if they name an interface; without ARGS, show
    /// what it finds in a demo capture
    #[command(disable_help_flag = true)]
    Run {
        /// Arguments for gomon, `--help` included
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build the kernel program, whose object file is checked in
    Ebpf(ebpf::EbpfArgs),
    /// Check everything: format, lints, documentation, tests, fuzz targets
    Test(test::TestArgs),
    /// Measure gomon, compared with tcpdump
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Count the instructions of replays, and fail if there are many more than recorded
    Guard {
        /// Record the counts
        #[arg(long)]
        write: bool,
    },
    /// Boot Debian's kernels, and count on each in every attach mode
    Kernels(kernels::KernelArgs),
    /// Be the first process of a virtual machine
    #[command(subcommand, hide = true)]
    Guest(vm::guest::GuestCommand),
}

fn main() -> ExitCode {
    match ebpf::rustc::exec_if_requested().and_then(|()| execute(Cli::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader closed the pipe (`| head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> Result<()> {
    // A virtual machine does not have the project's directory.
    if let Command::Guest(command) = &cli.command {
        return vm::guest::run(command);
    }
    let called_from = env::current_dir().context("find the working directory")?;
    // Paths are relative to the project from here on, whatever directory the caller was in.
    env::set_current_dir(workspace::root()).context("change to the project's directory")?;
    match cli.command {
        Command::Run { args } if args.is_empty() => demo::show(),
        Command::Run { args } => run::gomon(&args, &called_from),
        Command::Ebpf(args) => ebpf::execute(&args),
        Command::Test(args) => test::run(&args),
        Command::Bench(command) => bench::run(&command),
        Command::Guard { write } => {
            prerequisites::for_testing()?;
            guard::check(write)
        }
        Command::Kernels(args) => kernels::run(&args),
        Command::Guest(command) => vm::guest::run(&command),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
