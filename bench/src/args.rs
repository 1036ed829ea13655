//! The command line.

use crate::workload::Workload;
use std::path::PathBuf;

pub const USAGE: &str = "usage: bench [WORKLOAD…] [--repeat 3] [--out FILE]
workloads: fanout20 fanout100 rooms rooms-unsynced saturation idle storm storm-returning ack gateways neighbour company shards rings \
rooms-saturation; none named: all";

#[derive(Debug, PartialEq, Eq)]
pub struct Args {
    pub workloads: Vec<Workload>,
    /// How often each is done.
    pub repeat: usize,
    /// Where each run is added as one line of JSON.
    pub out: Option<PathBuf>,
}

impl Args {
    /// Reads the arguments; `None` when they can't be meant.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut args = Self { workloads: Vec::new(), repeat: 3, out: None };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--repeat" => args.repeat = arguments.next()?.parse().ok().filter(|repeat| *repeat > 0)?,
                "--out" => args.out = Some(arguments.next()?.into()),
                name => {
                    args.workloads.push(Workload::ALL.into_iter().find(|workload| workload.name() == name)?);
                }
            }
        }
        if args.workloads.is_empty() {
            args.workloads = Workload::ALL.to_vec();
        }
        Some(args)
    }
}
