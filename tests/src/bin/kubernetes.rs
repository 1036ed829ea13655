//! `kubernetes`: installs the chart on a Kubernetes, does everything to it while people talk, audits what was lost, and takes it away.
//! `deploy/kubernetes/verify` runs it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use tests::kubernetes::{Clients, Plan, run};

const USAGE: &str = "usage: kubernetes --kubectl FILE --helm FILE --chart FOLDER --values FILE --cases FOLDER --next TAG --folder FOLDER";

#[tokio::main]
async fn main() -> ExitCode {
    let Some(plan) = read(&std::env::args().skip(1).collect::<Vec<_>>()) else {
        say(USAGE);
        return ExitCode::from(2);
    };
    let logs = plan.folder.clone();
    // A task of its own, so that a run that breaks off has a verdict too.
    match tokio::spawn(run(plan, |line| say(&line))).await {
        Ok(outcome) => {
            say(&outcome.to_string());
            if outcome.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(_) => {
            say(&format!("NOT CLEAN: the run broke off; logs are in {}", logs.display()));
            ExitCode::FAILURE
        }
    }
}

fn read(arguments: &[String]) -> Option<Plan> {
    let value = |flag: &str| {
        let pair = arguments.chunks(2).find(|pair| pair[0] == flag)?;
        pair.get(1).cloned()
    };
    let path = |flag: &str| value(flag).map(PathBuf::from);
    Some(Plan {
        clients: Clients { kubectl: path("--kubectl")?, helm: path("--helm")? },
        chart: path("--chart")?,
        values: path("--values")?,
        cases: path("--cases")?,
        next: value("--next")?,
        folder: path("--folder")?,
    })
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
