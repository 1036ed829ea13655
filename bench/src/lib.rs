//! Benchmarks of the gateway: real processes, a real broker, and a load generator of one thread that counts every delivery.
//!
//! Each workload runs against the gateway and, in turn, against a [`ceiling` server](../src/bin/ceiling.rs) that does nothing but
//! write; what is reported are ratios, since machines differ and the same machine differs from hour to hour.

pub mod args;
pub mod capacity;
pub mod collector;
pub mod frame;
pub mod link;
pub mod load;
pub mod machine;
pub mod report;
pub mod serve;
pub mod server;
pub mod statistics;
pub mod workload;
