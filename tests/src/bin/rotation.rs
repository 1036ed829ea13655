//! `rotation [100000]`: replaces a root key under which so many keys are wrapped, while somebody talks and the auth service is killed
//! half way, and prints how long that took and what it cost the talk. Exit code 0 when the old root key opens nothing any more.

use std::io::Write;
use std::process::ExitCode;
use tests::rotation::run;

#[tokio::main]
async fn main() -> ExitCode {
    let keys = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse());
    let Ok(keys) = keys else {
        say("usage: rotation [100000]".into());
        return ExitCode::from(2);
    };
    let seen = Box::pin(run(keys, say)).await;
    say(format!(
        "{} keys in {:.0} s, {:.0} a second; {} messages meanwhile, acknowledged in {:.2} ms (median), without a rotation in {:.2} ms; \
         the old root key opens {}",
        seen.keys,
        seen.took.as_secs_f64(),
        seen.keys as f64 / seen.took.as_secs_f64(),
        seen.said,
        seen.busy.as_secs_f64() * 1e3,
        seen.quiet.as_secs_f64() * 1e3,
        seen.still_opened,
    ));
    if seen.still_opened == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn say(line: String) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
