//! One binary for all black-box tests, since each one more is linked anew. The module tree mirrors what a person, a program
//! or an operator sees.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod accounts;
mod backup;
mod broker_faults;
mod browser;
mod changes;
mod doctor;
mod erasing;
mod escaping;
mod faults;
mod handshake;
mod heads;
mod history;
mod hostile;
mod layouts;
mod limits;
mod lookups;
mod messages;
mod metrics;
mod outages;
mod places;
mod presence;
mod production;
mod program;
mod restoring;
mod resume;
mod retention;
mod rooms;
mod root_keys;
mod sealed;
mod sealing_roots;
mod search;
mod separate;
mod sessions;
mod setting_up;
mod settings;
mod shards;
mod sharing;
mod shedding;
mod single_node;
mod slow;
mod storm;
mod survival;
mod told;
mod traces;
mod trying;
