//! The real history worker beside a real NATS server.

#[cfg(test)]
mod all {
    mod aged;
    mod boxes;
    mod changes;
    mod erasing;
    mod examine;
    mod expiring;
    mod kill;
    mod layout;
    mod moments;
    mod nats;
    mod other_log;
    mod pages;
    mod poison;
    mod replay;
    mod server;
    mod snapshot;
    mod surreal;
    mod verify;
    mod worker;
}
