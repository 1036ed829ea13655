//! What the programs say of their own settings.

use std::process::Command;
use tests::process::built;

const MARKER: &str = "hunter2-hunter2";
/// Each program, and settings of it that are secrets.
const PROGRAMS: [(&str, &[&str]); 6] = [
    ("gateway", &["GATEWAY_NATS_PASSWORD"]),
    ("history-worker", &["HISTORY_WORKER_NATS_PASSWORD", "HISTORY_WORKER_DATABASE"]),
    ("search-worker", &["SEARCH_WORKER_NATS_PASSWORD"]),
    ("auth-service", &["AUTH_SERVICE_NATS_PASSWORD", "AUTH_SERVICE_DATABASE"]),
    ("backchat-setup", &["SETUP_NATS_PASSWORD"]),
    ("backchat", &["NATS_PASSWORD", "HISTORY_DATABASE", "AUTH_DATABASE"]),
];

/// All that a program says when it is asked for its settings, with this one set.
fn asked(program: &str, what: &str, set: Option<(&str, &str)>) -> String {
    let mut command = Command::new(built(program));
    command.env_clear().envs(set).args(["config", what]);
    let said = command.output().expect("the program can be started");
    String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned()
}

/// The variables of its settings.
fn variables(program: &str) -> Vec<String> {
    let example = asked(program, "example", None);
    let names = example.lines().filter_map(|line| line.strip_prefix("# BACKCHAT_"));
    names.map(|name| format!("BACKCHAT_{name}")).collect()
}

#[test]
fn no_program_shows_a_secret_whichever_setting_has_it() {
    let in_an_address = format!("ws://ann:{MARKER}@database:8000/backchat/history");
    for (program, secrets) in PROGRAMS {
        let all = variables(program);
        let secrets: Vec<_> = secrets.iter().map(|name| format!("BACKCHAT_{name}")).collect();
        assert!(secrets.iter().all(|secret| all.contains(secret)), "{program} has only {all:?}");
        for variable in all {
            let value = if variable.ends_with("PASSWORD") { MARKER } else { &in_an_address };
            let said = asked(program, "print", Some((&variable, value)));
            assert!(!said.contains(MARKER), "{program} with {variable}:\n{said}");
            let is_hidden = said.contains(&format!("\"(secret)\"  # {variable}"));
            assert!(is_hidden || !secrets.contains(&variable), "{program} with {variable}:\n{said}");
        }
    }
}
