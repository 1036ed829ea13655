use std::process::ExitCode;

fn main() -> ExitCode {
    service::process::main_with(history_worker::Config::doors, history_worker::run)
}
