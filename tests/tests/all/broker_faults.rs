//! Faults of the broker: each has a name, in metrics, at `/readyz` and for the client, and nothing acknowledged is lost.

mod cluster;
