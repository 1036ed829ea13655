use service::process::{DoorAddresses, main_with};

fn main() -> std::process::ExitCode {
    main_with(
        |config: &gateway::Config| DoorAddresses {
            public: Some(config.listen),
            operations: config.operations,
        },
        gateway::run,
    )
}
