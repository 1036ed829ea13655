//! `bench`: runs the workloads by turns against the ceiling server and the gateway, and says how they compare.

use bench::{
    args::{Args, USAGE},
    capacity::{self, Traffic},
    machine::favour,
    report::Runs,
    serve::{self, Serve},
    workload::{Figures, Target, Workload},
};
use service::process::say;
use std::{
    fs::File,
    io::{self, Write},
    process::ExitCode,
};

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|first| first == "serve") {
        return match Serve::parse(std::env::args().skip(2)) {
            Some(serve) => exit(serve.run()),
            None => misunderstood(serve::USAGE),
        };
    }
    if std::env::args().nth(1).is_some_and(|first| first == "capacity") {
        let Some(traffic) = Traffic::parse(std::env::args().skip(2)) else {
            return misunderstood(capacity::USAGE);
        };
        say(&capacity::table(&[traffic]));
        return ExitCode::SUCCESS;
    }
    let Some(args) = Args::parse(std::env::args().skip(1)) else { return misunderstood(USAGE) };
    let mut runs = Runs::default();
    let ended = run(&args, &mut runs);
    // What was measured before something failed is worth seeing.
    say(&format!("\n{}", runs.table()));
    if let Some(others) = runs.others_cores() {
        say(&format!("Others used {:.2} cores meanwhile, at most {:.2}.", others.median, others.max));
    }
    exit(ended)
}

fn misunderstood(usage: &str) -> ExitCode {
    complain(usage);
    ExitCode::from(2)
}

fn exit(ended: Result<(), String>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "bench: {line}");
}

fn run(args: &Args, runs: &mut Runs) -> Result<(), String> {
    if !favour("self") {
        say(
            "Not favoured over other work on this machine: that takes root, and a scheduler that groups by session.",
        );
    }
    let open = |path| File::options().create(true).append(true).open(path);
    let mut out = args.out.as_ref().map(open).transpose().map_err(|error| error.to_string())?;
    for repeat in 0..args.repeat {
        for workload in &args.workloads {
            for target in by_turns(*workload, repeat) {
                let figures = run_once(*workload, target)?;
                let line = runs.add(*workload, target, figures);
                say(&line);
                if let Some(out) = &mut out {
                    writeln!(out, "{line}").map_err(|error| error.to_string())?;
                }
            }
        }
    }
    Ok(())
}

/// One run, and another when it fails: a busy machine may keep a server from starting in time.
fn run_once(workload: Workload, target: Target) -> Result<Figures, String> {
    let named = |why: String| format!("{} against {}: {why}", workload.name(), target.name());
    workload.run(target).map_err(named).or_else(|why| {
        complain(&format!("once more: {why}"));
        workload.run(target).map_err(named)
    })
}

/// Who was last comes first the next time, so that a machine that gets slower harms neither.
fn by_turns(workload: Workload, repeat: usize) -> Vec<Target> {
    let mut targets = workload.targets().to_vec();
    if repeat % 2 == 1 {
        targets.reverse();
    }
    targets
}
