//! The services as separate processes, as in production, on one machine: a broker, the set-up step, one auth service, one
//! history worker, and any number of gateways.
