//! Starts the single-node edition.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::process::main_of(backchat::run)
}
