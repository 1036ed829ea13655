//! `faults --seed 7 --minutes 30`: hurts everything under load, then says what was lost. Exit code 0 when all is clean.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use tests::faults::{Plan, run};
use tests::random::Random;

#[tokio::main]
async fn main() -> ExitCode {
    let mut plan = Plan { seed: Random::any_seed(), lasts: Duration::from_secs(120), size: Plan::SIZE };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        let is_known = match pair {
            [name, value] if name == "--seed" => value.parse().map(|seed| plan.seed = seed).is_ok(),
            [name, value] if name == "--minutes" => minutes(value).map(|lasts| plan.lasts = lasts).is_some(),
            _ => false,
        };
        if !is_known {
            say("usage: faults [--minutes 2] [--seed NUMBER]".into());
            return ExitCode::from(2);
        }
    }
    say(format!("seed {}; again: {}", plan.seed, plan.command()));
    // A task of its own, so that a run that breaks off has a verdict too.
    match tokio::spawn(run(plan, say)).await {
        Ok(outcome) => {
            say(outcome.to_string());
            if outcome.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(_) => {
            say(format!("again: {}", plan.command()));
            say(format!("NOT CLEAN: the run broke off; logs are in {}", plan.logs().display()));
            ExitCode::FAILURE
        }
    }
}

fn minutes(text: &str) -> Option<Duration> {
    let minutes: f64 = text.parse().ok().filter(|minutes| (0.1..=1_440.0).contains(minutes))?;
    Some(Duration::from_secs_f64(minutes * 60.0))
}

fn say(line: String) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
