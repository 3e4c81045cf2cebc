//! The project's own commands, so that a checkout and stable Rust are all anybody needs:
//! `cargo xtask run`, `cargo xtask test`, `cargo xtask bench`.
//!
//! Depends on no crate of gomon's own, only on the packet generator: it must build before libpcap is
//! there, because it is what installs it.

#![expect(clippy::print_stderr, reason = "progress goes to stderr, to people; results to stdout")]

mod bench;
mod demo;
mod ebpf;
mod frames;
mod fuzz;
mod guard;
mod kernels;
mod pcap;
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
    /// Build gomon and run it with ARGS, through sudo where they name an interface; without any, show
    /// what it does on a demo capture
    #[command(disable_help_flag = true)]
    Run {
        /// Arguments for gomon, `--help` included
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build the kernel program, whose object file is checked in
    Ebpf(ebpf::Options),
    /// Check everything: format, lints, documentation, tests, fuzz targets
    Test(test::Options),
    /// Measure gomon beside tcpdump
    #[command(subcommand)]
    Bench(bench::Options),
    /// Count the instructions that replays take, and fail where there are many more than there were
    Guard {
        /// Hold what is counted from now on
        #[arg(long)]
        write: bool,
    },
    /// Boot Debian's kernels, and count on each in every way it has of attaching
    Kernels(kernels::Options),
    /// Be the first process of a virtual machine
    #[command(subcommand, hide = true)]
    Guest(vm::inside::Orders),
}

fn main() -> ExitCode {
    match ebpf::rustc::become_if_asked().and_then(|()| execute(Cli::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output has seen enough (`| head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> Result<()> {
    // There, the project's directory is not.
    if let Command::Guest(orders) = &cli.command {
        return vm::inside::obey(orders);
    }
    let called_from = env::current_dir().context("find the working directory")?;
    // Every path below is relative to the project, whatever directory this was typed in.
    env::set_current_dir(workspace::root()).context("enter the project's directory")?;
    match cli.command {
        Command::Run { args } if args.is_empty() => demo::show(),
        Command::Run { args } => run::gomon(&args, &called_from),
        Command::Ebpf(options) => ebpf::execute(&options),
        Command::Test(options) => test::all(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Guard { write } => {
            prerequisites::for_testing()?;
            guard::check(write)
        }
        Command::Kernels(options) => kernels::run(&options),
        Command::Guest(orders) => vm::inside::obey(&orders),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
