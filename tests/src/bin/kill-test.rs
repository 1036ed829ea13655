//! `kill-test --messages 2000 --kills 5 --seed 7`: loses nothing, or says what was lost. Exit code 0 when all is clean.

use std::io::Write;
use std::process::ExitCode;
use tests::kill_test::{Plan, run};
use tests::random::Random;

#[tokio::main]
async fn main() -> ExitCode {
    let mut plan = Plan { seed: Random::any_seed(), messages: 2_000, kills: 5 };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return usage() };
        let Ok(number) = value.parse::<u64>() else { return usage() };
        match name.as_str() {
            "--seed" => plan.seed = number,
            "--messages" => plan.messages = number as usize,
            "--kills" => plan.kills = number as usize,
            _ => return usage(),
        }
    }
    let outcome = Box::pin(run(plan, say)).await;
    say(outcome.to_string());
    if outcome.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    say("usage: kill-test [--messages 2000] [--kills 5] [--seed NUMBER]".into());
    ExitCode::from(2)
}

fn say(line: String) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
