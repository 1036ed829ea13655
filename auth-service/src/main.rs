use std::process::ExitCode;

fn main() -> ExitCode {
    service::process::main_with(auth_service::Config::doors, auth_service::run)
}
