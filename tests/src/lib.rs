//! The black-box harness: real binaries, a real NATS server, a real browser, and a network that can be spoiled.
//!
//! Nothing here knows how a service is made: everything goes through a process's settings and signals, HTTP, WebSockets, the
//! broker, or a page in Chromium. Failures panic with a sentence, since the only callers are tests and the programs beside
//! them. A file per concept: [`process`] runs programs, [`nats`] and [`cluster`] are brokers, [`backchat`] and [`services`] the two editions,
//! [`surreal`] is a database server, [`proxy`] is the network, [`meddler`] a proxy that changes what passes, [`person`] does over HTTP what a user does, [`json_socket`] and [`html_socket`] speak the two
//! formats, [`browser`] and [`room_page`] see what a person sees, [`eventually`] waits, [`audit`] counts what was lost, [`topology`] is everything as in production, [`drill`] does what the operators' pages say,
//! [`keys`] opens and seals what is stored, [`operator`] asks about keys, [`backup`] copies streams, [`files`] looks into files, [`rude`] keeps to no rule, [`calm`] notices whether anybody is disturbed, [`usage`] sees what a process takes, [`collector`] takes traces.

pub mod audit;
pub mod backchat;
pub mod backup;
pub mod browser;
pub mod calm;
pub mod cluster;
pub mod collector;
pub mod drill;
pub mod eventually;
pub mod faults;
pub mod files;
pub mod heard;
pub mod heavy;
pub mod html;
pub mod html_socket;
pub mod http;
pub mod json_socket;
pub mod keys;
pub mod kill_test;
pub mod kubernetes;
pub mod meddler;
pub mod metrics;
pub mod nats;
pub mod operator;
pub mod pages;
pub mod person;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod random;
pub mod replicas;
pub mod room_page;
pub mod rotation;
pub mod rude;
pub mod s3;
pub mod services;
pub mod small_disk;
pub mod socket;
pub mod steady;
pub mod stored;
pub mod straight;
pub mod surreal;
pub mod topology;
pub mod usage;
pub mod wire;
