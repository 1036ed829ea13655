//! `replicas`: says how long the three servers of a cluster keep the bytes of a deleted message and of an erased key in their files.
//! Exit code 0 when that was five minutes at most.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use tests::replicas::run;

const GOAL: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> ExitCode {
    let longest = Box::pin(run(say)).await;
    say(format!("All were gone after {:.0} s; the goal is {} s.", longest.as_secs_f64(), GOAL.as_secs()));
    if longest <= GOAL { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn say(line: String) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
