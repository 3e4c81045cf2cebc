//! The program `gomon`.

use std::process::ExitCode;

fn main() -> ExitCode {
    gomon::cli::main()
}
