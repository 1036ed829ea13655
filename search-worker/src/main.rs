use std::process::ExitCode;

fn main() -> ExitCode {
    service::process::main_with(search_worker::Config::doors, search_worker::run)
}
