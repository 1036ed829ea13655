//! `bench`: runs the workloads by turns against the ceiling server and the gateway, and says how they compare.

use bench::{
    args::{Args, USAGE},
    machine::favour,
    report::Runs,
    workload::{Target, Workload},
};
use service::process::say;
use std::{
    fs::File,
    io::{self, Write},
    process::ExitCode,
};

fn main() -> ExitCode {
    let Some(args) = Args::parse(std::env::args().skip(1)) else {
        complain(USAGE);
        return ExitCode::from(2);
    };
    match run(&args) {
        Ok(runs) => {
            say(&format!("\n{}", runs.table()));
            if let Some(others) = runs.others_cores() {
                say(&format!("Others used {:.2} cores meanwhile, at most {:.2}.", others.median, others.max));
            }
            ExitCode::SUCCESS
        }
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "bench: {line}");
}

fn run(args: &Args) -> Result<Runs, String> {
    if !favour("self") {
        say(
            "Not favoured over other work on this machine: that takes root, and a scheduler that groups by session.",
        );
    }
    let open = |path| File::options().create(true).append(true).open(path);
    let mut out = args.out.as_ref().map(open).transpose().map_err(|error| error.to_string())?;
    let mut runs = Runs::default();
    for repeat in 0..args.repeat {
        for workload in &args.workloads {
            for target in by_turns(*workload, repeat) {
                let figures = workload.run(target);
                let figures =
                    figures.map_err(|why| format!("{} against {}: {why}", workload.name(), target.name()))?;
                let line = runs.add(*workload, target, figures);
                say(&line);
                if let Some(out) = &mut out {
                    writeln!(out, "{line}").map_err(|error| error.to_string())?;
                }
            }
        }
    }
    Ok(runs)
}

/// Who was last comes first the next time, so that a machine that gets slower harms neither.
fn by_turns(workload: Workload, repeat: usize) -> Vec<Target> {
    let mut targets = workload.targets().to_vec();
    if repeat % 2 == 1 {
        targets.reverse();
    }
    targets
}
